"""What one pass over a Certificate decides, and what it does to an API server in memory."""

import base64
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from certfront.engine.domains import Domains
from certfront.engine.keys import Key
from certfront.engine.queue import WorkQueue
from certfront.issuance import needs, record
from certfront.issuance.needs import SpecHash
from certfront.issuance.outcomes import Blocked, Done, Impossible, Outcome, Waiting
from certfront.issuance.record import ABSENT, RENEW, Record
from certfront.issuance.supply import Supply
from certfront.issuance.triggers import Trigger
from certfront.model.certificate import Certificate, CertificateStatus
from certfront.model.clock import FrozenClock
from certfront.model.errors import Refused
from certfront.model.settings import Settings
from certfront.model.tasks import Task
from certfront.model.times import to_text
from certfront.pki import upload
from certfront.reconcilers import certificates
from certfront.reconcilers.certificates import CertificateReconciler, View, decide, kept_key
from certfront.reconcilers.context import Context
from certfront.reconcilers.stores import new_store
from certfront.reconcilers.targets import Targets
from tests.unit.issuance.samples import NOW, UID, certificate, observed, pair_for, secret
from tests.unit.reconcilers.frontend_world import API, FakeApi

Object = dict[str, Any]
DAY = timedelta(days=1)
UPLOADED: Object = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "given"}}}
PROBLEM = Blocked(reason="IssuerNotFound", message="There is none.")


def _decided(
    owner: Certificate,
    held: Record | None = None,
    *,
    supply: Supply | None = None,
    **changes: Any,
) -> Outcome | Trigger:
    found = held if held is not None else record.observe(owner, secret(owner))
    view = View(
        certificate=owner,
        secret=None,
        record=found,
        wanted=needs.wanted(owner),
        refusal=None,
        supply=supply or Supply(),
    )
    return decide(view, observed(owner, found, **changes))


def _after_failure() -> Certificate:
    """Its first attempt at the first revision has failed."""
    first = needs.need(UID, SpecHash.of(needs.wanted(certificate()), ""), 1)
    status = CertificateStatus(
        observed_generation=1,
        next_attempt_time=to_text(NOW + DAY),
        failed_attempts=1,
        task=Task(id=f"{first[:12]}-1", action="orderCertificate", status="error"),
    )
    return certificate(status)


@pytest.mark.parametrize(
    ("held", "early", "taken"),
    [
        pytest.param(True, timedelta(minutes=3), False, id="early, and a valid one is in force"),
        pytest.param(False, timedelta(minutes=3), True, id="early, and there is no other"),
        pytest.param(True, timedelta(), True, id="valid from now on"),
    ],
)
def test_a_pair_takes_over_when_it_is_valid(*, held: bool, early: timedelta, taken: bool) -> None:
    """A clock may be a little off, but a valid pair is never given up for one that is not yet."""
    owner = certificate(**UPLOADED)
    pair = pair_for(issued=NOW + timedelta(hours=1) + early)
    supply = Supply(accepted=upload.Accepted(pair=pair, warnings=(), not_yet_valid=False))
    before = record.observe(owner, secret(owner)) if held else ABSENT
    found = _decided(owner, before, supply=supply, source_fingerprint="another")
    if taken:
        assert isinstance(found, Trigger)
    else:
        assert isinstance(found, Blocked)
        assert (found.reason, found.after) == ("NotYetValid", early)


def test_a_refused_spec_is_impossible_and_nothing_else_is_looked_at() -> None:
    view = View(
        certificate=certificate(),
        secret=None,
        record=ABSENT,
        wanted=None,
        refusal=Refused("NoNames", "No name is given."),
        supply=Supply(problem=PROBLEM),
    )
    assert decide(view, None) == Impossible(reason="NoNames", message="No name is given.")


def test_a_foreign_secret_comes_before_everything_that_would_cost_something() -> None:
    found = _decided(certificate(), Record(ownership="Foreign", marker="shop/other"))
    assert isinstance(found, Blocked)
    assert found.reason == "SecretConflict"
    assert "shop/other" in found.message


def test_what_is_as_it_should_be_needs_no_issuer() -> None:
    """An Issuer that is gone disturbs nobody before something is due."""
    assert _decided(certificate(), supply=Supply(problem=PROBLEM)) == Done()
    assert _decided(certificate(), ABSENT, supply=Supply(problem=PROBLEM)) == PROBLEM


def test_an_uploaded_source_is_judged_even_where_nothing_is_due() -> None:
    bad = Impossible(reason="KeyMismatch", message="It does not fit.")
    assert _decided(certificate(**UPLOADED), supply=Supply(problem=bad)) == bad


def test_a_back_off_is_waited_out() -> None:
    assert _decided(_after_failure(), ABSENT) == Waiting(until=NOW + DAY)
    assert isinstance(_decided(_after_failure(), ABSENT, now=NOW + DAY), Trigger)


def test_a_request_overrules_a_back_off_once() -> None:
    asked = _after_failure()
    metadata = msgspec.structs.replace(asked.metadata, annotations={RENEW: "1"})
    asked = msgspec.structs.replace(asked, metadata=metadata)
    assert isinstance(_decided(asked, ABSENT), Trigger)
    status = msgspec.structs.replace(asked.status, handled_renew="1")
    assert isinstance(_decided(msgspec.structs.replace(asked, status=status), ABSENT), Waiting)


@pytest.mark.parametrize(
    ("spec", "trigger", "kept"),
    [
        pytest.param({"rotation": "Never"}, "RenewalDue", True, id="asked for"),
        pytest.param({"rotation": "Always"}, "RenewalDue", False, id="not asked for"),
        pytest.param({"rotation": "Never"}, "ReissueRequested", False, id="known to others"),
        pytest.param(
            {"rotation": "Never", "algorithm": "RSA"}, "SpecChanged", False, id="other algorithm"
        ),
        pytest.param({"rotation": "Never", "size": 384}, "SpecChanged", False, id="other size"),
    ],
)
def test_when_a_key_is_used_again(spec: Object, trigger: Any, *, kept: bool) -> None:
    owner = certificate(privateKey=spec)
    view = View(
        certificate=owner,
        secret=None,
        record=record.observe(certificate(), secret(certificate())),
        wanted=needs.wanted(owner),
        refusal=None,
        supply=Supply(),
    )
    found = Trigger(reason=trigger, message="", new_key=trigger == "ReissueRequested")
    assert (kept_key(view, found) is not None) is kept


class _NoOrders:
    """Local certificates are never ordered."""

    def __init__(self) -> None:
        self.swept = 0

    async def advance(self, _view: View, _trigger: Trigger) -> Outcome:
        raise AssertionError("nothing is ordered")

    async def sweep(self, _certificate: object) -> None:
        self.swept += 1


class World:
    """One reconciler, one API server in memory, and a store that hears of everything labelled."""

    key = Key("Certificate", "shop", "shop")
    where = ("Certificate", "shop", "shop")

    def __init__(self) -> None:
        self.clock = FrozenClock(NOW)
        self.api = FakeApi(self.clock)
        settings = Settings(documentation_url="https://docs")
        self.store, indices = new_store(settings)
        self.events: list[str] = []
        self.context = Context(
            client=self.api,  # type: ignore[arg-type] # as much of it as is used
            store=self.store,
            indices=indices,
            queue=WorkQueue(self.clock, random.Random(1)),  # noqa: S311 -- jitter, not a secret
            clock=self.clock,
            settings=settings,
            domains=Domains(),
            executor=ThreadPoolExecutor(1),
            on_event=self.events.append,
        )
        self.reconciler = CertificateReconciler(self.context, _NoOrders(), Targets(self.context))

    def certificate(self, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        held = self.api.objects.get(self.where, {})
        metadata = {
            **held.get("metadata", {"name": "shop", "namespace": "shop", "uid": UID}),
            "annotations": annotations or {},
        }
        wanted = {"type": "SelfSigned", "dnsNames": ["shop.example.com"], **spec}
        body = {
            **held,
            "apiVersion": API,
            "kind": "Certificate",
            "metadata": metadata,
            "spec": wanted,
        }
        self.store.upsert("Certificate", self.api.put("Certificate", body))

    def secret(self, name: str, *, labelled: bool = True, **parts: Any) -> None:
        metadata = {"name": name, "namespace": "shop", **parts.pop("metadata", {})}
        if labelled:
            metadata["labels"] = {"certfront.io/secret": "source"}
        stored = self.api.put("Secret", {"kind": "Secret", "metadata": metadata, **parts})
        if labelled:
            self.store.upsert("Secret", stored)

    async def run(self, times: int = 1) -> None:
        for _ in range(times):
            await self.reconciler.reconcile(self.key)

    @property
    def status(self) -> Object:
        found: Object = self.api.objects[self.where]["status"]
        return found

    @property
    def ready(self) -> tuple[str, str]:
        found = next(c for c in self.status["conditions"] if c["type"] == "Ready")
        return found["status"], found["reason"]


@pytest.fixture
def world() -> World:
    return World()


def _data(**entries: bytes) -> Object:
    return {k.replace("_", "."): base64.b64encode(v).decode() for k, v in entries.items()}


async def test_a_self_signed_certificate_costs_two_writes_no_read_and_no_event(
    world: World,
) -> None:
    world.certificate()
    await world.run()
    assert world.api.writes == ["apply Secret shop", "status Certificate shop"]
    assert world.ready == ("True", "Issued")
    assert world.events == []
    await world.run(3)
    assert len(world.api.writes) == 2, "and nothing after that"


async def test_a_secret_that_appeared_meanwhile_is_not_overwritten(world: World) -> None:
    """The store knew of none; the first write finds it, and everything is decided again."""
    world.secret("shop", labelled=False, type="Opaque", data={})
    world.certificate()
    await world.run()
    assert world.ready == ("False", "SecretConflict")
    assert world.api.objects["Secret", "shop", "shop"]["type"] == "Opaque"
    assert world.events == ["SecretConflict"]
    await world.run(3)
    assert world.events == ["SecretConflict"], "once per transition"


async def test_time_renews_it_with_one_write_more(world: World) -> None:
    world.certificate()
    await world.run()
    first = world.status["fingerprint"]
    world.clock.advance(61 * DAY)
    await world.run()
    assert world.status["fingerprint"] != first
    assert world.status["revision"] == 2
    assert world.events == ["Renewed"]
    assert len(world.api.writes) <= 5


async def test_a_clock_that_is_wrong_renews_nothing(world: World) -> None:
    world.certificate()
    await world.run()
    world.clock.advance(61 * DAY)
    world.api.clock_offset = timedelta(minutes=6)
    await world.run()
    assert world.status["revision"] == 1


async def test_a_spec_that_does_not_parse_is_told_and_nothing_is_touched(world: World) -> None:
    world.certificate(dnsNames="no list")
    await world.run()
    assert world.ready == ("False", "InvalidSpec")
    assert all("Secret" not in write for write in world.api.writes)
    assert {c["type"] for c in world.status["conditions"]} == {"Ready", "Stalled"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda key: key[:100], "DamagedPEM", id="cut off"),
        pytest.param(lambda _: pair_for("b.example").private_key_pem, "KeyMismatch", id="another"),
    ],
)
async def test_a_bad_upload_leaves_what_is_in_force(
    world: World, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    good = pair_for()
    keys = {"tls_crt": good.tls_crt, "tls_key": good.private_key_pem}
    world.secret("given", type="kubernetes.io/tls", data=_data(**keys))
    world.certificate(**UPLOADED)
    await world.run()
    assert world.ready == ("True", "Issued")
    bad = _data(tls_crt=good.tls_crt, tls_key=spoil(good.private_key_pem))
    held = world.api.objects["Secret", "shop", "given"]
    world.store.upsert("Secret", world.api.put("Secret", {**held, "data": bad}))
    await world.run()
    assert world.ready == ("True", "RenewalFailing")
    assert world.status["task"]["status"] == "error"
    assert world.status["revision"] == 1
    writes = len(world.api.writes)
    await world.run(3)
    assert len(world.api.writes) == writes, "what cannot be done is said once"
    fresh = World()
    fresh.secret("given", type="kubernetes.io/tls", data=bad)
    fresh.certificate(**UPLOADED)
    await fresh.run()
    assert fresh.ready == ("False", reason)


async def test_in_place_the_secret_is_never_written(world: World) -> None:
    good = pair_for()
    data = _data(tls_crt=good.tls_crt, tls_key=good.private_key_pem)
    world.secret("shop", type="kubernetes.io/tls", data=data)
    world.certificate(**UPLOADED | {"uploaded": {"secretRef": {"name": "shop"}}})
    await world.run(3)
    assert world.ready == ("True", "Issued")
    assert world.api.writes == ["status Certificate shop"]
    assert world.status["revision"] == 1


async def test_an_old_name_is_given_up_once_the_new_secret_is_complete(world: World) -> None:
    world.certificate(secret={"deletionPolicy": "Delete"})
    await world.run()
    before = world.status["fingerprint"]
    world.certificate(secret={"name": "new", "deletionPolicy": "Delete"})
    await world.run()
    assert world.status["secretName"] == "new"
    assert world.status["fingerprint"] == before
    assert ("Secret", "shop", "shop") not in world.api.objects
    order = [write for write in world.api.writes if "Secret" in write]
    assert order == ["apply Secret shop", "apply Secret new", "delete Secret shop"]


async def test_what_is_gone_leaves_nothing_behind(world: World) -> None:
    orders = _NoOrders()
    reconciler = certificates.CertificateReconciler(world.context, orders, Targets(world.context))
    await reconciler.reconcile(world.key)
    assert orders.swept == 1
    assert world.api.writes == []


@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "not labelled"])
async def test_a_replaced_source_is_taken_over(world: World, *, labelled: bool) -> None:
    """One with the label wakes the certificate; any other is read again within five minutes."""
    first, second = pair_for(), pair_for(days=80)
    data = _data(tls_crt=first.tls_crt, tls_key=first.private_key_pem)
    world.secret("given", labelled=labelled, type="kubernetes.io/tls", data=data)
    world.certificate(dnsNames=[], **UPLOADED)
    result = await world.reconciler.reconcile(world.key)
    assert world.ready == ("True", "Issued")
    assert result.delay is not None
    assert (result.delay <= 300) == (not labelled)
    data = _data(tls_crt=second.tls_crt, tls_key=second.private_key_pem)
    world.secret("given", labelled=labelled, type="kubernetes.io/tls", data=data)
    await world.run()
    assert world.status["revision"] == 2


async def test_the_end_of_a_bought_certificate_is_announced_a_month_ahead(world: World) -> None:
    pair = pair_for(days=365)
    data = _data(tls_crt=pair.tls_crt, tls_key=pair.private_key_pem)
    world.secret("given", type="kubernetes.io/tls", data=data)
    world.certificate(dnsNames=[], **UPLOADED)
    await world.run()
    world.clock.advance(334 * DAY)
    await world.run()
    assert world.ready == ("True", "Issued")
    world.clock.advance(2 * DAY)
    await world.run()
    assert world.ready == ("True", "ExpiringSoon")
    assert world.events == ["ExpiringSoon"]
    assert "nextTime" not in world.status, "nothing renews it"
