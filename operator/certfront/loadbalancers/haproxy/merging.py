"""Several frontends on one node: who gets which port, host name and certificate line.

Pure: manifests in, listeners and failures out. The operator settles claims before it writes
manifests; what is decided here holds for whatever is read, and an earlier manifest always wins
over a later one. Used by `configuration`; the agent makes the
entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from certfront.loadbalancers.haproxy.handover import Manifest
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.keys import KeyAlgorithm

DEFAULT_NAME: Final = "default.certfront.invalid"
"""What the line of a default certificate is bound to: a name that no one can claim (RFC 6761)."""

# A commit that is cut off crashes HAProxy once a certificate has more than ten instances, and each
# line makes two: on the TCP bind and on the bind for the proof.
_MOST_LINES_PER_BUNDLE: Final = 5

TLSVersion = Literal["TLS1.2", "TLS1.3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A manifest, by the name of its Secret; not `present` if its Secret is gone meanwhile."""

    secret: str
    manifest: Manifest
    present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CrtLine:
    """A line of a crt-list: a bundle and the names it answers for, sorted."""

    bundle: str
    hostnames: tuple[str, ...]
    min_tls_version: TLSVersion = "TLS1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One port. `routes` leads a host name to a frontend; `catch_all` gets every other host.

    Only a frontend of the load balancer's own namespace becomes that, by its default certificate.
    """

    port: int
    tls: bool
    routes: Mapping[str, str] = field(default_factory=dict)
    catch_all: str | None = None
    default_bundle: str | None = None
    lines: tuple[CrtLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """All listeners, by port; the entries that have a part in one; what had to be withheld."""

    listeners: tuple[Listener, ...]
    entries: tuple[Entry, ...]
    failed: tuple[Failed, ...]


def rank(entry: Entry) -> tuple[bool, bool, str, str]:
    """Who wins a contest: present, then the load balancer's own namespace, then the oldest."""
    manifest = entry.manifest
    return (not entry.present, not manifest.own_namespace, manifest.created, manifest.frontend)


def merge(
    entries: Iterable[Entry], key_types: Mapping[str, KeyAlgorithm], real_ports: Mapping[int, int]
) -> Merged:
    """Listeners for `entries`, all of them valid.

    `key_types` are those of the bundles at hand (others are left out of the lists), `real_ports`
    the ports that are bound instead of the ones the frontends name.
    """
    enabled = sorted((one for one in entries if not one.manifest.disabled), key=rank)
    merging = _Merging(key_types, real_ports)
    for entry in enabled:
        merging.take(entry)
    return merging.result(tuple(enabled))


@dataclass(slots=True)
class _Port:
    """A listener in the making."""

    number: int
    tls: bool
    routes: dict[str, str] = field(default_factory=dict)
    catch_all: str | None = None
    default_bundle: str | None = None
    claims: dict[tuple[str, KeyAlgorithm], _Claim] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Claim:
    bundle: str
    min_tls_version: TLSVersion
    secret: str


class _Merging:
    """Takes entries in the order of their rank; the first claim stays."""

    def __init__(
        self, key_types: Mapping[str, KeyAlgorithm], real_ports: Mapping[int, int]
    ) -> None:
        self._key_types = key_types
        self._real_ports = real_ports
        self._bound_for_others = {real for asked, real in real_ports.items() if asked != real}
        self._ports: dict[int, _Port] = {}
        self._failed: dict[Failed, None] = {}

    def take(self, entry: Entry) -> None:
        """Let an entry claim its ports, host names and certificate lines."""
        manifest = entry.manifest
        main = self._port(entry, manifest.port, tls=manifest.ssl)
        if main is not None:
            self._route(main, entry)
            if manifest.ssl:
                self._bind_certificates(main, entry)
        if manifest.http_port is not None:
            twin = self._port(entry, manifest.http_port, tls=False)
            if twin is not None:
                self._route(twin, entry)
        if manifest.challenge_port is not None:
            self._port(entry, manifest.challenge_port, tls=False)

    def result(self, entries: tuple[Entry, ...]) -> Merged:
        """What the entries taken amount to."""
        for port in self._ports.values():
            self._drop_shadowed(port)
        listeners = tuple(
            Listener(
                port=port.number,
                tls=port.tls,
                routes=dict(sorted(port.routes.items())),
                catch_all=port.catch_all,
                default_bundle=port.default_bundle,
                lines=_lines(port),
            )
            for _, port in sorted(self._ports.items())
        )
        return Merged(
            listeners=self._without_surplus_lines(listeners),
            entries=entries,
            failed=tuple(self._failed),
        )

    def _port(self, entry: Entry, number: int, *, tls: bool) -> _Port | None:
        real = self._real_ports.get(number, number)
        if real == number and number in self._bound_for_others:
            self._fail(
                entry.secret, "PortConflict", f"port {number} is bound in place of another one"
            )
            return None
        port = self._ports.setdefault(real, _Port(number, tls))
        if port.number == number and port.tls == tls:
            return port
        self._fail(entry.secret, "PortConflict", f"port {number} is used otherwise already")
        return None

    def _route(self, port: _Port, entry: Entry) -> None:
        manifest = entry.manifest
        for name in manifest.hostnames:
            holder = port.routes.setdefault(name, manifest.frontend)
            if holder != manifest.frontend:
                self._fail(
                    entry.secret,
                    "HostnameConflict",
                    f"{name} on port {port.number} belongs to {holder}",
                )
        # A guest's default certificate answers handshakes; hosts that it was not granted are no
        # more its own for that, and plain HTTP has no handshake.
        takes_all = port.tls and manifest.own_namespace and manifest.default_bundle is not None
        if takes_all and port.catch_all is None:
            port.catch_all = manifest.frontend

    def _bind_certificates(self, port: _Port, entry: Entry) -> None:
        manifest = entry.manifest
        if port.default_bundle is None and manifest.default_bundle in self._key_types:
            port.default_bundle = manifest.default_bundle
        for certificate in manifest.certificates:
            key_type = self._key_types.get(certificate.bundle)
            if key_type is None:
                continue
            claim = _Claim(certificate.bundle, manifest.min_tls_version, entry.secret)
            for name in certificate.hostnames:
                if port.routes.get(name) == manifest.frontend:
                    self._bind(port, name, key_type, claim)

    def _bind(self, port: _Port, name: str, key_type: KeyAlgorithm, claim: _Claim) -> None:
        holder = port.claims.setdefault((name, key_type), claim)
        if holder.bundle != claim.bundle:
            self._fail(
                claim.secret,
                "CertificateConflict",
                f"{name} on port {port.number} has two {key_type} certificates",
            )

    def _drop_shadowed(self, port: _Port) -> None:
        """Refuse exact RSA names under an ECDSA wildcard: HAProxy would serve the wildcard."""
        for (name, key_type), claim in list(port.claims.items()):
            if key_type is not KeyAlgorithm.RSA or name.startswith("*."):
                continue
            if (name, KeyAlgorithm.ECDSA) in port.claims:
                continue
            wildcard = "*." + name.partition(".")[2]
            if (wildcard, KeyAlgorithm.ECDSA) in port.claims:
                del port.claims[(name, key_type)]
                self._fail(
                    claim.secret,
                    "ShadowedByWildcard",
                    f"the RSA certificate for {name} would lose to the ECDSA one for {wildcard}; "
                    "use an ECDSA key",
                )

    def _without_surplus_lines(self, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        lines: dict[str, int] = {}
        kept = []
        for listener in listeners:
            if listener.default_bundle is not None:
                lines[listener.default_bundle] = lines.get(listener.default_bundle, 0) + 1
            held = []
            for line in listener.lines:
                lines[line.bundle] = lines.get(line.bundle, 0) + 1
                if lines[line.bundle] <= _MOST_LINES_PER_BUNDLE:
                    held.append(line)
                else:
                    self._fail(line.bundle, "TooManyListeners", "used by more than five listeners")
            kept.append(replace(listener, lines=tuple(held)))
        return tuple(kept)

    def _fail(self, secret: str, reason: str, message: str) -> None:
        self._failed[Failed(secret=secret, reason=reason, message=message)] = None


def _lines(port: _Port) -> tuple[CrtLine, ...]:
    names: dict[tuple[str, TLSVersion], list[str]] = {}
    for (name, _), claim in port.claims.items():
        names.setdefault((claim.bundle, claim.min_tls_version), []).append(name)
    return tuple(
        CrtLine(bundle=bundle, hostnames=tuple(sorted(held)), min_tls_version=version)
        for (bundle, version), held in sorted(names.items())
    )
