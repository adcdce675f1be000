"""The store, case by case."""

from typing import Any

import pytest

from certfront.engine.keys import Key
from certfront.engine.store import Index, Store, trim_metadata

KIND = "Certificate"


def certificate(
    name: str, revision: int, *, uid: str = "u1", namespace: str = "shop", **spec: Any
) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(revision)}
    return {"apiVersion": "v1", "kind": KIND, "metadata": metadata, "spec": spec}


@pytest.fixture
def by_issuer() -> Index:
    return Index(KIND, lambda obj: [obj["spec"]["issuer"]] if "issuer" in obj["spec"] else [])


@pytest.fixture
def store(by_issuer: Index) -> Store:
    return Store({KIND: lambda obj: obj}, [by_issuer])


def test_managed_fields_are_not_kept(store: Store) -> None:
    obj = certificate("a", 1)
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.upsert(KIND, obj)
    held = store.get(KIND, "shop", "a")
    assert held is not None
    assert "managedFields" not in held["metadata"]
    assert "managedFields" in obj["metadata"], "the caller's object was changed"
    assert trim_metadata(held) is held


def test_a_kind_keeps_only_what_its_trim_keeps() -> None:
    store = Store({"Secret": lambda obj: {k: v for k, v in obj.items() if k != "data"}})
    store.upsert("Secret", {"metadata": {"namespace": "n", "name": "s"}, "data": {"k": "v"}})
    assert store.get("Secret", "n", "s") == {"metadata": {"namespace": "n", "name": "s"}}


def test_a_new_revision_alone_is_no_change(store: Store) -> None:
    assert store.upsert(KIND, certificate("a", 1, issuer="x"))
    assert not store.upsert(KIND, certificate("a", 2, issuer="x"))
    held = store.get(KIND, "shop", "a")
    assert held is not None
    assert held["metadata"]["resourceVersion"] == "2"
    assert store.upsert(KIND, certificate("a", 3, issuer="y"))
    assert store.upsert(KIND, certificate("a", 4, issuer="y", uid="u2"))


def test_a_watch_is_believed_also_when_it_says_something_older(store: Store) -> None:
    """After a restore of etcd the older revision is the truth."""
    store.upsert(KIND, certificate("a", 100, issuer="x"))
    assert store.upsert(KIND, certificate("a", 7, issuer="y"))
    held = store.get(KIND, "shop", "a")
    assert held is not None
    assert held["spec"] == {"issuer": "y"}
    assert store.highest_revision(KIND) == 100


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        pytest.param(certificate("a", 11, issuer="new"), True, id="newer"),
        pytest.param(certificate("a", 10, issuer="new"), False, id="the-same-revision"),
        pytest.param(certificate("a", 9, issuer="new"), False, id="older"),
        pytest.param(certificate("a", 11, uid="u2", issuer="new"), False, id="another-object"),
        pytest.param(certificate("b", 11, issuer="new"), False, id="not-held"),
    ],
)
def test_the_answer_to_a_write_is_taken_only_if_it_is_news(
    store: Store, answer: dict[str, Any], taken: bool
) -> None:
    store.upsert(KIND, certificate("a", 10, issuer="old"))
    assert store.accept(KIND, answer) is taken
    held = store.get(KIND, "shop", "a")
    assert held is not None
    assert held["spec"]["issuer"] == ("new" if taken else "old")
    assert len(list(store.items(KIND))) == 1


def test_an_index_follows_every_change(store: Store, by_issuer: Index) -> None:
    store.upsert(KIND, certificate("a", 1, issuer="x"))
    store.upsert(KIND, certificate("b", 2, issuer="x"))
    assert by_issuer.lookup("x") == (Key(KIND, "shop", "a"), Key(KIND, "shop", "b"))
    store.upsert(KIND, certificate("a", 3, issuer="y"))
    assert by_issuer.lookup("x") == (Key(KIND, "shop", "b"),)
    store.upsert(KIND, certificate("b", 4))
    assert by_issuer.lookup("x") == ()
    store.remove(KIND, "shop", "a")
    assert by_issuer.lookup("y") == ()
    assert by_issuer.values_of(Key(KIND, "shop", "a")) == frozenset()


def test_an_object_that_cannot_be_indexed_is_still_held(
    store: Store, by_issuer: Index, caplog: pytest.LogCaptureFixture
) -> None:
    store.upsert(KIND, certificate("a", 1, issuer="x"))
    store.upsert(KIND, certificate("a", 2, issuer=["secret-text"]))
    assert by_issuer.lookup("x") == ()
    assert store.get(KIND, "shop", "a") is not None
    assert "secret-text" not in caplog.text
    assert "TypeError" in caplog.text


def test_a_removal_with_a_uid_spares_another_incarnation(store: Store) -> None:
    store.upsert(KIND, certificate("a", 1, uid="new"))
    assert not store.remove(KIND, "shop", "a", uid="old")
    assert store.remove(KIND, "shop", "a", uid="new")
    assert not store.remove(KIND, "shop", "a")


def test_items_may_be_walked_while_the_store_changes(store: Store) -> None:
    for name in ("a", "b"):
        store.upsert(KIND, certificate(name, 1))
    store.upsert(KIND, certificate("c", 1, namespace="bank"))
    for obj in store.items(KIND):
        store.remove(KIND, obj["metadata"]["namespace"], obj["metadata"]["name"])
    assert list(store.items(KIND)) == []
    store.upsert(KIND, certificate("c", 1, namespace="bank"))
    assert [o["metadata"]["name"] for o in store.items(KIND, "bank")] == ["c"]
    assert list(store.items(KIND, "shop")) == []


@pytest.mark.parametrize(
    ("listed", "covered"),
    [
        pytest.param(certificate("a", 5), True, id="the-same"),
        pytest.param(certificate("a", 4), True, id="newer-here"),
        pytest.param(certificate("a", 6), False, id="older-here"),
        pytest.param(certificate("a", 5, uid="u2"), False, id="another-incarnation"),
        pytest.param(certificate("b", 5), False, id="absent"),
    ],
)
def test_a_list_is_covered_by_the_same_or_newer(
    store: Store, listed: dict[str, Any], covered: bool
) -> None:
    store.upsert(KIND, certificate("a", 5))
    assert (store.uncovered(KIND, [listed]) == []) is covered
