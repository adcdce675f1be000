"""What a stand-in for a provider holds and serves, in the same words for all of them.

:mod:`tests.e2e.provider_journeys` looks through this; nothing here knows how certfront works.
"""

import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.emulators.control import Control
from sandbox.emulators.server import Call
from sandbox.state import Emulator

_SECONDS = 5.0


@dataclass(frozen=True)
class Leaf:
    """A certificate in DER, as a handshake showed it."""

    der: bytes

    @property
    def sha256(self) -> str:
        """As `status.fingerprint` spells it, without colons."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def marks(self) -> frozenset[str]:
        """All that a provider may call it by."""
        sha1 = hashlib.sha1(self.der, usedforsecurity=False).hexdigest()
        return frozenset({self.sha256, sha1})

    @property
    def names(self) -> list[str]:
        """The DNS names that it carries."""
        certificate = x509.load_der_x509_certificate(self.der)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return extension.value.get_values_for_type(x509.DNSName)


class ProviderView:
    """One emulator, seen through its control API and by handshakes with what it serves."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.control = Control(emulator.url)

    def held(self, type_: str) -> list[str]:
        """Fingerprints of all certificates that are stored, for a load balancer of that type."""
        return sorted(_HELD[type_](self.control.state()))

    def holds(self, type_: str, leaf: Leaf) -> bool:
        """Whether that one is stored."""
        return not leaf.marks.isdisjoint(self.held(type_))

    def configuration(self, type_: str) -> Any:
        """What anybody could have made there: certificates, listeners, names; nothing that runs."""
        return _CONFIGURATION[type_](self.control.state())

    def changes(self) -> list[Call]:
        """The calls that changed something, oldest first."""
        return [call for call in self.control.calls() if _changes(call)]

    def shown(self, name: str, port: int, root: str = "") -> Leaf:
        """What a client gets for `name`, verified against `root` (PEM) if given. Raises OSError."""
        if root:
            context = ssl.create_default_context(cadata=root)
            # A self-signed leaf is its own anchor.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((self.emulator.front, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            return Leaf(secured.getpeercert(binary_form=True) or b"")


def _changes(call: Call) -> bool:
    if call.path.endswith("/tokens") or call.method in ("GET", "HEAD"):
        return False
    # AWS has POST for everything; what reads is called so.
    action = call.name.rpartition(":")[2].rpartition(".")[2]
    return not action.startswith(("Describe", "List", "Get", "AssumeRole"))


def _leaf(pem: str) -> str:
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


def _ovh(state: Any) -> Iterator[str]:
    for service in state["services"].values():
        for held in service["ssl"]:
            yield held["fingerprint"].replace(":", "").lower()


def _kong(state: Any) -> Iterator[str]:
    for held in state["certificates"]:
        yield from filter(None, (held["cert_sha256"], held["cert_alt_sha256"]))


def _rackspace(state: Any) -> Iterator[str]:
    for balancer in state["loadBalancers"]:
        found = balancer["set"]
        for held in (found.get("sslTermination"), *found["certificateMappings"]):
            if held:
                yield _leaf(held["certificate"])


def _openscaler(state: Any) -> Iterator[str]:
    for certificates in state["lbs"].values():
        for held in certificates:
            yield held["fingerprint"].replace(":", "").lower()


def _stored(where: str) -> Callable[[Any], Iterator[str]]:
    return lambda state: (_leaf(held["certificate"]) for held in state[where])


_HELD: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "AWSApplication": _stored("certificates"),
    "AWSClassic": _stored("server_certificates"),
    "Kong": _kong,
    "OVH": _ovh,
    "OpenScaler": _openscaler,
    "Rackspace": _rackspace,
}


def _of_ovh(state: Any) -> Any:
    parts = ("frontends", "ssl", "routes", "pendingChanges")
    return {
        name: {part: service.get(part) for part in parts}
        for name, service in state["services"].items()
    }


def _of_kong(state: Any) -> Any:
    return {part: state[part] for part in ("certificates", "snis")}


def _of_aws(balancers: str, certificates: str) -> Callable[[Any], Any]:
    return lambda state: {part: state[part] for part in (balancers, certificates)}


_CONFIGURATION: Mapping[str, Callable[[Any], Any]] = {
    "AWSApplication": _of_aws("application", "certificates"),
    "AWSClassic": _of_aws("classic", "server_certificates"),
    "Kong": _of_kong,
    "OVH": _of_ovh,
    "OpenScaler": lambda state: state["lbs"],
    "Rackspace": lambda state: [balancer["set"] for balancer in state["loadBalancers"]],
}
