"""One HTTP frontend: its fields, its ports, and what of it contradicts itself."""

import ipaddress
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sandbox.emulators.ovh.refusals import Refusal, bad_request

Frontend = Mapping[str, Any]
"""The API's own object (`ipLoadbalancing.frontendHttp.FrontendHttp`); never changed in place."""

LARGEST_PORT = 49151
_PORTS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*\Z")

_DEFAULTS: Frontend = {
    "allowedSource": None,
    "dedicatedIpfo": None,
    "defaultFarmId": None,
    "defaultSslId": None,
    "deniedSource": None,
    "disabled": False,
    "displayName": None,
    "hsts": False,
    "httpHeader": None,
    "redirectLocation": None,
    "ssl": False,
    "vrackNetworkId": None,
    "vrackVrouterId": None,
}
_LISTS = ("allowedSource", "deniedSource", "dedicatedIpfo", "httpHeader")


def with_defaults(number: int, body: Mapping[str, Any]) -> Frontend:
    """A frontend as it is created."""
    return _clean({**_DEFAULTS, "frontendId": number, **body})


def with_changes(frontend: Frontend, body: Mapping[str, Any]) -> Frontend:
    """A frontend after a PUT: members that were not sent stay."""
    return _clean({**frontend, **body})


def parse_ports(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges of a `port` (a single port is a range of one); raises the API's refusal (400)."""
    if not _PORTS.match(text):
        raise bad_request("[port] A port, a range or a list of them is expected")
    ranges = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= LARGEST_PORT or (last and low == high):
            raise bad_request(f"[port] Ports are in 1..{LARGEST_PORT}, ranges increase")
        ranges.append((low, high))
    if _overlap(ranges):
        raise bad_request("[port] A port is given twice")
    return tuple(ranges)


def check(frontend: Frontend, zones: Sequence[str], others: Iterable[Frontend]) -> None:
    """Raise the API's refusal where the frontend contradicts itself or another one.

    References to farms and certificates are the service's to check.
    """
    ranges = parse_ports(frontend["port"])
    if frontend["zone"] != "all" and frontend["zone"] not in zones:
        raise bad_request("[zone] The service has no such zone")
    if frontend["allowedSource"] and frontend["deniedSource"]:
        raise bad_request("You cannot specify allowedSource and deniedSource both at the same time")
    if frontend["defaultFarmId"] is not None and frontend["redirectLocation"] is not None:
        raise bad_request("You cannot specify defaultFarmId and redirectLocation both")
    if frontend["redirectLocation"] is not None:
        _check_location(frontend["redirectLocation"])
    for header in frontend["httpHeader"] or ():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:? ?[^\r\n\0]*", header):
            raise bad_request("[httpHeader] A header is expected")
    for other in others:
        if other["frontendId"] != frontend["frontendId"] and _collide(frontend, ranges, other):
            raise Refusal(409, f"Port already used by frontend {other['frontendId']}")


def zones_of(frontend: Frontend, zones: Sequence[str]) -> tuple[str, ...]:
    """The zones in which it is."""
    return tuple(zones) if frontend["zone"] == "all" else (frontend["zone"],)


def _clean(frontend: Frontend) -> Frontend:
    """Empty lists are no restriction, as null is."""
    return {**frontend, **{name: frontend[name] or None for name in _LISTS}}


def _check_location(text: str) -> None:
    split = urlsplit(text.replace("${protocol}", "https").replace("${host}", "host.example"))
    if split.scheme not in ("http", "https") or not split.netloc or re.search(r"[\s\0]", text):
        raise bad_request("[redirectLocation] An absolute URL is expected")


def _collide(frontend: Frontend, ranges: Sequence[tuple[int, int]], other: Frontend) -> bool:
    if "all" not in (frontend["zone"], other["zone"]) and frontend["zone"] != other["zone"]:
        return False
    if not _overlap([*ranges, *parse_ports(other["port"])]):
        return False
    mine, theirs = frontend["dedicatedIpfo"], other["dedicatedIpfo"]
    if not mine or not theirs:
        # Without a dedicated address a frontend listens on all; one that has some is more precise.
        return bool(mine) == bool(theirs)
    return any(
        ipaddress.ip_network(one).version == ipaddress.ip_network(two).version
        and ipaddress.ip_network(one).overlaps(ipaddress.ip_network(two))
        for one in mine
        for two in theirs
    )


def _overlap(ranges: Iterable[tuple[int, int]]) -> bool:
    ordered = sorted(ranges)
    return any(one[1] >= two[0] for one, two in itertools.pairwise(ordered))
