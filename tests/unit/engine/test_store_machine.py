"""A search for sequences after which an index disagrees with the objects."""

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from certfront.engine.keys import Key
from certfront.engine.store import Index, Store
from certfront.model.meta import revision_of

KIND = "LoadBalancerFrontend"
NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES = st.sampled_from(["red", "blue"])
UIDS = st.sampled_from(["u1", "u2"])
REVISIONS = st.integers(1, 50)
KEYS = [Key(KIND, namespace, name) for namespace in ("red", "blue") for name in ("a", "b", "c")]
CERTIFICATES = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3)


def frontend(
    namespace: str, name: str, uid: str, revision: int, certificates: list[str]
) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(revision)}
    return {"metadata": metadata, "spec": {"certificates": certificates}}


class StoreMachine(RuleBasedStateMachine):
    """Drives a store with two indices beside a dict of what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.by_certificate = Index(KIND, lambda obj: obj["spec"]["certificates"])
        self.by_first = Index(KIND, lambda obj: obj["spec"]["certificates"][:1])
        self.store = Store({KIND: lambda obj: obj}, [self.by_certificate, self.by_first])
        self.model: dict[Key, dict[str, Any]] = {}

    @rule(ns=NAMESPACES, name=NAMES, uid=UIDS, revision=REVISIONS, certificates=CERTIFICATES)
    def upsert(self, ns: str, name: str, uid: str, revision: int, certificates: list[str]) -> None:
        obj = frontend(ns, name, uid, revision, certificates)
        held = self.model.get(Key(KIND, ns, name))
        same = (
            held is not None
            and held["spec"] == obj["spec"]
            and held["metadata"]["uid"] == obj["metadata"]["uid"]
        )
        assert self.store.upsert(KIND, obj) is not same
        self.model[Key(KIND, ns, name)] = obj

    @rule(ns=NAMESPACES, name=NAMES, uid=UIDS, revision=REVISIONS, certificates=CERTIFICATES)
    def accept(self, ns: str, name: str, uid: str, revision: int, certificates: list[str]) -> None:
        obj = frontend(ns, name, uid, revision, certificates)
        self.store.accept(KIND, obj)
        held = self.model.get(Key(KIND, ns, name))
        if held and held["metadata"]["uid"] == uid and revision > revision_of(held):
            self.model[Key(KIND, ns, name)] = obj

    @rule(ns=NAMESPACES, name=NAMES, uid=st.none() | UIDS)
    def remove(self, ns: str, name: str, uid: str | None) -> None:
        held = self.model.get(Key(KIND, ns, name))
        fits = held is not None and uid in {None, held["metadata"]["uid"]}
        assert self.store.remove(KIND, ns, name, uid) is fits
        if fits:
            del self.model[Key(KIND, ns, name)]

    @invariant()
    def the_objects_are_those_of_the_model(self) -> None:
        for key in KEYS:
            assert self.store.find(key) == self.model.get(key)
        assert len(list(self.store.items(KIND))) == len(self.model)

    @invariant()
    def the_indices_are_those_of_a_full_scan(self) -> None:
        for value in ("x", "y", "z"):
            having = {k for k, o in self.model.items() if value in o["spec"]["certificates"]}
            assert set(self.by_certificate.lookup(value)) == having
            first = {k for k, o in self.model.items() if o["spec"]["certificates"][:1] == [value]}
            assert set(self.by_first.lookup(value)) == first
        held = {key: frozenset(o["spec"]["certificates"]) for key, o in self.model.items()}
        for key in KEYS:
            assert self.by_certificate.values_of(key) == held.get(key, frozenset())


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
