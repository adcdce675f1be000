"""OVH: a service with two zones; every certificate on it is offered by SNI once a refresh is done."""

# ruff: noqa: ARG002 - the methods of all adapters are called alike

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.loadbalancer import LoadBalancerSpec, OVHSettings
from certfront.model.references import LocalReference
from sandbox.emulators.ovh import OVH as Emulated  # noqa: N811 - a class
from sandbox.emulators.server import Fault, StoppedClock
from tests.contract import material
from tests.contract.material import plain
from tests.contract.stage import Adapter, listener

SERVICE = "loadbalancer-0123456789abcdef"
_BY_HAND = "by hand"


class OVH(Adapter):
    """Application keys; a certificate is stored on the service, and live after a refresh."""

    kind = "OVH"
    name = "ovh"
    credentials: ClassVar[Mapping[str, bytes]] = {
        "applicationKey": b"emulatedAppKey00",
        "applicationSecret": b"emulatedApplicationSecret0000000",
        "consumerKey": b"emulatedConsumerKey0000000000000",
    }
    wrong_credentials: ClassVar[Mapping[str, bytes]] = {
        **credentials,
        "consumerKey": b"anotherConsumerKey00000000000000",
    }
    install = ("POST /ssl", "POST /http/frontend", "POST /refresh")
    skips: ClassVar[Mapping[str, str]] = {
        "claims": "of two certificates for one name any may be served: two LoadBalancers of one "
        "service are refused before the provider is asked",
    }
    rotation = ("POST /ssl", "POST /refresh", "DELETE /ssl/{id}", "POST /refresh")

    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulated:
        ports = {str(port): real for port, real in fronts.items()}
        return Emulated(clock=clock, ports=ports, fingerprint_form="sha256", **options)

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="OVH",
            ovh=OVHSettings(
                endpoint=f"{url}/1.0",
                service_name=SERVICE,
                credentials_secret_ref=LocalReference(name="ovh"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        farm = "" if changes.get("manage") == "CertificatesOnly" else "web"
        return listener(name, *bindings, **{"farm_name": farm, **changes})

    def is_change(self, method: str, name: str) -> bool:
        return method != "GET" and "/auth/" not in name

    def certificates(self, snapshot: Any) -> list[str]:
        held = snapshot["services"][SERVICE]["ssl"]
        return [plain(one["fingerprint"]) for one in held if one["displayName"] != _BY_HAND]

    def seed(self, emulator: Any) -> None:
        theirs = material.foreign()
        emulator.services[SERVICE].add_certificate(
            {
                "certificate": theirs.tls_crt.decode().partition("-----END CERTIFICATE-----\n")[0]
                + "-----END CERTIFICATE-----\n",
                "key": theirs.private_key_pem.decode(),
                "displayName": _BY_HAND,
            },
            emulator.clock.now(),
        )
        self._add_frontend(emulator, "9443")

    def foreign(self, snapshot: Any) -> Any:
        state = snapshot["services"][SERVICE]
        return [
            one
            for kind in ("ssl", "frontends")
            for one in state[kind]
            if one["displayName"] == _BY_HAND and one.get("port") != "443"
        ]

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = [
            one for one in snapshot["services"][SERVICE]["ssl"] if one["displayName"] != _BY_HAND
        ]
        emulator.steer("forget-ssl", {"id": ours["id"]})

    def forget_listener(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = [
            one
            for one in snapshot["services"][SERVICE]["frontends"]
            if one["displayName"] != _BY_HAND
        ]
        emulator.steer("forget-frontend", {"id": ours["frontendId"]})

    def change_listener(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = [
            one
            for one in snapshot["services"][SERVICE]["frontends"]
            if one["displayName"] != _BY_HAND
        ]
        emulator.steer("alter-frontend", {"id": ours["frontendId"], "fields": {"hsts": True}})

    def set_quota(self, emulator: Any, more: int) -> None:
        held = len(emulator.snapshot()["services"][SERVICE]["ssl"])
        emulator.steer("option", {"name": "ssl_quota", "value": held + more})

    def add_listener(self, emulator: Any) -> None:
        self._add_frontend(emulator, "443")

    def _add_frontend(self, emulator: Any, port: str) -> None:
        made = emulator.services[SERVICE].add_frontend(
            {"port": port, "zone": "all", "ssl": True, "displayName": _BY_HAND}
        )
        # Applied at once.
        emulator.steer("alter-frontend", {"id": made["frontendId"], "fields": {}})

    def in_use(self, name: str) -> Fault | None:
        return Fault(status=409, body='{"message": "This SSL is used by a frontend"}')

    def removes_certificate(self, name: str) -> bool:
        return name == "DELETE /ssl/{id}"
