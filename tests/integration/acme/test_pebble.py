"""What only a real ACME server shows, with real validation through our own challenge port."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certfront.issuance.acme.account_key import new_account_key
from certfront.issuance.acme.driver import Blocked, Completed, Failed, OrderRequest
from certfront.issuance.acme.endpoints import AllowedEndpoints
from certfront.issuance.acme.problems import AcmeProblem, CaUntrusted, Disposition
from certfront.issuance.acme.session import Session
from tests.integration.acme.conftest import (
    Account,
    account_on,
    reconciler_for,
    session_on,
)
from tests.integration.acme.pebble import Pebble, running
from tests.unit.issuance.acme.harness import Killed, public_key_of, request_for

NAMES = ("a.example.com", "b.example.com", "c.example.com")
UNTIL_OVER = (Completed, Failed)


async def test_w1_an_order_in_any_timezone(timezone: str, pebble: Pebble) -> None:
    """Pebble gives Retry-After at random as seconds or as a date; a misread one never ends."""
    async with account_on(pebble) as account:
        reconciler = reconciler_for(account, *NAMES)
        outcome = await reconciler.run(account.driver(), request_for(*NAMES), until=UNTIL_OVER)
    assert isinstance(outcome, Completed)
    assert reconciler.status_writes == ["Ordering", "OrderCreated", "OrderCreated", "done"]
    assert reconciler.secret_writes == ["pending", "tls", "pending deleted"]
    assert account.answers == {}
    chain = x509.load_pem_x509_certificates(reconciler.stored_chain or b"")
    assert public_key_of(reconciler.stored_key or b"") == _public_key(chain[0])


@pytest.mark.parametrize("kill_at", [3, 6, 9, 11, 13, 15, 17, 20])
async def test_o14_killed_in_the_middle_one_order_is_finalized(
    account: Account, kill_at: int
) -> None:
    reconciler = reconciler_for(account, "k.example.com")
    reconciler.kill_at = kill_at
    names = ("k.example.com",)
    with pytest.raises(Killed):
        await reconciler.run(account.driver(), request_for(*names), until=UNTIL_OVER)
    # The same holder: a claim of another one would be waited out for a minute.
    outcome = await reconciler.run(account.driver(), request_for(*names), until=UNTIL_OVER)
    assert isinstance(outcome, Completed)
    assert reconciler.failed_attempts == 0
    assert (reconciler.pending, reconciler.presented_tokens) == ({}, {})


async def test_o7_the_name_that_fails_is_told(pebble: Pebble, account: Account) -> None:
    """Nothing answers at 127.0.0.9; the other name is fine and does not hide it."""
    pebble.dns_set("add-a", {"host": "bad.example.com", "addresses": ["127.0.0.9"]})
    names = ("good.example.com", "bad.example.com")
    reconciler = reconciler_for(account, *names)
    outcome = await reconciler.run(account.driver(), request_for(*names), until=UNTIL_OVER)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.identifier) == ("ChallengeFailed", "bad.example.com")
    assert outcome.challenge == "http-01"
    assert "connection" in outcome.message
    assert account.answers == {}


async def test_c1_a_wrong_answer_fails_with_what_the_ca_saw(account: Account) -> None:
    names = ("wrong.example.com",)
    reconciler = reconciler_for(account, *names)
    real = account.session.thumbprint
    account.session = session_on_same(account.session)
    assert account.session.thumbprint != real
    outcome = await reconciler.run(account.driver(), request_for(*names), until=UNTIL_OVER)
    assert isinstance(outcome, Failed)
    assert "unauthorized" in outcome.message


async def test_w6_a_blocked_name_is_refused_and_told(tmp_path: Path) -> None:
    with running(tmp_path, domainBlocklist=["blocked.example"]) as pebble:
        async with account_on(pebble) as account:
            names = ("good.example.com", "blocked.example")
            reconciler = reconciler_for(account, *names)
            outcome = await reconciler.run(account.driver(), request_for(*names), until=UNTIL_OVER)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.identifier) == ("OrderRefused", "blocked.example")
    assert outcome.backoff.name == "PERMANENT"


def test_n2_the_ca_is_verified(pebble: Pebble) -> None:
    stranger = session_on(pebble)
    stranger.close()
    with pytest.raises(CaUntrusted):
        Session(
            pebble.directory_url,
            new_account_key(),
            None,
            ca_bundle=None,
            user_agent="certfront/test",
            clock=stranger._clock,
            resolve_guard=AllowedEndpoints(["127.0.0.0/8"]),
        ).directory()


def test_a1_terms_not_agreed_to_are_told(pebble: Pebble) -> None:
    with pytest.raises(AcmeProblem) as raised:
        session_on(pebble).register((), False, None)
    assert raised.value.code == "userActionRequired"


def test_a2_a3_an_account_is_adopted_and_recovered(pebble: Pebble) -> None:
    key = new_account_key()
    url = session_on(pebble, key).register((), True, None)
    assert session_on(pebble, key).register((), True, None) == url
    assert session_on(pebble, key).recover() == url
    with pytest.raises(AcmeProblem) as raised:
        session_on(pebble).recover()
    assert raised.value.disposition is Disposition.ACCOUNT_GONE


@pytest.mark.parametrize(
    "contact",
    [
        pytest.param(("tel:+15550100",), id="not mailto"),
        pytest.param(tuple(f"mailto:{n}@example.com" for n in "abc"), id="more than two"),
        pytest.param(("mailto:a@",), id="no address"),
    ],
)
def test_a7_contacts_that_the_ca_refuses_are_told(pebble: Pebble, contact: tuple[str, ...]) -> None:
    with pytest.raises(AcmeProblem) as raised:
        session_on(pebble).register(contact, True, None)
    assert raised.value.disposition is Disposition.PERMANENT


def test_a8_a9_an_external_account_is_bound(tmp_path: Path) -> None:
    hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with running(
        tmp_path, externalAccountBindingRequired=True, externalAccountMACKeys={"kid-1": hmac}
    ) as pebble:
        assert session_on(pebble).register((), True, ("kid-1", hmac))
        with pytest.raises(AcmeProblem) as missing:
            session_on(pebble).register((), True, None)
        with pytest.raises(AcmeProblem) as unknown:
            session_on(pebble).register((), True, ("kid-2", hmac))
        with pytest.raises(AcmeProblem) as wrong:
            session_on(pebble).register((), True, ("kid-1", hmac[:-4] + "AAAA"))
    assert missing.value.code == "externalAccountRequired"
    assert {unknown.value.disposition, wrong.value.disposition} == {Disposition.PERMANENT}
    assert hmac[:20] not in f"{missing.value} {unknown.value} {wrong.value}"


@pytest.mark.parametrize("reuse", ["50", "100"])
async def test_o2_o3_reused_authorizations(tmp_path: Path, reuse: str) -> None:
    environment = {"PEBBLE_AUTHZREUSE": reuse, "PEBBLE_WFE_NONCEREJECT": "5"}
    with running(tmp_path, environment=environment) as pebble:
        async with account_on(pebble) as account:
            for _ in range(3):
                reconciler = reconciler_for(account, *NAMES)
                outcome = await reconciler.run(
                    account.driver(), request_for(*NAMES), until=UNTIL_OVER
                )
                assert isinstance(outcome, Completed)
    if reuse == "100":
        assert reconciler.status_writes == ["Ordering", "OrderCreated", "done"]


async def test_n5_half_of_all_nonces_refused(tmp_path: Path) -> None:
    environment = {"PEBBLE_WFE_NONCEREJECT": "50", "PEBBLE_AUTHZREUSE": "100"}
    with running(tmp_path, environment=environment) as pebble:
        async with account_on(pebble) as account:
            for number in range(5):
                names = (f"n{number}.example.com",)
                reconciler = reconciler_for(account, *names)
                outcome = await reconciler.run(account.driver(), request_for(*names))
                assert isinstance(outcome, Completed)


async def test_a4_o15_a_ca_that_forgot_everything(tmp_path: Path) -> None:
    """A restarted Pebble knows neither account nor order: register again, order anew."""
    names = ("forgotten.example.com",)
    with running(tmp_path) as pebble:
        async with account_on(pebble) as account:
            reconciler = reconciler_for(account, *names)
            driver = account.driver()
            while reconciler.attempt is None or reconciler.attempt.order_url is None:
                await reconciler.step(driver, request_for(*names), "one")
            with pebble.restarted():
                lost = await reconciler.run(driver, request_for(*names))
                assert isinstance(lost, Blocked)
                assert lost.reason == "AccountLost"
                await account.worker.call(lambda: account.session.register((), True, None))
                gone = await reconciler.run(driver, request_for(*names), until=UNTIL_OVER)
                assert isinstance(gone, Failed)
                assert gone.backoff.name == "IMMEDIATE"
                done = await reconciler.run(driver, request_for(*names), until=UNTIL_OVER)
                assert isinstance(done, Completed)


async def test_o22_an_address_is_validated_and_named(account: Account) -> None:
    names = ("127.0.0.1",)
    base = request_for(*names)
    request = OrderRequest(
        dns_names=(), ip_addresses=names, make_key=base.make_key, make_csr=base.make_csr
    )
    reconciler = reconciler_for(account, *names)
    outcome = await reconciler.run(account.driver(), request, until=UNTIL_OVER)
    assert isinstance(outcome, Completed)


async def test_r12_the_profile_decides_the_lifetime(account: Account) -> None:
    names = ("short.example.com",)
    reconciler = reconciler_for(account, *names)
    request = request_for(*names, profile="shortlived")
    outcome = await reconciler.run(account.driver(), request, until=UNTIL_OVER)
    assert isinstance(outcome, Completed)
    leaf = x509.load_pem_x509_certificates(reconciler.stored_chain or b"")[0]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 6


async def test_r13_an_unknown_profile_waits_for_a_change(account: Account) -> None:
    names = ("profile.example.com",)
    reconciler = reconciler_for(account, *names)
    request = request_for(*names, profile="nonsense")
    outcome = await reconciler.run(account.driver(), request, until=UNTIL_OVER)
    assert isinstance(outcome, Failed)
    assert outcome.backoff.name == "PERMANENT"


def session_on_same(session: Session) -> Session:
    """A session of another key: its thumbprint answers nothing of the first."""
    return Session(
        session.directory_url,
        new_account_key(),
        None,
        ca_bundle=None,
        user_agent="certfront/test",
        clock=session._clock,
        resolve_guard=AllowedEndpoints(["127.0.0.0/8"]),
    )


def _public_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
