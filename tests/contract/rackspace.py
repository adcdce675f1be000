"""Rackspace: one SSL termination with a default certificate, and a mapping for each other name."""

# ruff: noqa: ARG002 - the methods of all adapters are called alike

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.loadbalancer import LoadBalancerSpec, RackspaceSettings
from certfront.model.references import LocalReference
from sandbox.emulators.rackspace import API_KEY
from sandbox.emulators.rackspace import Rackspace as Emulated
from sandbox.emulators.rackspace.state import Material, Termination
from sandbox.emulators.server import Fault, StoppedClock
from tests.contract import material
from tests.contract.stage import Adapter, listener

OURS, THEIRS = 71, 72
_MARK = "-----END CERTIFICATE-----\n"


class Rackspace(Adapter):
    """The load balancer is PENDING_UPDATE after each change and takes no other until it is ACTIVE."""

    kind = "Rackspace"
    name = "rackspace"
    credentials: ClassVar[Mapping[str, bytes]] = {
        "username": b"certfront",
        "apiKey": API_KEY.encode() + b"\n",
    }
    wrong_credentials: ClassVar[Mapping[str, bytes]] = {
        "username": b"certfront",
        "apiKey": b"0123456789abcdef0123456789abcdef",
    }
    install = ("PUT ssltermination",)
    skips: ClassVar[Mapping[str, str]] = {
        "listener-deleted": "the termination is the listener and its certificate at once"
    }
    rotation = ("PUT ssltermination",)

    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulated:
        ports = {f"{OURS}/{port}": real for port, real in fronts.items()}
        return Emulated(
            clock=clock,
            load_balancers=(str(OURS), str(THEIRS)),
            port_map=ports,
            **{"rate_limits": False, **options},
        )

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="Rackspace",
            rackspace=RackspaceSettings(
                region="dfw",
                load_balancer_id=str(OURS),
                identity_url=f"{url}/v2.0",
                credentials_secret_ref=LocalReference(name="rackspace"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        return listener(name, *bindings, **changes)

    def is_change(self, method: str, name: str) -> bool:
        return method != "GET" and not name.endswith("/tokens")

    def label(self, method: str, name: str) -> str:
        tail = name.partition(f"/loadbalancers/{OURS}")[2].strip("/")
        return f"{method} {tail}".strip()

    def certificates(self, snapshot: Any) -> list[str]:
        """Each once: of one certificate there may be a mapping for each name."""
        ours = self._balancer(snapshot, OURS)["set"]
        held = [one["certificate"] for one in ours["certificateMappings"]]
        if "sslTermination" in ours:
            held.append(ours["sslTermination"]["certificate"])
        theirs = material.fingerprint_of_pem(material.foreign().tls_crt.decode())
        return sorted({material.fingerprint_of_pem(pem) for pem in held} - {theirs})

    def seed(self, emulator: Any) -> None:
        self._terminate(emulator, THEIRS)

    def foreign(self, snapshot: Any) -> Any:
        ours = self._balancer(snapshot, OURS)["set"]
        attributes = {name: ours[name] for name in ("name", "protocol", "port")}
        return self._balancer(snapshot, THEIRS), attributes

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        emulator.steer("remove-termination", {"id": OURS})

    def change_listener(self, emulator: Any, snapshot: Any) -> None:
        balancer = emulator._balancers[OURS]
        theirs = material.foreign(2)
        balancer.behind_its_back(termination=_termination(theirs))

    def set_quota(self, emulator: Any, more: int) -> None:
        """Of mappings; the termination's own certificate is beside them."""
        emulator.steer("mapping-limit", more - 1)

    def raise_quota(self, emulator: Any) -> None:
        emulator.steer("mapping-limit", 20)

    def add_listener(self, emulator: Any) -> None:
        self._terminate(emulator, OURS)

    def _terminate(self, emulator: Any, number: int) -> None:
        emulator._balancers[number].behind_its_back(termination=_termination(material.foreign()))

    @staticmethod
    def _balancer(snapshot: Any, number: int) -> Any:
        return next(one for one in snapshot["loadBalancers"] if one["id"] == number)

    def throttled(self, seconds: int, name: str) -> Fault:
        body = json.dumps({"code": 413, "message": "Too many requests"})
        return Fault(status=413, headers={"Retry-After": str(seconds)}, body=body)

    def in_use(self, name: str) -> Fault | None:
        body = {"code": 422, "message": "Load Balancer is considered immutable."}
        return Fault(status=422, body=json.dumps(body))

    def removes_certificate(self, name: str) -> bool:
        return "certificatemappings/" in name or name.endswith("ssltermination")


def _termination(pair: Any) -> Termination:
    first, end, rest = pair.tls_crt.decode().partition(_MARK)
    return Termination(
        secure_port=443,
        material=Material(
            private_key=pair.private_key_pem.decode().strip(),
            certificate=(first + end).strip(),
            intermediate=rest.strip(),
        ),
    )
