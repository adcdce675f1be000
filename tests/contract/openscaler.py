"""OpenScaler: certificates under a load balancer; with the undocumented reading and deletion, or not."""

# ruff: noqa: ARG002 - the methods of all adapters are called alike

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.loadbalancer import LoadBalancerSpec, OpenScalerSettings
from certfront.model.references import LocalReference
from sandbox.emulators.openscaler import OpenScaler as Emulated
from sandbox.emulators.openscaler import _uploaded
from sandbox.emulators.server import Fault, StoppedClock
from tests.contract import material
from tests.contract.stage import Adapter, listener

BALANCER = "42"
_BY_HAND = "by-hand"


class OpenScaler(Adapter):
    """Where the service offers reading and deletion."""

    kind = "OpenScaler"
    name = "openscaler"
    offered: ClassVar[bool] = True
    credentials: ClassVar[Mapping[str, bytes]] = {"token": b"canary-openscaler-token-77a1\n"}
    wrong_credentials: ClassVar[Mapping[str, bytes]] = {"token": b"canary-another-token-77a1\n"}
    install = ("POST certificates",)
    rotation = ("POST certificates", "DELETE certificates/{}")
    own_listeners = False
    skips: ClassVar[Mapping[str, str]] = {
        "listener": "OpenScaler's API has certificates and no listeners",
        "claims": "which certificate answers for a name is not told: two LoadBalancers of one "
        "service are refused before the provider is asked",
        "quota": "no quota is documented, so its refusal is known by no code",
    }

    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulated:
        return Emulated(
            clock=clock,
            lbs={BALANCER: fronts[443]},
            token=self.credentials["token"].decode().strip(),
            issuance_seconds=0,
            listing=self.offered,
            deletion=self.offered,
            **options,
        )

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="OpenScaler",
            open_scaler=OpenScalerSettings(
                endpoint=url,
                load_balancer_id=BALANCER,
                credentials_secret_ref=LocalReference(name="openscaler"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        return listener(name, *bindings, **changes)

    def is_change(self, method: str, name: str) -> bool:
        return method != "GET"

    def label(self, method: str, name: str) -> str:
        tail = name.partition("/certificates/")[2]
        return f"{method} certificates" + ("/{}" if tail else "")

    def certificates(self, snapshot: Any) -> list[str]:
        held = snapshot["lbs"][BALANCER]
        return [one["fingerprint"] for one in held if one["name"] != _BY_HAND]

    def seed(self, emulator: Any) -> None:
        theirs = material.foreign()
        content = theirs.tls_crt.decode() + theirs.private_key_pem.decode()
        fields = {"name": _BY_HAND, "cert_type": "upload", "cert_content": content}
        emulator._lbs[BALANCER][_BY_HAND] = emulator._certificate(fields, *_uploaded(content))

    def foreign(self, snapshot: Any) -> Any:
        return [one for one in snapshot["lbs"][BALANCER] if one["name"] == _BY_HAND]

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = [one for one in snapshot["lbs"][BALANCER] if one["name"] != _BY_HAND]
        emulator.steer("remove", [BALANCER, ours["name"]])

    def set_quota(self, emulator: Any, more: int) -> None:
        emulator.steer("quota", len(emulator.snapshot()["lbs"][BALANCER]) + more)

    def in_use(self, name: str) -> Fault | None:
        return Fault(status=409, body=json.dumps({"error": "the certificate is in use"}))

    def removes_certificate(self, name: str) -> bool:
        return "/certificates/" in name


class DocumentedOpenScaler(OpenScaler):
    """As it is documented: certificates can be created and nothing else."""

    name = "openscaler-documented"
    offered = False
    removes = False
    reads = False
    rotation = ("POST certificates", "DELETE certificates/{}")
    skips: ClassVar[Mapping[str, str]] = {
        **OpenScaler.skips,
        "reads": "nothing can be read back: what is changed by others is not noticed",
        "removes": "nothing can be removed",
    }
