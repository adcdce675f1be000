"""What must be so at the end of a run, judged from outside. Each check returns what is wrong.

They are plain functions on what was observed, so that each can be tested with a bad state.
"""

import base64
import itertools
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.e2e.world import condition, current
from tests.faults.evidence import Excuse, Finalized, Recorded

Object = dict[str, Any]
MARKER = "certfront.io/certificate"
NEED = "certfront.io/need"
ROLE = "certfront.io/secret"
_SHORTEST = 24


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Token:
    """A challenge as status tells of it: the hostname and the token."""

    host: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfilled:
    """What an ACME Certificate's Secret says at the end: the need, and the certificate's serial."""

    name: str
    need: str
    serial: str


def entry(secret: Mapping[str, Any], key: str) -> bytes:
    """An entry of a Secret; empty if there is none."""
    return base64.b64decode((secret.get("data") or {}).get(key, ""))


def unready(objects: Iterable[Object]) -> list[str]:
    """Objects that are not Ready for their current generation, with what they say."""
    wrong = []
    for body in objects:
        ready = condition(body, "Ready")
        if ready is None or ready["status"] != "True" or not current(body):
            told = f"{ready['reason']}: {ready.get('message', '')}" if ready else "no condition"
            wrong.append(f"{body.get('kind', '')} {body['metadata']['name']} is not Ready: {told}")
    return wrong


def openssl(*arguments: str, stdin: bytes = b"") -> str:
    """What `openssl arguments…` prints; empty where it fails."""
    done = subprocess.run(
        ["openssl", *arguments], input=stdin, capture_output=True, check=False, timeout=30
    )
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def pair(secret: Object, hosts: Collection[str], root: str) -> list[str]:
    """Whether a TLS Secret holds a pair that belongs together, is valid, for these names."""
    name = secret["metadata"]["name"]
    certificate, key = entry(secret, "tls.crt"), entry(secret, "tls.key")
    public = openssl("x509", "-noout", "-pubkey", stdin=certificate)
    wrong = []
    if not public or public != openssl("pkey", "-pubout", stdin=key):
        wrong.append(f"Secret {name}: certificate and key do not belong together")
    if not openssl("x509", "-noout", "-checkend", "60", stdin=certificate):
        wrong.append(f"Secret {name}: the certificate is not valid any more")
    told = openssl("x509", "-noout", "-ext", "subjectAltName", stdin=certificate)
    names = set(re.findall(r"DNS:([^,\s]+)", told))
    if names != set(hosts):
        wrong.append(f"Secret {name}: it is for {sorted(names)}, not for {sorted(hosts)}")
    if not _verifies(certificate, root):
        wrong.append(f"Secret {name}: the certificate does not verify (date or root)")
    role = (secret["metadata"].get("labels") or {}).get(ROLE)
    if role != "certificate":
        wrong.append(f"Secret {name}: its label is {role!r}")
    return wrong


def serial(secret: Object) -> str:
    """The serial of a Secret's certificate, by openssl, in hexadecimal."""
    told = openssl("x509", "-noout", "-serial", stdin=entry(secret, "tls.crt"))
    return told.strip().rpartition("=")[2].lower().lstrip("0")


def fingerprint(secret: Object) -> str:
    """The SHA-256 fingerprint of a Secret's certificate, by openssl."""
    told = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=entry(secret, "tls.crt"))
    return told.strip().rpartition("=")[2].replace(":", "").lower()


def orders(
    issued: Sequence[Finalized],
    recorded: Mapping[str, Recorded],
    fulfilled: Sequence[Fulfilled],
    excuses: Sequence[Excuse] = (),
) -> list[str]:
    """For each need exactly one finalized order, recorded before, and its certificate is stored."""
    wrong = [
        f"Pebble finalized the order {each.order}, which no status has recorded"
        for each in issued
        if each.order not in recorded
    ]
    by_need: dict[str, list[Finalized]] = defaultdict(list)
    for each in issued:
        if each.order in recorded:
            by_need[recorded[each.order].need].append(each)
    for need, found in by_need.items():
        where = "/".join(recorded[found[0].order].certificate)
        for first, second in itertools.pairwise(found):
            if not any(_excused(each, first, second) for each in excuses):
                told = f"{first.order} and {second.order}"
                wrong.append(f"{where}: the need {need} was finalized twice: {told}")
    for stored in fulfilled:
        serials = {each.serial.lstrip("0") for each in by_need.get(stored.need, ())}
        if stored.serial not in serials:
            told = "another certificate" if serials else "none"
            wrong.append(f"{stored.name}: for its need {stored.need} Pebble has issued {told}")
    return wrong


def _excused(excuse: Excuse, first: Finalized, second: Finalized) -> bool:
    return excuse.since <= first.at < excuse.until and excuse.again <= second.at


def left_over(secrets: Iterable[Object], namespace: str) -> list[str]:
    """Pending keys and challenges that are still there although nothing is being ordered."""
    return [
        f"Secret {secret['metadata']['namespace']}/{secret['metadata']['name']} is left over"
        for secret in secrets
        if (secret["metadata"].get("labels") or {}).get(ROLE) in ("pending", "challenge")
        and _about(secret).startswith(f"{namespace}/")
    ]


def traces(secrets: Iterable[Object], namespace: str) -> list[str]:
    """Anything at the load balancer that names a namespace that is gone."""
    return [
        f"Secret {secret['metadata']['namespace']}/{secret['metadata']['name']} outlives {namespace}"
        for secret in secrets
        if _about(secret).startswith(f"{namespace}/")
    ]


def tokens(certificates: Iterable[Object]) -> set[Token]:
    """The challenges of the orders in the status of Certificates, as they were at any time."""
    return {
        Token(host=record["identifier"], value=record["token"])
        for body in certificates
        for record in ((body.get("status") or {}).get("order") or {}).get("authorizations", ())
        if record.get("token")
    }


def answered(
    finalized: int, seen: Collection[Token], answers: Mapping[tuple[str, Token], int]
) -> list[str]:
    """Challenges that a node still answers although no order is open: HTTP status by node and token.

    Orders that were finalized without a single challenge `seen` mean that nothing was looked at.
    """
    wrong = [
        f"{node} still answers a challenge of {token.host}"
        for (node, token), status in answers.items()
        if status == HTTPStatus.OK
    ]
    if finalized and not seen:
        wrong.append(f"{finalized} orders were finalized, and no status has told of a challenge")
    return wrong


def marks(pem: bytes) -> Iterator[str]:
    """What of a private key could be found in a text: its lines, and base64 of the whole."""
    for line in pem.decode(errors="replace").splitlines():
        if not line.startswith("-----") and len(line) >= _SHORTEST:
            yield line[:40]
    yield base64.b64encode(pem).decode()[60:110]


def told_keys(places: Mapping[str, str], keys: Iterable[bytes]) -> list[str]:
    """Places (logs) that hold a part of a private key."""
    wanted = {mark for key in keys for mark in marks(key) if mark}
    return [
        f"a private key is in {place}"
        for place, text in places.items()
        if any(mark in text for mark in wanted)
    ]


def unserved(expected: Mapping[str, str], shown: Mapping[tuple[str, str], str]) -> list[str]:
    """Hostnames that a node shows something else for: fingerprints by host, and by (node, host)."""
    return [
        f"{node} shows {found[:60] or 'nothing'} for {host}, not {expected[host][:12]}…"
        for (node, host), found in shown.items()
        if found != expected[host]
    ]


def lasting(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Certificates whose revision a moved clock has changed."""
    return [
        f"{name} was issued again (revision {before[name]} to {after[name]}) because the clock moved"
        for name in before
        if after.get(name, before[name]) != before[name]
    ]


def _about(secret: Object) -> str:
    annotations = secret["metadata"].get("annotations") or {}
    found: str = annotations.get(MARKER, "")
    return found


def _verifies(certificate: bytes, root: str) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        chain, trusted = Path(directory, "chain.pem"), Path(directory, "root.pem")
        chain.write_bytes(certificate)
        trusted.write_text(root)
        arguments = ("-CAfile", str(trusted), "-untrusted", str(chain), str(chain))
        return bool(openssl("verify", *arguments))
