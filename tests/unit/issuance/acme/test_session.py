"""The session against the strict stub: signing, nonces, errors, accounts, orders."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certfront.issuance.acme import nonces
from certfront.issuance.acme.account_key import AccountKey, InvalidAccountKey, new_account_key
from certfront.issuance.acme.endpoints import AllowedEndpoints
from certfront.issuance.acme.problems import (
    AcmeProblem,
    CaUnreachable,
    CaUntrusted,
    Disposition,
    EndpointRefused,
)
from certfront.issuance.acme.session import NONCE_ATTEMPTS, Session
from certfront.issuance.acme.transport import deadline
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import FrozenClock, SystemClock
from tests.unit.issuance.acme.conftest import MakeSession
from tests.unit.issuance.acme.harness import request_for
from tests.unit.issuance.acme.stub import Reply, Script, Stub, problem


def test_n1_every_request_names_product_and_version(session: Session, stub: Stub) -> None:
    session.read_order(session.new_order(("a.example.com",)).url)
    assert stub.user_agents == {"certfront/test"}


def test_n2_a_ca_outside_the_bundle_is_refused(make_session: MakeSession) -> None:
    """The public roots are not added to a bundle, and a wrong one is never passed over."""
    with pytest.raises(CaUntrusted, match="does not verify"):
        make_session(ca_bundle=None).directory()


def test_n2_a_bundle_replaces_the_public_roots(make_session: MakeSession) -> None:
    own = make_session()._transport._pool.connection_pool_kw["ssl_context"].get_ca_certs()
    public = make_session(ca_bundle=None)._transport._pool.connection_pool_kw["ssl_context"]
    assert [dict(entry[0] for entry in root["subject"]) for root in own] == [
        {"commonName": "stub CA"}
    ]
    assert len(public.get_ca_certs()) > 50


def test_n2_a_bundle_that_is_none_is_told(make_session: MakeSession) -> None:
    with pytest.raises(EndpointRefused, match="PEM"):
        make_session(ca_bundle=b"-----BEGIN NONSENSE-----")


def test_n4_the_directory_is_cached_for_an_hour(make_session: MakeSession, stub: Stub) -> None:
    clock = FrozenClock()
    session = make_session(clock=clock)
    session.directory()
    clock.advance(3599)
    session.directory()
    assert stub.count("/dir") == 1
    clock.advance(2)
    session.directory()
    assert stub.count("/dir") == 2


def test_n4_the_directory_is_fetched_anew_after_a_404(session: Session, stub: Stub) -> None:
    stub.fail_next("/new-order", Reply(404, b"<html>"))
    with pytest.raises(AcmeProblem):
        session.new_order(("a.example.com",))
    session.new_order(("a.example.com",))
    assert stub.count("/dir") == 2


def test_n4_a_directory_that_is_none_is_an_unusable_answer(
    make_session: MakeSession, stub: Stub
) -> None:
    stub.fail_next("/dir", Reply(200, {"newNonce": 1}))
    with pytest.raises(CaUnreachable, match="directory"):
        make_session().directory()


def test_n5_bad_nonces_are_retried_with_the_nonce_of_the_refusal(
    session: Session, stub: Stub
) -> None:
    before = stub.count("/new-nonce")
    stub.reject_nonces = 9
    session.new_order(("a.example.com",))
    assert stub.count("/new-nonce") == before


def test_n5_bad_nonces_are_given_up_at_a_cap(session: Session, stub: Stub) -> None:
    stub.reject_nonces = 1000
    before = len(stub.protected)
    with pytest.raises(AcmeProblem) as raised:
        session.new_order(("a.example.com",))
    assert raised.value.code == "badNonce"
    assert raised.value.disposition is Disposition.RETRY_SOON
    assert len(stub.protected) - before == NONCE_ATTEMPTS


def test_n6_nonces_are_dropped_after_five_idle_minutes() -> None:
    clock = FrozenClock()
    pool = nonces.NoncePool(clock)
    pool.add("old")
    clock.advance(nonces.LONGEST_AGE_SECONDS - 1)
    assert pool.take() == "old"
    pool.add("old")
    clock.advance(nonces.LONGEST_AGE_SECONDS + 1)
    assert pool.take() is None


def test_n6_a_nonce_is_given_out_once_and_malformed_ones_never() -> None:
    pool = nonces.NoncePool(FrozenClock())
    for text in (None, "", "a b", "é", "x" * 600):
        pool.add(text)
    assert pool.take() is None
    pool.add("n")
    assert [pool.take(), pool.take()] == ["n", None]


def test_n7_a_missing_nonce_does_not_discard_the_result(session: Session, stub: Stub) -> None:
    def without_nonce(act: object) -> Reply:
        reply: Reply = act()  # type: ignore[operator]  # the stub's own callable
        reply.nonce = False
        return reply

    stub.scripts.append(Script("/new-order", without_nonce, 1))
    order = session.new_order(("a.example.com",))
    assert session.read_order(order.url).status == "pending"
    assert len(stub.orders) == 1


def test_n8_new_account_signs_with_jwk_all_else_with_kid(session: Session, stub: Stub) -> None:
    session.new_order(("a.example.com",))
    kinds = {
        header["url"].rpartition("/")[2]: sorted({"jwk", "kid"} & set(header))
        for header in stub.protected
    }
    assert kinds == {"new-account": ["jwk"], "new-order": ["kid"]}


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        pytest.param(ec.generate_private_key(ec.SECP256R1()), "ES256", id="P-256"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), "ES384", id="P-384"),
        pytest.param(rsa.generate_private_key(65537, 2048), "RS256", id="RSA"),
    ],
)
def test_n9_the_signature_algorithm_matches_the_key(
    make_session: MakeSession,
    stub: Stub,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    algorithm: str,
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    make_session(pem).register((), True, None)
    assert {header["alg"] for header in stub.protected} == {algorithm}


def test_n9_a_refused_algorithm_is_replaced_by_one_that_the_ca_lists(
    make_session: MakeSession, stub: Stub
) -> None:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    stub.fail_next("/new-account", problem("badSignatureAlgorithm", algorithms=["PS256", "ES256"]))
    make_session(pem).register((), True, None)
    assert stub.protected[-1]["alg"] == "PS256"


def test_n9_no_common_algorithm_is_the_cas_refusal(make_session: MakeSession, stub: Stub) -> None:
    stub.fail_next("/new-account", problem("badSignatureAlgorithm", algorithms=["RS256"]), 2)
    with pytest.raises(AcmeProblem) as raised:
        make_session().register((), True, None)
    assert raised.value.disposition is Disposition.PERMANENT


def test_n10_reading_posts_nothing_and_starting_posts_an_empty_object(
    session: Session, stub: Stub
) -> None:
    order = session.new_order(("a.example.com",))
    authorization = session.read_authorization(order.authorizations[0])
    session.start_challenge(authorization.challenges[0].url)
    payloads = [payload for _, path, payload in stub.requests if path.startswith(("/au", "/ch"))]
    assert payloads == [None, {}]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(502, b"<html>bad gateway</html>"), id="an HTML error page"),
        pytest.param(Reply(500, b""), id="a 500 without a body"),
        pytest.param(Reply(200, b'{"status": "pend'), id="truncated JSON"),
        pytest.param(Reply(200, b"[" * 50_000), id="deep JSON"),
        pytest.param(Reply(200, b'{"status": 5, "finalize": "x"}'), id="wrong types"),
        pytest.param(Reply(200, b"x" * 300_000), id="too large"),
        pytest.param(Reply(reset=True), id="a reset connection"),
        pytest.param(
            Reply(302, b"", {"Location": "https://other.example/"}), id="a redirected POST"
        ),
    ],
)
def test_n11_unusable_answers_are_retryable(session: Session, stub: Stub, reply: Reply) -> None:
    order = session.new_order(("a.example.com",))
    stub.fail_next("/order/", reply)
    with pytest.raises((CaUnreachable, AcmeProblem)) as raised:
        session.read_order(order.url)
    if isinstance(raised.value, AcmeProblem):
        assert raised.value.disposition is Disposition.RETRY_SOON
    assert session.read_order(order.url).status == "pending"


def test_n11_a_dripping_server_is_left_at_the_deadline(session: Session, stub: Stub) -> None:
    """A byte every 50 ms would take a minute; a time-out per read would never fire."""
    order = session.new_order(("a.example.com",))
    stub.fail_next("/order/", Reply(200, b" " * 1200, drip=True))
    begun = time.monotonic()
    with deadline(1.0, SystemClock()), pytest.raises(CaUnreachable, match="in time"):
        session.read_order(order.url)
    assert time.monotonic() - begun < 20


def test_n11_a_passed_deadline_sends_nothing(session: Session, stub: Stub) -> None:
    before = len(stub.requests)
    with deadline(0.0, SystemClock()), pytest.raises(CaUnreachable, match="in time"):
        session.new_order(("a.example.com",))
    assert len(stub.requests) == before


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/dir",
        "https://",
        "file:///etc/passwd",
        "https://u:p@h/",
        "https://h/\n",
        "",
    ],
)
def test_urls_other_than_https_are_refused(make_session: MakeSession, url: str) -> None:
    session = make_session()
    session.directory_url = url
    with pytest.raises(EndpointRefused):
        session.directory()


def test_loopback_is_refused_unless_allowed(make_session: MakeSession, stub: Stub) -> None:
    with pytest.raises(EndpointRefused, match="allowEndpoints"):
        make_session(resolve_guard=AllowedEndpoints([])).directory()
    assert stub.requests == []


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("127.5.0.1", True),
    ],
)
def test_which_addresses_may_be_connected_to(address: str, permitted: bool) -> None:
    assert permitted is AllowedAddresses(["127.5.0.0/16"]).permits(address)


def test_the_checked_address_is_the_one_connected_to(make_session: MakeSession, stub: Stub) -> None:
    """The name is resolved by the guard alone; the certificate is still checked for the name."""
    asked = []

    def guard(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    session = make_session(resolve_guard=guard)
    session.directory_url = stub.directory_url.replace("127.0.0.1", "localhost")
    session.directory()
    session.directory_url = stub.directory_url.replace("127.0.0.1", "ca.invalid")
    session._directory = None
    with pytest.raises(CaUntrusted):
        session.directory()
    assert asked == ["localhost", "ca.invalid"]


def test_redirects_stay_on_the_host(make_session: MakeSession, stub: Stub) -> None:
    stub.fail_next("/dir", Reply(301, b"", {"Location": "/dir"}))
    make_session().directory()
    stub.fail_next("/dir", Reply(301, b"", {"Location": "https://other.example/dir"}))
    with pytest.raises(EndpointRefused, match="another host"):
        make_session().directory()


def test_w3_a_429_keeps_its_wait(session: Session, stub: Stub) -> None:
    stub.fail_next("/new-order", problem("rateLimited", 429, headers={"Retry-After": "120"}))
    with pytest.raises(AcmeProblem) as raised:
        session.new_order(("a.example.com",))
    assert (raised.value.status, raised.value.retry_after) == (429, 120.0)
    assert raised.value.disposition is Disposition.RATE_LIMITED


def test_w3_the_wait_in_the_text_is_the_fallback(make_session: MakeSession, stub: Stub) -> None:
    session = make_session(clock=FrozenClock())
    session.register((), True, None)
    text = "too many, retry after 2026-01-01 01:00:00 UTC"
    stub.fail_next("/new-order", problem("rateLimited", 429, text))
    with pytest.raises(AcmeProblem) as raised:
        session.new_order(("a.example.com",))
    assert raised.value.retry_after == 3600.0


def test_w4_a_503_of_a_balancer_keeps_its_wait(session: Session, stub: Stub) -> None:
    stub.fail_next("/new-order", Reply(503, b"<html>", {"Retry-After": "7"}))
    with pytest.raises(AcmeProblem) as raised:
        session.new_order(("a.example.com",))
    assert raised.value.retry_after == 7.0
    assert raised.value.disposition is Disposition.RATE_LIMITED


def test_a_409_keeps_its_type(session: Session, stub: Stub) -> None:
    stub.fail_next("/new-order", problem("alreadyReplaced", 409))
    with pytest.raises(AcmeProblem) as raised:
        session.new_order(("a.example.com",), replaces="x.y")
    assert (raised.value.status, raised.value.code) == (409, "alreadyReplaced")


def test_a1_terms_that_are_not_agreed_to_are_told_before_the_request(
    make_session: MakeSession, stub: Stub
) -> None:
    stub.meta = {"termsOfService": "https://ca.example/terms"}
    with pytest.raises(AcmeProblem, match=r"https://ca\.example/terms") as raised:
        make_session().register((), False, None)
    assert raised.value.code == "userActionRequired"
    assert stub.count("/new-account") == 0


def test_a1_terms_block_only_where_the_ca_has_them(make_session: MakeSession) -> None:
    assert make_session().register((), False, None)


def test_a2_an_existing_account_is_adopted(make_session: MakeSession, stub: Stub) -> None:
    key = new_account_key()
    first = make_session(key).register((), True, None)
    second = make_session(key)
    assert second.register((), True, None) == first
    second.new_order(("a.example.com",))
    assert len(stub.accounts) == 1


def test_a3_a_lost_account_url_is_recovered_by_the_key(
    make_session: MakeSession, stub: Stub
) -> None:
    key = new_account_key()
    url = make_session(key).register((), True, None)
    assert make_session(key).recover() == url
    with pytest.raises(AcmeProblem) as raised:
        make_session().recover()
    assert raised.value.disposition is Disposition.ACCOUNT_GONE
    assert len(stub.accounts) == 1


@pytest.mark.parametrize("text", ["AAECAwQFBgcICQ", "AAECAwQFBgcICQ==", "++//AAECAwQFBgcICQ"])
def test_a8_eab_signs_the_account_key_with_or_without_padding(
    make_session: MakeSession, stub: Stub, text: str
) -> None:
    make_session().register((), True, ("kid-1", text))
    payload = next(p for _, path, p in stub.requests if path == "/new-account")
    inner = payload["externalAccountBinding"]
    assert set(inner) == {"protected", "payload", "signature"}
    header = json.loads(base64.urlsafe_b64decode(inner["protected"] + "=="))
    assert header == {"alg": "HS256", "kid": "kid-1", "url": f"{stub.base}/new-account"}


def test_a8_a_bad_hmac_key_is_told_without_showing_it(make_session: MakeSession) -> None:
    with pytest.raises(AcmeProblem) as raised:
        make_session().register((), True, ("kid-1", "secret!secret!"))
    assert "secret" not in str(raised.value)


def test_a9_a_missing_eab_is_told_before_the_request(make_session: MakeSession, stub: Stub) -> None:
    stub.meta = {"externalAccountRequired": True}
    with pytest.raises(AcmeProblem) as raised:
        make_session().register((), True, None)
    assert raised.value.code == "externalAccountRequired"
    assert stub.count("/new-account") == 0


def test_a12_a_deactivated_account_is_told(make_session: MakeSession, stub: Stub) -> None:
    reply = Reply(200, {"status": "deactivated"}, {"Location": "https://ca.example/a"})
    stub.fail_next("/new-account", reply)
    with pytest.raises(AcmeProblem, match="deactivated") as raised:
        make_session().register((), True, None)
    assert raised.value.disposition is Disposition.PERMANENT


def test_an_order_carries_names_addresses_and_options(session: Session, stub: Stub) -> None:
    session.new_order(("a.example.com",), ("2001:db8::1",), profile="short", replaces="a.b")
    assert stub.requests[-1][2] == {
        "identifiers": [
            {"type": "dns", "value": "a.example.com"},
            {"type": "ip", "value": "2001:db8::1"},
        ],
        "profile": "short",
        "replaces": "a.b",
    }


def test_c9_unknown_challenge_types_and_statuses_are_read(session: Session, stub: Stub) -> None:
    order = session.new_order(("a.example.com",))
    for authorization in stub.authorizations.values():
        authorization["status"] = "expired"
    read = session.read_authorization(order.authorizations[0])
    assert read.status == "expired"
    assert "new-kind-01" in {challenge.type for challenge in read.challenges}


def test_a_token_that_is_no_token_is_not_taken(session: Session, stub: Stub) -> None:
    order = session.new_order(("a.example.com",))
    for authorization in stub.authorizations.values():
        authorization["challenges"][0]["token"] = "../../etc/passwd"
    assert session.read_authorization(order.authorizations[0]).challenges[0].token is None


def test_an_order_is_finalized_and_downloaded_step_by_step(session: Session, stub: Stub) -> None:
    stub.reuse_authorizations = True
    request = request_for("a.example.com")
    order = session.new_order(request.dns_names)
    assert order.status == "ready"
    begun = session.finalize(order, request.make_csr(request.make_key()))
    assert (begun.status, begun.url) == ("processing", order.url)
    finished = session.read_order(order.url)
    assert finished.certificate is not None
    assert session.download(finished.certificate).count(b"BEGIN CERTIFICATE") == 2


def test_a_download_without_a_certificate_is_unusable(session: Session, stub: Stub) -> None:
    stub.certificates["x"] = b"hello"
    with pytest.raises(CaUnreachable, match="no certificate"):
        session.download(f"{stub.base}/cert/x")


def test_an_unregistered_session_says_that_it_has_no_account(make_session: MakeSession) -> None:
    with pytest.raises(AcmeProblem) as raised:
        make_session().new_order(("a.example.com",))
    assert raised.value.disposition is Disposition.ACCOUNT_GONE


@pytest.mark.parametrize(
    "pem",
    [b"", b"garbage", b"x" * 20_000, new_account_key()[:60]],
    ids=["empty", "garbage", "too large", "truncated"],
)
def test_a_bad_account_key_is_refused_without_showing_it(pem: bytes) -> None:
    with pytest.raises(InvalidAccountKey) as raised:
        AccountKey(pem)
    assert pem[:30].decode() not in str(raised.value) or pem == b""


def test_the_key_is_in_no_repr() -> None:
    pem = new_account_key()
    assert pem.decode().splitlines()[1] not in repr(AccountKey(pem))
