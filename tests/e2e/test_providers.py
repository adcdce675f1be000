"""Load balancers of providers, end to end: real API server, real operator, strict stand-ins.

What is asked of each provider is seen from outside: by kubectl, by handshakes with what it serves, and
by what it holds. CERTFRONT_E2E_CLOUD names a running sandbox to use instead of a new one.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from certfront.loadbalancers.registry import KINDS
from sandbox import lifecycle, state
from sandbox.demo import manifests
from sandbox.emulators import NAMES
from sandbox.emulators.control import Control
from sandbox.emulators.server import Fault
from tests.e2e import clients
from tests.e2e.api import Api, Object
from tests.e2e.journal import Journal
from tests.e2e.kstatus import judge
from tests.e2e.provider_journeys import STAGES, Cloud, Journey
from tests.e2e.world import World
from tests.sandboxes import own_name, remove_leftovers

TYPES = sorted(KINDS)
WRITES = {"AWSApplication": 6}
"""Most status writes of a frontend for an install where the provider's propagation is told.

Others take one, or two where a claim comes first, and a step or two more that a busy machine shows;
tests/unit/reconcilers/test_targets.py counts exactly, without a clock of its own.
"""

MOST_WRITES = 4

_USERS_NAMES = frozenset({"certfront"})


@pytest.fixture(scope="module")
def clouds(request: pytest.FixtureRequest) -> Iterator[World]:
    """API server, operator and all stand-ins; no HAProxy."""
    borrowed = os.environ.get("CERTFRONT_E2E_CLOUD", "")
    name = borrowed or own_name("c")
    if not borrowed:
        remove_leftovers("c")
        lifecycle.up(lifecycle.Wishes(name=name, nodes=0, emulators=NAMES))
    started = state.load(name)
    journal = Journal(started)
    failed = request.session.testsfailed
    yield World(name=name, api=Api(started), journal=journal)
    journal.close()
    try:
        judge(journal)
    finally:
        if not borrowed:
            kept = lifecycle.down(name, keep_logs=request.session.testsfailed > failed)
            if kept is not None:
                print(f"\nthe sandbox's logs are in {kept}")


@pytest.fixture(scope="module")
def journeys(clouds: World, request: pytest.FixtureRequest) -> dict[str, Journey]:
    """A journey for each provider that a test of this run asks for, all on their way at once."""
    wanted = {
        item.callspec.params["type_"]
        for item in request.session.items
        if hasattr(item, "callspec") and "type_" in item.callspec.params
    }
    if "AWSApplication" in wanted:
        wanted.add("AWSClassic")  # the examples of AWS are for both
    return {type_: Journey(clouds, type_) for type_ in TYPES if type_ in wanted}


@pytest.fixture
def cloud(clouds: World, journeys: dict[str, Journey], type_: str) -> Iterator[Cloud]:
    """A tenant with the only load balancer of a provider, all gone again at the end."""
    for other, journey in journeys.items():
        if other == type_ or {other, type_} == {"AWSApplication", "AWSClassic"}:
            journey.reached("released")
    made = Cloud(clouds, type_)
    yield made
    made.view.control.clear_faults()
    clouds.everything_started()
    made.remove()


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_certificate_is(stage: str, type_: str, journeys: dict[str, Journey]) -> None:
    """What is asked of each stage is told by the method of that name in `Journey`."""
    journeys[type_].reached(stage)


@pytest.mark.parametrize("type_", TYPES)
def test_an_install_costs_few_writes(type_: str, journeys: dict[str, Journey]) -> None:
    journey = journeys[type_]
    journey.reached("installed")
    statuses = [w for w in journey.writes if w["objectRef"].get("subresource") == "status"]
    assert len(statuses) <= WRITES.get(type_, MOST_WRITES)
    others = [w["verb"] for w in journey.writes if w["objectRef"].get("subresource") != "status"]
    assert others in ([], ["patch"]), "the finalizer, unless it came before the count"


@pytest.mark.parametrize("type_", TYPES)
def test_an_operator_killed_while_installing_leaves_no_duplicate(type_: str, cloud: Cloud) -> None:
    """Killed as soon as the provider was first changed, with the answer still on its way."""
    held, calls = cloud.view.held(type_), len(cloud.view.changes())
    host = cloud.tenant.host()
    cloud.apply(
        cloud.credentials(),
        cloud.balancer(),
        cloud.certificate("web", host),
        cloud.frontend("web", "web"),
    )
    clients.eventually(
        lambda: len(cloud.view.changes()) > calls, seconds=60, why="a first change was made"
    )
    cloud.world.kill("operator")
    cloud.world.start("operator")
    cloud.tenant.ready("web", kind="LoadBalancerFrontend", reason="Served", seconds=120)
    leaf = cloud.served(host, "web")
    new = set(cloud.view.held(type_)) - set(held)
    assert len(cloud.view.held(type_)) - len(held) == 1
    assert new == new & leaf.marks


@pytest.mark.parametrize("type_", TYPES)
def test_a_lost_answer_leaves_no_duplicate(type_: str, cloud: Cloud) -> None:
    """The first change is made, and its answer never comes."""
    held, host = len(cloud.view.held(type_)), cloud.tenant.host()
    for method in ("POST", "PUT", "PATCH"):
        if not type_.startswith("AWS"):
            cloud.view.control.arm(Fault(method=method, path="(?!.*/tokens).*", kind="lost"))
    if type_.startswith("AWS"):
        path = "acm:ImportCertificate|iam:UploadServerCertificate"
        cloud.view.control.arm(Fault(path=path, kind="lost"))
    cloud.apply(
        cloud.credentials(),
        cloud.balancer(),
        cloud.certificate("web", host),
        cloud.frontend("web", "web"),
    )
    cloud.tenant.ready("web", kind="LoadBalancerFrontend", reason="Served", seconds=120)
    cloud.served(host, "web")
    assert len(cloud.view.held(type_)) - held == 1


@pytest.mark.parametrize("type_", [t for t in TYPES if t != "AWSClassic"])
def test_people_get_what_the_examples_promise(type_: str, cloud: Cloud) -> None:
    """Users 1, 2, 3, 6, 7 and 8: their files, applied as they are but for addresses and ports.

    Comes after the others: the listeners that it finds made stay.
    """
    emulator, tenant = cloud.view.emulator, cloud.tenant
    documents = manifests.read(emulator)
    manifests.furnish(emulator, cloud.view.control, documents)
    given = [*manifests.credentials(emulator, documents), *manifests.bought(documents, emulator)]
    for each in (*given, *documents):
        each["metadata"] = {**each["metadata"], "namespace": tenant.namespace}
    cloud.apply(*given, *documents)
    for each in documents:
        tenant.ready(each["metadata"]["name"], kind=each["kind"], seconds=300)
    for each in documents:
        if each["kind"] == "LoadBalancerFrontend":
            _shown_as_installed(cloud, tenant.get(each["kind"], each["metadata"]["name"]))


def _shown_as_installed(cloud: Cloud, frontend: Object) -> None:
    port = frontend["spec"].get("port", 443)
    installed = frontend["status"]["installed"]
    assert installed
    for entry in installed:
        marks = {
            clients.spelled(each.get("fingerprint", ""))
            for each in installed
            if each["hostnames"] == entry["hostnames"]
        }
        for name in entry["hostnames"]:
            leaf = cloud.view.shown(name, port)
            assert name in leaf.names
            assert "" in marks or marks & leaf.marks, f"{name} is shown as it is installed"


@pytest.mark.skipif(not TYPES, reason="this version has no type that a provider runs")
def test_no_credential_and_no_key_is_found_anywhere(clouds: World) -> None:
    """Not in a log, a status, an event, a metric or the audit log; whatever the tests before did."""
    marks = {
        value
        for emulator in clouds.state.emulators
        for value in emulator.credentials.values()
        if value not in _USERS_NAMES
    }
    places = {
        "the audit log": Path(clouds.state.audit_log).read_text(),
        "the operator's metrics": clouds.metrics(),
        "what objects say of themselves": json.dumps(
            [
                {"status": entry.body.get("status"), "note": entry.body.get("note")}
                for entry in clouds.journal.entries
                if entry.kind != "Secret"
            ]
        ),
    }
    for service in clouds.state.services:
        if service.name not in ("dns", "etcd"):
            places[f"the log of {service.name}"] = clouds.log(service.name)
    for where, text in places.items():
        for mark in marks:
            assert mark not in text, f"a credential is in {where}"
        assert not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY", text), f"a key is in {where}"


def test_no_stand_in_has_failed(clouds: World) -> None:
    """An exception inside a stand-in would be a fault of it, not of the operator."""
    for emulator in clouds.state.emulators:
        assert not Control(emulator.url).ready().get("failures"), emulator.name
