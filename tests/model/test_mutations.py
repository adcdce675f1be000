"""Each rule that guards an invariant is taken out of the product, and the search finds the violation.

These are the proof that the tests of `test_invariants` can fail.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certfront.engine.runner import current_key
from certfront.issuance import outcomes, record
from certfront.issuance.acme import driver as drivers
from certfront.kube.resources import CERTIFICATES, SECRETS
from certfront.model.meta import ObjectName
from certfront.pki import issue
from certfront.reconcilers import certificates, orders, secrets, statuses, view
from certfront.reconcilers.context import Context
from tests.model.scenarios import EVERYTHING
from tests.model.search import Scenario, Search
from tests.model.state import Budget, Invariant

Patch = pytest.MonkeyPatch
HANDOVER = Scenario(name="a hand-over", operators=2, budget=Budget(handovers=1))
KILLS = Scenario(name="kills", budget=Budget(crashes=1, lost=1))
LAG = Scenario(name="a lag", budget=Budget(stale=2))
PERSON = Scenario(name="a person", budget=Budget(user=1), user=EVERYTHING)
RENEWAL = Scenario(name="a renewal", budget=Budget(user=1, crashes=1), user=("renew",), issued=True)
PERSON_LATER = Scenario(
    name="a person, once issued", budget=Budget(user=1), user=EVERYTHING, issued=True
)


async def _status_without_version(context: Context, resource: Any, obj: Any, status: Any) -> bool:
    wanted, previous = statuses._whole(status), obj.get("status") or {}
    if wanted == previous:
        return False
    metadata = obj["metadata"]
    answer = await context.client.patch_status(
        resource,
        metadata["namespace"],
        metadata["name"],
        uid=metadata["uid"],
        resource_version=None,  # type: ignore[arg-type] # the mutation
        status=wanted,
        previous=previous,
    )
    context.learn(resource.kind, answer)
    return True


def status_without_version(patch: Patch) -> None:
    patch.setattr(statuses, "write", _status_without_version)


def pending_key_overwritten(patch: Patch) -> None:
    async def store(self: Any, attempt_id: str, key_pem: bytes, order_url: str) -> Any:
        body = orders._pending_secret(
            self._certificate, attempt_id, key_pem, order_url, "2026-11-24T12:00:00Z"
        )
        body.pop("immutable")
        secret = await self._context.client.apply(SECRETS, body, force=True)
        self._context.learn("Secret", secret)
        return orders._pending(secret)

    patch.setattr(orders._Ports, "store_pending_key", store)


def finalized_with_a_fresh_key(patch: Patch) -> None:
    made = issue.csr
    fresh = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
    patch.setattr(issue, "csr", lambda names, common, _key: made(names, common, fresh))


def not_recorded(patch: Patch) -> None:
    """All steps in one pass: the order's URL is not in status before the next effect."""
    one_step = orders.OrderReconciler.advance

    async def advance(self: Any, seen: Any, trigger: Any) -> Any:
        outcome = await one_step(self, seen, trigger)
        while isinstance(outcome, outcomes.Working) and (outcome.order or {}).get("orderURL"):
            held = seen.certificate
            status = msgspec.structs.replace(held.status, order=outcome.order)
            seen = replace(seen, certificate=msgspec.structs.replace(held, status=status))
            outcome = await one_step(self, seen, trigger)
        return outcome

    patch.setattr(orders.OrderReconciler, "advance", advance)
    patch.setattr(drivers.OrderDriver, "_too_early", lambda *_: None)


def pair_in_two_writes(patch: Patch) -> None:
    whole = secrets.update

    async def update(context: Context, body: Any, *, uid: str, resource_version: str) -> Any:
        half = {**body, "data": {"tls.crt": body["data"]["tls.crt"]}}
        secret = await whole(context, half, uid=uid, resource_version=resource_version)
        version = secret["metadata"]["resourceVersion"]
        return await whole(context, body, uid=uid, resource_version=version)

    patch.setattr(secrets, "update", update)


def revision_from_the_secret_alone(patch: Patch) -> None:
    patch.setattr(view.View, "next_revision", property(lambda self: self.record.revision + 1))


def revision_not_counted(patch: Patch) -> None:
    whole = record.body

    def body(*args: Any, **more: Any) -> Any:
        return whole(*args, **{**more, "revision": 1})

    patch.setattr(record, "body", body)


def first_write_forced(patch: Patch) -> None:
    async def create(context: Context, body: Any) -> Any:
        answer = await context.client.apply(SECRETS, body, force=True)
        context.learn("Secret", answer)
        return answer

    patch.setattr(secrets, "create", create)


def deleted_without_a_look(patch: Patch) -> None:
    """The Secrets of a Certificate that is gone are deleted by name, whoever's they are."""

    async def sweep(self: Any, certificate: ObjectName) -> None:
        held = await self._context.live(SECRETS, *certificate)
        if held is not None and await self._context.live(CERTIFICATES, *certificate) is None:
            await secrets.delete(self._context, held)

    patch.setattr(orders.OrderReconciler, "sweep", sweep)


def repaired_always(patch: Patch) -> None:
    patch.setattr(record, "template_applied", lambda _certificate, _secret: False)


def url_not_kept(patch: Patch) -> None:
    """The answer to newOrder is not written to status (S2)."""
    place = drivers.OrderDriver._new_order

    async def forgetful(self: Any, attempt: Any, request: Any) -> Any:
        return replace(await place(self, attempt, request), attempt=attempt)

    patch.setattr(drivers.OrderDriver, "_new_order", forgetful)


def absence_from_the_store(patch: Patch) -> None:
    """No live read before a Secret is held to be absent: its label was stripped, and it is."""

    async def stored(self: Any, certificate: Any, *, live: bool) -> Any:
        where = (certificate.metadata.namespace, certificate.secret_name)
        return self._context.store.get("Secret", *where)

    patch.setattr(certificates.CertificateReconciler, "_secret", stored)


def claim_of_a_lagging_watch(patch: Patch) -> None:
    """A claim is ordered for as the watch tells of it, without a live read."""

    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(orders.OrderReconciler, "_check_claim", nothing)


def nothing_is_swept(patch: Patch) -> None:
    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(orders.OrderReconciler, "sweep", nothing)


def label_not_repaired(patch: Patch) -> None:
    async def as_it_is(_self: Any, seen: Any, _decision: Any) -> Any:
        return seen

    patch.setattr(certificates.CertificateReconciler, "_repair_template", as_it_is)


def ended_order_claimed_again(patch: Patch) -> None:
    """After a conflict only the order is compared: none before and none after it has ended."""

    def same(certificate: Any, live: Any) -> bool:
        metadata, status = live["metadata"], live.get("status") or {}
        mine = certificate.metadata
        return (metadata["uid"], metadata["generation"]) == (mine.uid, mine.generation) and (
            certificate.status.order or {}
        ) == (status.get("order") or {})

    patch.setattr(certificates, "_same_attempt", same)


def own_object_read_anew_wakes_nobody(patch: Patch) -> None:
    """What a pass itself reads live is news for no one: an edit between is lost."""

    def enqueue(self: Any, keys: Any, *_: Any) -> None:
        mine = current_key.get()
        for key in keys:
            if key != mine:
                self.queue.add(key)

    patch.setattr(Context, "enqueue", enqueue)


def conflict_is_a_defect(patch: Patch) -> None:
    """What a conflict brings is read without care."""

    def same(_certificate: Any, live: Any) -> bool:
        return bool(live["no such part"])

    patch.setattr(certificates, "_same_attempt", same)


MUTATIONS: tuple[tuple[Invariant, Callable[[Patch], None], Scenario], ...] = (
    ("OneFinalized", status_without_version, HANDOVER),
    ("OneFinalized", revision_from_the_secret_alone, PERSON_LATER),
    ("KeyBeforeRequest", pending_key_overwritten, HANDOVER),
    ("KeyBeforeRequest", finalized_with_a_fresh_key, KILLS),
    ("RecordedBeforeFinalize", not_recorded, LAG),
    ("PairAtomic", pair_in_two_writes, RENEWAL),
    ("RevisionMonotone", revision_not_counted, RENEWAL),
    ("NoForeignWrite", status_without_version, PERSON),
    ("NoForeignWrite", first_write_forced, PERSON),
    ("NoForeignWrite", deleted_without_a_look, PERSON_LATER),
    ("Quiescence", repaired_always, KILLS),
    ("BoundedOrders", url_not_kept, KILLS),
    ("BoundedOrders", absence_from_the_store, PERSON_LATER),
    ("BoundedOrders", claim_of_a_lagging_watch, LAG),
    ("BoundedOrders", ended_order_claimed_again, HANDOVER),
    ("Convergence", nothing_is_swept, KILLS),
    ("Convergence", label_not_repaired, PERSON_LATER),
    ("Convergence", own_object_read_anew_wakes_nobody, PERSON),
    ("NoDefect", conflict_is_a_defect, HANDOVER),
)


def test_each_invariant_has_a_mutation_that_breaks_it() -> None:
    assert {invariant for invariant, _, _ in MUTATIONS} == set(get_args(Invariant))


@pytest.mark.parametrize(
    ("invariant", "mutation", "scenario"),
    [pytest.param(*entry, id=f"{entry[0]} {entry[1].__name__}") for entry in MUTATIONS],
)
def test_without_the_rule_the_search_finds_it(
    monkeypatch: Patch, invariant: Invariant, mutation: Callable[[Patch], None], scenario: Scenario
) -> None:
    mutation(monkeypatch)
    found = Search(scenario, until=invariant).run()
    assert invariant in found.violations, f"{found.states} states, and no violation"
