"""The proxy of a Kong: which certificate a handshake gets, and what plain HTTP is answered.

What it serves is what the store held some time ago: certificates and their names at once on the
node that was written to, routes when the router is next rebuilt (`worker_state_update_frequency`).
Sources: kong/runloop/certificate.lua (`find_certificate`: the order of names, the built-in
certificate), kong/runloop/handler.lua (`access.before`: 426 and redirects, `trusted_ips`).
"""

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sandbox.emulators.kong.names import candidates
from sandbox.emulators.kong.node import NodeState
from sandbox.emulators.kong.schema import Entity
from sandbox.emulators.tls import Answer, Pair

CLIENT = "127.0.0.1"
"""The address that every client of a front is taken to have: fronts do not tell."""

_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class _Change:
    due: datetime
    kind: str
    identifier: str
    entity: Entity | None


class Proxy:
    """Serves what reached it."""

    def __init__(self, state: NodeState, now: Callable[[], datetime]) -> None:
        self._state = state
        self._now = now
        self._coming: list[_Change] = []
        self._served: dict[str, dict[str, Entity]] = {}

    def changed(self, kind: str, identifier: str, entity: Entity | None) -> None:
        """Take a change of the store, to be served after the delay of its kind."""
        routing = kind in ("routes", "services")
        seconds = self._state.route_seconds if routing else self._state.certificate_seconds
        due = self._now() + timedelta(seconds=seconds)
        self._coming.append(_Change(due, kind, identifier, entity))

    def served(self, kind: str) -> dict[str, Entity]:
        """The entities of a kind that are served now, by id."""
        now = self._now()
        waiting: list[_Change] = []
        for change in self._coming:
            if change.due > now:
                waiting.append(change)
                continue
            of_kind = self._served.setdefault(change.kind, {})
            of_kind.pop(change.identifier, None)
            if change.entity is not None:
                of_kind[change.identifier] = change.entity
        self._coming = waiting
        return self._served.setdefault(kind, {})

    def config_hash(self) -> str:
        """A hash over everything that is served now, as a data plane reports it."""
        everything = [self.served(kind) for kind in ("certificates", "snis", "routes", "services")]
        digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode())
        return digest.hexdigest()[:32]

    def certificates(self, name: str | None) -> list[Pair] | None:
        """The pairs for a client's name; None where the handshake fails.

        A client without a name gets Kong's built-in pair whatever `*` has, as does a name that
        nothing covers.
        """
        if name is None:
            return builtin_pairs()
        by_name = {sni["name"]: sni for sni in self.served("snis").values()}
        for candidate in candidates(name):
            if candidate in by_name:
                identifier = by_name[candidate]["certificate"]["id"]
                return _pairs(self.served("certificates").get(identifier))
        return builtin_pairs()

    def over_tls(self, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request that came over TLS; its server name is taken to be its host."""
        return self._answer("https", host, path, headers)

    def in_the_clear(self, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request over plain HTTP."""
        return self._answer("http", host, path, headers)

    def _answer(self, scheme: str, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        lower = {name.lower(): value for name, value in headers.items()}
        route = self._route(scheme, host, path.partition("?")[0])
        if route is None:
            return _json(404, {"message": "no Route matched with those values"})
        forwarded, authority = scheme, lower.get("host", host)
        if self._trusted():
            forwarded = lower.get("x-forwarded-proto", scheme)
            authority = lower.get("x-forwarded-host", authority)
        protocols = route["protocols"]
        if "https" in protocols and "http" not in protocols and forwarded != "https":
            return _to_https(route["https_redirect_status_code"], authority, path)
        return _json(200, {"kong": "proxied", "route": route["name"] or route["id"]})

    def _trusted(self) -> bool:
        client = ipaddress.ip_address(CLIENT)
        networks = (ipaddress.ip_network(text, strict=False) for text in self._state.trusted_ips)
        return any(client in network for network in networks)

    def _route(self, scheme: str, host: str, path: str) -> Entity | None:
        """The route of a request: the most particular host first, then the longest path."""
        ranked = [
            (rank, -int(route["created_at"]), route["id"])
            for route in self.served("routes").values()
            if (rank := _rank(route, scheme, host, path)) is not None
        ]
        return self.served("routes")[max(ranked)[2]] if ranked else None


def _rank(route: Entity, scheme: str, host: str, path: str) -> tuple[int, int, int] | None:
    """How particularly a route matches; None where it does not."""
    if scheme not in route["protocols"] and not (
        scheme == "http" and "https" in route["protocols"]
    ):
        return None
    ranks: list[int] = []
    # The server names of a route say nothing about a request that has no handshake.
    snis = route["snis"] if scheme == "https" else None
    for wanted, rank in (
        (route["hosts"], _host_rank),
        (snis, _host_rank),
        (route["paths"], _path_rank),
    ):
        if not wanted:
            ranks.append(0)
            continue
        best = max(rank(pattern, path if rank is _path_rank else host) for pattern in wanted)
        if best == 0:
            return None
        ranks.append(best)
    return ranks[0], ranks[1], ranks[2]


def _host_rank(pattern: str, host: str) -> int:
    pattern = pattern.partition(":")[0].lower()
    if pattern == host:
        return 3
    if pattern.startswith("*") and host.endswith(pattern[1:]) and host != pattern[1:]:
        return 2
    if pattern.endswith("*") and host.startswith(pattern[:-1]) and host != pattern[:-1]:
        return 1
    return 0


def _path_rank(pattern: str, path: str) -> int:
    if pattern.startswith("~"):
        return 0  # expressions are not followed here
    return len(pattern) if path.startswith(pattern) else 0


def _to_https(status: int, authority: str, path: str) -> Answer:
    if status == 426:
        headers = {**_JSON, "Connection": "Upgrade", "Upgrade": "TLS/1.2, HTTP/1.1"}
        return Answer(
            status=426, headers=headers, body=json.dumps({"message": "Please use HTTPS protocol"})
        )
    # The port of the plain listener is not the one of the other: Kong leaves it out.
    host = authority.partition(":")[0]
    return Answer(status=status, headers={"Location": f"https://{host}{path}"})


def _json(status: int, body: Any) -> Answer:
    return Answer(status=status, headers=_JSON, body=json.dumps(body))


def _pairs(certificate: Entity | None) -> list[Pair] | None:
    if certificate is None:
        return None
    pairs = [(certificate["cert"], certificate["key"])]
    if certificate["cert_alt"]:
        pairs.append((certificate["cert_alt"], certificate["key_alt"]))
    return pairs


@cache
def builtin_pairs() -> list[Pair]:
    """Kong's own certificates, made when it is first started: self-signed for `localhost`."""
    keys = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP256R1()),
    )
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "California"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "San Francisco"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kong"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "IT Department"),
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        ]
    )
    made = datetime.now(UTC)
    pairs: list[Pair] = []
    for key in keys:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(made - timedelta(hours=1))
            .not_valid_after(made + timedelta(days=20 * 365))
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pairs.append((pem, private.decode()))
    return pairs
