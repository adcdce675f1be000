"""AWS: a classic load balancer with IAM's certificates, and an application one with ACM's."""

# ruff: noqa: ARG002 - the methods of all adapters are called alike

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast

from certfront.loadbalancers.protocol import Binding, Listener
from certfront.model.frontend import ClassicListener
from certfront.model.loadbalancer import (
    AWSApplicationSettings,
    AWSClassicSettings,
    LoadBalancerSpec,
)
from certfront.model.references import LocalReference
from sandbox.emulators.aws import AWS as Emulated  # noqa: N811 - a class
from sandbox.emulators.aws import refusing, throttling
from sandbox.emulators.server import Fault, StoppedClock
from tests.contract import material
from tests.contract.stage import Adapter, listener

_Service = Literal["acm", "elb", "elbv2", "iam", "sts"]
_READS = ("Describe", "List", "Get", "Assume")
_KEYS = {
    "accessKeyID": b"AKIASANDBOXCERTFRONT",
    "secretAccessKey": b"sandbox/certfront/secret\n",
}


class _AWS(Adapter):
    balancer: ClassVar[str]
    skips: ClassVar[Mapping[str, str]] = {
        "listener-changed": "the emulator has no way to change a listener but by the API",
    }
    exact: ClassVar[Mapping[str, Any]] = {"propagation_misses": 0}
    credentials = _KEYS
    wrong_credentials: ClassVar[Mapping[str, bytes]] = {
        **_KEYS,
        "secretAccessKey": b"canary-another-secret-0001",
    }

    def emulator(self, clock: StoppedClock, fronts: Mapping[int, int], **options: Any) -> Emulated:
        made = Emulated(
            clock=clock,
            listeners=(f"{self.balancer}:9443:HTTPS:{'80' if self.balancer == 'classic' else ''}",),
            ports={f"{self.balancer}:{port}": real for port, real in fronts.items()},
            **options,
        )
        # botocore signs with the time that it is, whatever time the test has.
        made.keys._now = lambda: datetime.now(UTC)
        return made

    def is_change(self, method: str, name: str) -> bool:
        return not name.partition(":")[2].startswith(_READS)

    def throttled(self, seconds: int, name: str) -> Fault:
        return throttling(cast("_Service", name.partition(":")[0]))

    def pause(self, seconds: int) -> float:
        """AWS names no time."""
        return 5.0

    def seed(self, emulator: Any) -> None:
        """The listener on port 9443 and its certificate are there from the start."""

    def add_listener(self, emulator: Any) -> None:
        kind = "80" if self.balancer == "classic" else "web"
        emulator.steer("add_listener", f"{self.balancer}:443:HTTPS:{kind}")

    def forget_listener(self, emulator: Any, snapshot: Any) -> None:
        emulator.steer("remove_listener", f"{self.balancer}:443")


class AWSClassic(_AWS):
    """One certificate for each listener; a new one is not found by the balancer at once."""

    kind = "AWSClassic"
    name = "aws-classic"
    balancer = "classic"
    one_certificate = True
    second_port = 8443
    install = ("iam:UploadServerCertificate", "elb:AddTags", "elb:CreateLoadBalancerListeners")
    rotation = (
        "iam:UploadServerCertificate",
        "elb:SetLoadBalancerListenerSSLCertificate",
        "iam:DeleteServerCertificate",
    )

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="AWSClassic",
            aws_classic=AWSClassicSettings(
                region="us-east-1",
                load_balancer_name="classic",
                endpoint_url=url,
                credentials_secret_ref=LocalReference(name="aws"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        return listener(
            name, *bindings, **{"classic": ClassicListener(instance_port=80), **changes}
        )

    def certificates(self, snapshot: Any) -> list[str]:
        return [material.fingerprint_of_pem(one["certificate"]) for one in self._ours(snapshot)]

    @staticmethod
    def _ours(snapshot: Any) -> list[Any]:
        held = snapshot["server_certificates"]
        return [one for one in held if not one["name"].startswith("terraform-")]

    def foreign(self, snapshot: Any) -> Any:
        (listening,) = [one for one in snapshot["classic"][0]["listeners"] if one["port"] == 9443]
        stored = [
            (one["name"], one["certificate"], one["tags"])
            for one in snapshot["server_certificates"]
            if one["arn"] == listening["certificate"]
        ]
        return listening, stored

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = self._ours(snapshot)
        emulator.steer("remove_server_certificate", ours["name"])

    def set_quota(self, emulator: Any, more: int) -> None:
        held = len(emulator.snapshot()["server_certificates"])
        emulator.steer("server_certificates", held + more)

    def in_use(self, name: str) -> Fault | None:
        return refusing("iam", "DeleteServerCertificate", "DeleteConflict")

    def removes_certificate(self, name: str) -> bool:
        return name == "iam:DeleteServerCertificate"


class AWSApplication(_AWS):
    """Certificates in ACM keep their ARN over renewals; a listener has a default and others."""

    kind = "AWSApplication"
    name = "aws-application"
    balancer = "alb"
    install = (
        "acm:ImportCertificate",
        "elbv2:CreateListener",
        "elbv2:AddListenerCertificates",
    )
    rotation = ("acm:ImportCertificate",)
    known: ClassVar[Mapping[str, str]] = {
        "test_a_frontend_about_which_nothing_was_decided_keeps_everything": "the default "
        "certificate of the shared listener goes to the frontend that is wanted",
        "test_a_certificate_that_is_deleted_comes_back[same process]": "a certificate that is gone "
        "from ACM while it is used is told bound by the process that imported it",
    }

    def spec(self, url: str, fronts: Mapping[int, int]) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="AWSApplication",
            aws_application=AWSApplicationSettings(
                region="us-east-1",
                load_balancer_name="alb",
                endpoint_url=url,
                credentials_secret_ref=LocalReference(name="aws"),
            ),
        )

    def listener(self, name: str, *bindings: Binding, **changes: Any) -> Listener:
        farm = "" if changes.get("manage") == "CertificatesOnly" else "web"
        return listener(name, *bindings, **{"farm_name": farm, **changes})

    def certificates(self, snapshot: Any) -> list[str]:
        return [material.fingerprint_of_pem(one["certificate"]) for one in self._ours(snapshot)]

    @staticmethod
    def _ours(snapshot: Any) -> list[Any]:
        return [one for one in snapshot["certificates"] if "made-by" not in one["tags"]]

    def foreign(self, snapshot: Any) -> Any:
        (listening,) = [
            one for one in snapshot["application"][0]["listeners"] if one["Port"] == 9443
        ]
        used = {one["CertificateArn"] for one in listening["Certificates"]}
        stored = [
            (one["arn"], one["certificate"], one["tags"])
            for one in snapshot["certificates"]
            if one["arn"] in used
        ]
        return listening, stored

    def forget_certificate(self, emulator: Any, snapshot: Any) -> None:
        (ours,) = self._ours(snapshot)
        emulator.steer("remove_certificate", ours["arn"])

    def set_quota(self, emulator: Any, more: int) -> None:
        emulator.steer("acm_certificates", len(emulator.snapshot()["certificates"]) + more)

    def in_use(self, name: str) -> Fault | None:
        return refusing("acm", "DeleteCertificate", "ResourceInUseException")

    def removes_certificate(self, name: str) -> bool:
        return name == "acm:DeleteCertificate"
