"""An emulator of AWS with one balancer of each kind, and certfront's provider of one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from certfront.loadbalancers.aws import KIND_APPLICATION, KIND_CLASSIC
from certfront.loadbalancers.kinds import Credentials, ProviderKind
from certfront.loadbalancers.protocol import Provider, Wish
from certfront.model.loadbalancer import (
    AWSApplicationSettings,
    AWSClassicSettings,
    LoadBalancerSpec,
)
from certfront.model.references import LocalReference
from sandbox.emulators.aws import AWS
from sandbox.emulators.server import Running, SteppedClock, serving
from tests.contract.driver import Driver, environment
from tests.unit.loadbalancers.aws.builders import SCOPE

KEYS: Credentials = {
    "accessKeyID": b"AKIASANDBOXCERTFRONT",
    "secretAccessKey": b"sandbox/certfront/secret",
}


@dataclass(kw_only=True)
class World:
    running: Running
    clock: SteppedClock
    kind: ProviderKind
    spec: LoadBalancerSpec

    def provider(self, credentials: Credentials = KEYS, **given: Any) -> Provider[Any, Any]:
        return self.kind.build(self.spec, credentials, environment(self.clock, **given))

    def driver(self, wanted: Wish, **given: Any) -> Driver:
        return Driver(provider=self.provider(), wish=wanted, time=self.clock, **given)

    def with_settings(self, **changed: Any) -> None:
        """Other settings of the LoadBalancer."""
        spec = self.spec
        block = spec.aws_classic or spec.aws_application
        name = "aws_classic" if spec.aws_classic else "aws_application"
        self.spec = msgspec.structs.replace(
            spec, **{name: msgspec.structs.replace(block, **changed)}
        )

    def calls(self) -> list[str]:
        return [call.name for call in self.running.calls]

    def state(self) -> Any:
        return self.running.emulator.snapshot()

    def steer(self, what: str, value: Any) -> None:
        self.running.emulator.steer(what, value)

    # --- classic

    def classic(self) -> dict[int, dict[str, Any]]:
        return {one["port"]: one for one in self.state()["classic"][0]["listeners"]}

    def server_certificates(self) -> dict[str, str]:
        """ARN and name of what IAM has of ours."""
        return {
            one["arn"]: one["name"]
            for one in self.state()["server_certificates"]
            if SCOPE.mark(one["name"]) is not None
        }

    def offered_by_classic(self, port: int = 443) -> str:
        """The name of the certificate of ours that a port offers, "" for another."""
        return self.server_certificates().get(self.classic()[port]["certificate"], "")

    # --- application

    def application(self) -> dict[int, dict[str, Any]]:
        return {one["Port"]: one for one in self.state()["application"][0]["listeners"]}

    def imported(self) -> dict[str, tuple[str, ...]]:
        """ARN and names of what ACM has of ours."""
        return {
            one["arn"]: tuple(one["names"])
            for one in self.state()["certificates"]
            if one["tags"].get("certfront:scope") == SCOPE.digits
        }

    def offered(self, port: int = 443) -> set[tuple[str, ...]]:
        """The names of the certificates of ours that a port offers."""
        listener = self.application()[port]
        arns = {one["CertificateArn"] for one in listener["Certificates"]} | {*listener["others"]}
        return {names for arn, names in self.imported().items() if arn in arns}

    def material(self, arn: str) -> str:
        """The PEM of a certificate in ACM."""
        return next(
            str(one["certificate"]) for one in self.state()["certificates"] if one["arn"] == arn
        )


@asynccontextmanager
async def world(kind: Literal["classic", "application"], **options: Any) -> AsyncIterator[World]:
    clock = SteppedClock()
    emulator = AWS(clock=clock, **options)
    # No listener is really opened: tests run side by side.
    emulator.offers = lambda: iter(())  # type: ignore[method-assign]
    async with serving(emulator) as running:
        secret = LocalReference(name="aws")
        spec = (
            LoadBalancerSpec(
                type="AWSClassic",
                aws_classic=AWSClassicSettings(
                    region="us-east-1",
                    load_balancer_name="classic",
                    endpoint_url=running.url,
                    credentials_secret_ref=secret,
                ),
            )
            if kind == "classic"
            else LoadBalancerSpec(
                type="AWSApplication",
                aws_application=AWSApplicationSettings(
                    region="us-east-1",
                    load_balancer_name="alb",
                    endpoint_url=running.url,
                    credentials_secret_ref=secret,
                ),
            )
        )
        chosen = KIND_CLASSIC if kind == "classic" else KIND_APPLICATION
        yield World(running=running, clock=clock, kind=chosen, spec=spec)
