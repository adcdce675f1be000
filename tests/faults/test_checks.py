"""Each check at the end of a run finds what it is for: it is given a bad state here."""

import base64
from typing import Any

import pytest

from tests.e2e import material
from tests.faults import checks, observing
from tests.faults.evidence import Excuse, Finalized, Orders, Recorded, finalized

HOST = "www.example.com"
ROOT = material.ca("Root")
GOOD = material.leaf(HOST, issuer=ROOT)
OTHER = material.leaf(HOST, issuer=ROOT)
ENDED = material.leaf(HOST, issuer=ROOT, days=1)


def secret(
    certificate: bytes = GOOD.pem, key: bytes = GOOD.key_pem, role: str = "certificate"
) -> dict[str, Any]:
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "metadata": {
            "name": "site",
            "namespace": "shop",
            "labels": {checks.ROLE: role} if role else {},
            "annotations": {checks.MARKER: "shop/site"},
        },
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def pair(given: dict[str, Any], hosts: tuple[str, ...] = (HOST,), root: str = "") -> list[str]:
    return checks.pair(given, hosts, root or ROOT.pem.decode())


def test_a_good_pair_has_nothing_wrong() -> None:
    assert pair(secret()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(secret(key=OTHER.key_pem), "belong together", id="another key"),
        pytest.param(secret(certificate=b"edited"), "belong together", id="damaged certificate"),
        pytest.param(secret(key=b"edited"), "belong together", id="damaged key"),
        pytest.param(secret(ENDED.pem, ENDED.key_pem), "not valid any more", id="ended"),
        pytest.param(secret(role=""), "label", id="without a label"),
    ],
)
def test_a_bad_pair_is_found(given: dict[str, Any], told: str) -> None:
    assert any(told in each for each in pair(given))


def test_a_certificate_that_begins_tomorrow_is_found() -> None:
    early = material.leaf(HOST, issuer=ROOT, not_before=material.now() + material.DAY)
    assert any("does not verify" in each for each in pair(secret(early.pem, early.key_pem)))


def test_other_names_and_another_root_are_found() -> None:
    assert any("it is for" in each for each in pair(secret(), ("shop.example.com",)))
    stranger = material.ca("Stranger").pem.decode()
    assert any("does not verify" in each for each in pair(secret(), root=stranger))


def body(status: str = "True", *, generation: int = 1, progressing: str = "") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": status, "reason": "Retrying"}]
    if progressing:
        conditions.append({"type": "Progressing", "status": progressing, "reason": "Renewing"})
    return {
        "kind": "Certificate",
        "metadata": {"name": "site", "generation": generation},
        "status": {"observedGeneration": 1, "conditions": conditions},
    }


def test_what_is_not_ready_is_found() -> None:
    assert checks.unready([body()]) == []
    assert checks.unready([body("False")]) == ["Certificate site is not Ready: Retrying: "]
    assert checks.unready([body(generation=2)]), "Ready for an older generation is not Ready"
    assert checks.unready([{**body(), "status": {}}])


def test_a_renewal_or_upload_that_was_not_answered_is_found() -> None:
    wished = body()
    wished["metadata"]["annotations"] = {observing.RENEW: "2"}
    stored = secret()
    assert observing.unanswered([wished], {}) == ["there is no Secret site"]
    assert observing.unanswered([wished], {"site": stored}) == ["site is not renewed for 2"]
    stored["metadata"]["annotations"][observing.RENEWED_FOR] = "2"
    assert observing.unanswered([wished], {"site": stored}) == []
    stored = {"site": secret(), "source-site": secret(OTHER.pem, OTHER.key_pem)}
    assert observing.unanswered([body()], stored) == ["site is not what was uploaded last"]


TOKEN = checks.Token(host=HOST, value="t1")
RECORDED = {
    order: Recorded(order=order, need=need, certificate=("shop", "site"))
    for order, need in (("o1", "n1"), ("o2", "n1"), ("o3", "n3"))
}


def issued(order: str, at: int, serial: str = "1a") -> Finalized:
    return Finalized(order=order, serial=serial, at=at)


def test_one_finalized_order_for_each_need_is_right() -> None:
    fulfilled = [checks.Fulfilled(name="site", need="n3", serial="3c")]
    found = [issued("o1", 10), issued("o3", 20, "03c")]
    assert checks.orders(found, RECORDED, fulfilled) == []


def test_a_second_finalized_order_is_found_unless_it_is_excused() -> None:
    found = [issued("o1", 10), issued("o2", 30)]
    assert "finalized twice" in checks.orders(found, RECORDED, [])[0]
    excuse = Excuse(why="a copy", since=5, until=25, again=20)
    assert checks.orders(found, RECORDED, [], [excuse]) == []


@pytest.mark.parametrize(
    "excuse",
    [
        pytest.param(Excuse(why="", since=15, until=25, again=20), id="the copy knew it"),
        pytest.param(Excuse(why="", since=0, until=8, again=5), id="it came after the restore"),
        pytest.param(Excuse(why="", since=0, until=40, again=35), id="repeated before the restore"),
    ],
)
def test_an_excuse_holds_only_for_its_time(excuse: Excuse) -> None:
    found = [issued("o1", 10), issued("o2", 30)]
    assert checks.orders(found, RECORDED, [], [excuse])


def test_an_order_that_no_status_has_recorded_is_found() -> None:
    assert "no status has recorded" in checks.orders([issued("o9", 1)], RECORDED, [])[0]


def test_a_need_without_an_order_and_a_stored_stranger_are_found() -> None:
    fulfilled = [checks.Fulfilled(name="site", need="n3", serial="3c")]
    assert "has issued none" in checks.orders([], RECORDED, fulfilled)[0]
    found = [issued("o3", 1, "ff")]
    assert "has issued another certificate" in checks.orders(found, RECORDED, fulfilled)[0]


def test_serials_of_openssl_and_of_pebble_are_spelled_alike() -> None:
    assert checks.serial(secret()) == f"{GOOD.certificate.serial_number:x}"


def test_what_is_left_over_is_found() -> None:
    assert checks.left_over([secret()], "shop") == []
    for role in ("pending", "challenge"):
        assert checks.left_over([secret(role=role)], "shop")
        assert checks.left_over([secret(role=role)], "sho") == [], "another namespace's"


def test_what_outlives_its_namespace_is_found() -> None:
    assert checks.traces([secret(role="bundle")], "shop")
    assert checks.traces([secret(role="bundle")], "other") == []


def test_tokens_are_read_from_orders_in_status() -> None:
    records = [{"identifier": HOST, "token": "t1"}, {"identifier": HOST}]
    told: list[dict[str, Any]] = [{"status": {"order": {"authorizations": records}}}, {}]
    told.append({"status": {"order": {}}})
    assert checks.tokens(told) == {TOKEN}


def test_a_challenge_that_is_still_answered_is_found() -> None:
    wrong = checks.answered(1, {TOKEN}, {("node-1", TOKEN): 200, ("node-2", TOKEN): 404})
    assert wrong == [f"node-1 still answers a challenge of {HOST}"]
    assert checks.answered(1, {TOKEN}, {}) == []


def test_orders_without_a_challenge_to_look_at_are_found() -> None:
    assert "no status has told of a challenge" in checks.answered(2, set(), {})[0]
    assert checks.answered(0, set(), {}) == []


def test_a_key_in_a_log_is_found() -> None:
    key = GOOD.key_pem.decode()
    for text in (key, f"refused: {key.splitlines()[1]}", str(secret()["data"]["tls.key"])):
        assert checks.told_keys({"operator.log": f"some {text} more"}, [GOOD.key_pem])
    assert checks.told_keys({"operator.log": GOOD.pem.decode()}, [GOOD.key_pem]) == []


def test_a_node_that_shows_something_else_is_found() -> None:
    shown = {("node-1", HOST): "aa", ("node-2", HOST): "certificate verify failed"}
    assert len(checks.unserved({HOST: "aa"}, shown)) == 1
    assert len(checks.unserved({HOST: "bb"}, shown)) == 2


def test_a_revision_that_a_clock_has_raised_is_found() -> None:
    assert checks.lasting({"site": 1}, {"site": 1}) == []
    assert checks.lasting({"site": 1}, {"site": 2})


def line(order: dict[str, Any] | None, *, code: int = 200) -> dict[str, Any]:
    return {
        "objectRef": {
            "resource": "certificates",
            "subresource": "status",
            "namespace": "shop",
            "name": "site",
        },
        "responseStatus": {"code": code},
        "requestObject": {"status": {"order": order}},
    }


def test_orders_are_read_from_patches_of_status() -> None:
    orders = Orders()
    orders.read([line({"need": "n1", "id": "n1-1"}), line({"orderURL": "https://ca/my-order/o1"})])
    orders.read([line({"orderURL": "https://ca/my-order/refused"}, code=409)])
    orders.read([line(None), line({"need": "n2"}), line({"orderURL": "https://ca/my-order/o2"})])
    assert {each.order: each.need for each in orders.recorded.values()} == {"o1": "n1", "o2": "n2"}


def test_after_a_restore_orders_are_read_from_what_is_there() -> None:
    orders = Orders()
    orders.read([line({"need": "n5"})])
    status = {"order": {"need": "n1", "orderURL": "https://ca/my-order/o1"}}
    orders.forget([{"metadata": {"namespace": "shop", "name": "site"}, "status": status}])
    orders.read([line({"orderURL": "https://ca/my-order/o2"})])
    assert {each.order: each.need for each in orders.recorded.values()} == {"o1": "n1", "o2": "n1"}


def test_pebbles_log_tells_what_was_issued() -> None:
    log = "Pebble 2026/11/24 Issued certificate serial 05D8 for order o1\nAdded order o2\n"
    assert finalized(log, 100) == [issued("o1", 118, "05d8")]
