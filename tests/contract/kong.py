"""Kong: certificates and their names (SNIs) behind an admin token; listeners are Kong's own."""

# ruff: noqa: ARG002 - the methods of all adapters are called alike

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.loadbalancer import KongAdmin, LoadBalancerSpec
from certfront.model.references import LocalReference
from certfront.pki.pair import KeyPair
from sandbox.emulators.kong import Kong as Emulated
from sandbox.emulators.server import Fault, StoppedClock
from tests.contract import material
from tests.contract.stage import Adapter, listener

_BY_HAND = "by-hand"


class Kong(Adapter):
    """A node with a database. Writes are read back, so each change is followed by a read."""

    kind = "Kong"
    name = "kong"
    credentials: ClassVar[Mapping[str, bytes]] = {"token": b"canary-admin-token-5b1f\n"}
    wrong_credentials: ClassVar[Mapping[str, bytes]] = {"token": b"canary-wrong-token-77\n"}
    install = ("PUT /certificates/{}",)
    rotation = ("PUT /certificates/{}",)
    own_listeners = False
    skips: ClassVar[Mapping[str, str]] = {
        "quota": "Kong limits no number of objects",
        "listener": "a Kong's listeners are set in its configuration file, not by its API",
    }

    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulated:
        token = self.credentials["token"].decode().strip()
        return Emulated(clock=clock, https_port=fronts[443], token=token, **options)

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="Kong",
            kong=KongAdmin(
                admin_url=url,
                proxy_address=f"127.0.0.1:{fronts[443]}",
                credentials_secret_ref=LocalReference(name="kong"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        return listener(name, *bindings, **changes)

    def is_change(self, method: str, name: str) -> bool:
        return method != "GET"

    def certificates(self, snapshot: Any) -> list[str]:
        return [
            one["cert_sha256"]
            for one in snapshot["certificates"]
            if _BY_HAND not in (one["tags"] or [])
        ]

    def seed(self, emulator: Any) -> None:
        self._add(emulator, material.foreign(), material.FOREIGN)

    def foreign(self, snapshot: Any) -> Any:
        held = [one for one in snapshot["certificates"] if _BY_HAND in (one["tags"] or [])]
        ids = {one["id"] for one in held}
        return held, [one for one in snapshot["snis"] if one["certificate"]["id"] in ids]

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = [
            one["id"] for one in snapshot["certificates"] if _BY_HAND not in (one["tags"] or [])
        ]
        emulator.steer("request", {"method": "DELETE", "path": f"/certificates/{ours}"})

    def take_name(self, emulator: Any, host: str) -> None:
        self._add(emulator, material.foreign(2, host), host, tags=("elsewhere",))

    def _add(
        self, emulator: Any, pair: KeyPair, host: str, tags: tuple[str, ...] = (_BY_HAND,)
    ) -> None:
        body = {
            "cert": pair.tls_crt.decode(),
            "key": pair.private_key_pem.decode(),
            "snis": [host],
            "tags": list(tags),
        }
        emulator.steer("request", {"method": "POST", "path": "/certificates", "body": body})

    def in_use(self, name: str) -> Fault | None:
        # "referenced by others", as Kong 3.9.3 answers for one that a service uses.
        body = {"code": 4, "name": "foreign key violation", "message": "it is referenced"}
        return Fault(status=400, body=json.dumps(body))

    def removes_certificate(self, name: str) -> bool:
        return name == "DELETE /certificates/{}"
