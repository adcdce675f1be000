"""One frontend on one provider, from its first certificate to its end, stage by stage.

The journeys of all providers run at the same time, because most of it is waiting; a test asks for one
stage of one provider (:mod:`tests.e2e.test_providers`) and gets what went wrong in it.
"""

import json
import threading
import time
from concurrent.futures import Future
from typing import Any

from sandbox import providers
from tests.e2e import clients
from tests.e2e.api import Api, Object
from tests.e2e.provider_views import Leaf, ProviderView
from tests.e2e.world import GROUP, Tenant, World, condition, current, is_ready

BALANCER = "balancer"
SECRET = "credentials"
STAGES = ("installed", "at_rest", "renewed", "tidied", "denied", "released")
KEEPS_ALL = frozenset({"OpenScaler"})
"""Providers that offer no way to delete a certificate."""

_INSTALL_SECONDS = 90.0
_TIDY_SECONDS = 120.0
_RELEASE_SECONDS = 150.0
_REST_SECONDS = 5.0


class Cloud:
    """A tenant with a load balancer of one provider's type, and what is seen of the provider."""

    def __init__(self, world: World, type_: str) -> None:
        name = next(each for each, types in _TYPES.items() if type_ in types)
        state = world.state
        # Api is for one thread.
        self.world = World(name=world.name, api=Api(state), journal=world.journal)
        self.type = type_
        self.view = ProviderView(state.emulator(name))
        self.tenant = Tenant(self.world)
        settings = providers.frontend_settings(self.view.emulator, type_)
        self.port = int(settings.get("port", 443))
        self._settings = settings

    def balancer(self) -> Object:
        """The LoadBalancer that reaches the provider."""
        spec = providers.load_balancers(self.view.emulator)[self.type]
        return self._object("LoadBalancer", BALANCER, spec)

    def credentials(self, *, wrong: bool = False) -> Object:
        """The Secret, as it is or with a letter of each value changed."""
        given = self.view.emulator.credentials
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": SECRET,
                "namespace": self.tenant.namespace,
                "labels": {"certfront.io/secret": "source"},
            },
            "stringData": {
                key: _spoiled(value) if wrong else value for key, value in given.items()
            },
        }

    def certificate(self, name: str, host: str) -> Object:
        """A self-signed Certificate."""
        key = {"privateKey": {"algorithm": "RSA"}} if self.type == "Rackspace" else {}
        return self._object("Certificate", name, {"type": "SelfSigned", "dnsNames": [host], **key})

    def frontend(self, name: str, *certificates: str, **spec: Any) -> Object:
        """A frontend on the load balancer."""
        entries = [{"name": each} for each in certificates]
        wanted = {"loadBalancerRef": {"name": BALANCER}, "certificates": entries}
        return self._object("LoadBalancerFrontend", name, {**wanted, **self._settings, **spec})

    def apply(self, *objects: Object) -> None:
        """As people do it."""
        self.world.kubectl(
            *("apply", "-f", "-"),
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        )

    def root(self, certificate: str) -> str:
        """What a client has to trust: the self-signed certificate itself."""
        return self.tenant.tls(certificate)[0]

    def shown(self, host: str, *roots: str) -> Leaf:
        """What the provider shows now."""
        return self.view.shown(host, self.port, "".join(roots))

    def served(self, host: str, certificate: str, *, seconds: float = 30) -> Leaf:
        """What the provider shows once it is the certificate as it is now."""
        found: list[Leaf] = []

        def shows() -> bool:
            wanted = self.tenant.get("Certificate", certificate)["status"]["fingerprint"]
            leaf = self.shown(host, self.root(certificate))
            found.append(leaf)
            return leaf.sha256 == clients.spelled(wanted)

        clients.eventually(shows, seconds=seconds, why=f"{host} shown by {self.type}")
        return found[-1]

    def balancer_reads(self, status: str, reason: str = "", *, seconds: float = 60) -> Object:
        """The LoadBalancer once it is Ready, or not, for that reason."""
        return self.tenant.condition(
            BALANCER, "Ready", status, kind="LoadBalancer", reason=reason, seconds=seconds
        )

    def written(self, offset: int, resource: str = "") -> list[Object]:
        """What the operator has written in the namespace since, by the audit log."""
        return [
            line
            for line in self.world.written(offset)
            if line["objectRef"].get("namespace") == self.tenant.namespace
            and line["objectRef"]["resource"] == (resource or line["objectRef"]["resource"])
        ]

    def remove(self) -> None:
        """Take everything off the provider, and the namespace away."""
        for kind in ("LoadBalancerFrontend", "LoadBalancer"):
            names = [
                each["metadata"]["name"]
                for each in self.world.api.found(kind, self.tenant.namespace)
            ]
            for name in names:
                self.world.api.delete(kind, self.tenant.namespace, name)
            for name in names:
                self.world.journal.wait_gone(
                    kind, self.tenant.namespace, name, seconds=2 * _RELEASE_SECONDS
                )
        self.tenant.remove()

    def _object(self, kind: str, name: str, spec: Object) -> Object:
        metadata = {"name": name, "namespace": self.tenant.namespace}
        return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec}


class Journey:
    """A certificate's way on one provider; see :data:`STAGES`."""

    def __init__(self, world: World, type_: str) -> None:
        self.cloud = Cloud(world, type_)
        self.host = self.cloud.tenant.host()
        self.writes: list[Object] = []
        self._before: Any = None
        self._held_before: list[str] = []
        self._first: Leaf | None = None
        self._stages: dict[str, Future[None]] = {stage: Future() for stage in STAGES}
        threading.Thread(target=self._run, daemon=True).start()

    def reached(self, stage: str) -> None:
        """Return when the stage is over; raises what went wrong in it or before."""
        self._stages[stage].result(timeout=600)

    def _run(self) -> None:
        told: BaseException | None = None
        for stage, future in self._stages.items():
            if told is None:
                try:
                    getattr(self, f"_{stage}")()
                except BaseException as error:  # noqa: BLE001 - the test that asks raises it
                    told = error
                    future.set_exception(error)
                    continue
                future.set_result(None)
            else:
                future.set_exception(AssertionError(f"not reached: {told}"[:500]))

    def _installed(self) -> None:
        """Applied by kubectl, Served by the provider's word and by a handshake."""
        cloud = self.cloud
        self._before = cloud.view.configuration(cloud.type)
        self._held_before = cloud.view.held(cloud.type)
        offset = cloud.world.audit_size()
        cloud.apply(
            cloud.credentials(),
            cloud.balancer(),
            cloud.certificate("web", self.host),
            cloud.frontend("web", "web"),
        )
        body = cloud.tenant.ready("web", kind="LoadBalancerFrontend", seconds=_INSTALL_SECONDS)
        self.writes = cloud.written(offset, "loadbalancerfrontends")
        served = condition(body, "Served")
        assert served is not None
        assert served["status"] == "True"
        assert served["reason"] != "NothingToProbe", "a handshake has proven it"
        self._first = cloud.served(self.host, "web")
        assert self._new() == 1, "one certificate was stored"
        assert cloud.view.holds(cloud.type, self._first)

    def _at_rest(self) -> None:
        """Nothing is written and nothing is asked while nothing changes."""
        cloud = self.cloud
        offset, calls, since = cloud.world.audit_size(), self._calls(), time.monotonic()
        deadline = since + 60
        while time.monotonic() - since < _REST_SECONDS:
            time.sleep(0.25)  # rest has no event to wait for
            written, asked = cloud.written(offset), self._calls()
            if written or asked != calls:
                assert time.monotonic() < deadline, (written, asked[len(calls) :])
                offset, calls, since = cloud.world.audit_size(), asked, time.monotonic()

    def _calls(self) -> list[Any]:
        return self.cloud.view.control.calls()

    def _renewed(self) -> None:
        """A new one takes over, and at no moment is there none."""
        cloud, before = self.cloud, self._first
        assert before is not None
        with Watcher(self):
            cloud.tenant.annotate("Certificate", "web", renew="1")
            cloud.tenant.revision("web", 2, seconds=_INSTALL_SECONDS)
            after = cloud.served(self.host, "web", seconds=_INSTALL_SECONDS)
            assert after.sha256 != before.sha256
            cloud.tenant.wait(
                "web",
                lambda body: is_ready(body) and _names(body, after),
                kind="LoadBalancerFrontend",
                seconds=_INSTALL_SECONDS,
                why="Ready with the new one",
            )

    def _tidied(self) -> None:
        """The old one goes, where the provider lets it; there were never more than two."""
        cloud, first = self.cloud, self._first
        assert first is not None
        assert self._new() <= 2
        if cloud.type in KEEPS_ALL:
            return
        with Watcher(self):
            clients.eventually(
                lambda: not cloud.view.holds(cloud.type, first),
                seconds=_TIDY_SECONDS,
                why="rid of the old certificate",
            )
        assert self._new() == 1

    def _denied(self) -> None:
        """Wrong credentials take nothing down and say what is wrong; corrected ones go on."""
        cloud = self.cloud
        cloud.apply(cloud.credentials(wrong=True))
        with Watcher(self):
            cloud.tenant.annotate("Certificate", "web", renew="2")
            cloud.tenant.wait(
                "web",
                lambda body: body["status"].get("revision", 0) >= 3 and current(body),
                seconds=_INSTALL_SECONDS,
                why="renewed",
            )
            cloud.balancer_reads("False", "CredentialsRefused")
            cloud.apply(cloud.credentials())
            cloud.balancer_reads("True")
            cloud.served(self.host, "web", seconds=_INSTALL_SECONDS)
        cloud.tenant.ready(
            "web", kind="LoadBalancerFrontend", reason="Served", seconds=_INSTALL_SECONDS
        )

    def _released(self) -> None:
        """What was made for the frontend goes with it, and the load balancer after it."""
        cloud = self.cloud
        cloud.world.api.delete("LoadBalancerFrontend", cloud.tenant.namespace, "web")
        cloud.world.journal.wait_gone(
            "LoadBalancerFrontend", cloud.tenant.namespace, "web", seconds=_RELEASE_SECONDS
        )
        if cloud.type not in KEEPS_ALL:
            assert cloud.view.configuration(cloud.type) == self._before
        cloud.world.api.delete("LoadBalancer", cloud.tenant.namespace, BALANCER)
        cloud.world.journal.wait_gone(
            "LoadBalancer", cloud.tenant.namespace, BALANCER, seconds=_RELEASE_SECONDS
        )

    def _new(self) -> int:
        """How many certificates there are more than at the start."""
        return len(self.cloud.view.held(self.cloud.type)) - len(self._held_before)


class Watcher:
    """Shakes hands all the time; a handshake that shows no certificate for the name fails the test."""

    def __init__(self, journey: Journey) -> None:
        self._journey = journey
        self._ended = threading.Event()
        self._failures: list[str] = []
        self._seen = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if kind is None:
            assert not self._failures, self._failures[:3]

    def _watch(self) -> None:
        journey = self._journey
        while not (self._seen and self._ended.wait(0.05)):
            try:
                leaf = journey.cloud.view.shown(journey.host, journey.cloud.port)
            except OSError as error:
                self._failures.append(f"{type(error).__name__}: {error}")
                if self._ended.is_set():
                    return
                continue
            self._seen += 1
            if leaf.names != [journey.host]:
                self._failures.append(f"for {journey.host}: {leaf.names}")


def _names(frontend: Object, leaf: Leaf) -> bool:
    installed = frontend["status"].get("installed") or ()
    return any(clients.spelled(each["fingerprint"]) == leaf.sha256 for each in installed)


def _spoiled(value: str) -> str:
    return value[:-1] + ("A" if value[-1] != "A" else "B")


_TYPES = {
    "aws": ("AWSApplication", "AWSClassic"),
    "kong": ("Kong",),
    "openscaler": ("OpenScaler",),
    "ovh": ("OVH",),
    "rackspace": ("Rackspace",),
}
