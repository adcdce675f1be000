"""Pebble per test module, and an account whose challenges our own port answers."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web

from certfront.issuance.acme.account_key import key_authorization, new_account_key
from certfront.issuance.acme.driver import OrderDriver
from certfront.issuance.acme.endpoints import AllowedEndpoints
from certfront.issuance.acme.order import Attempt
from certfront.issuance.acme.session import Session
from certfront.issuance.acme.solver import ChallengePort
from certfront.issuance.acme.worker import AccountWorker
from certfront.model.clock import SystemClock
from tests.integration.acme.pebble import Pebble, running
from tests.unit.issuance.acme.harness import Reconciler

ZONES = ("UTC", "America/New_York", "Asia/Kolkata")


@pytest.fixture(params=ZONES)
def timezone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Puts the process into each of these timezones: an HTTP-date must not care."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """-strict, 5 % of the nonces refused, no authorization reused."""
    environment = {"PEBBLE_WFE_NONCEREJECT": "5", "PEBBLE_AUTHZREUSE": "0"}
    with running(tmp_path_factory.mktemp("pebble"), environment=environment) as server:
        yield server


def session_on(pebble: Pebble, key: bytes | None = None) -> Session:
    """A session without an account."""
    return Session(
        pebble.directory_url,
        key or new_account_key(),
        None,
        ca_bundle=pebble.ca_bundle,
        user_agent="certfront/test",
        clock=SystemClock(),
        resolve_guard=AllowedEndpoints(["127.0.0.0/8"]),
    )


@dataclass
class Account:
    """A registered account, its worker, and what answers its challenges."""

    session: Session
    worker: AccountWorker
    answers: dict[str, str]

    def driver(self) -> OrderDriver:
        return OrderDriver(self.worker, SystemClock())


class AnsweringReconciler(Reconciler):
    """Presents on the operator's own challenge port."""

    account: Account

    async def present(self, attempt: Attempt) -> None:
        await super().present(attempt)
        for record in attempt.authorizations:
            self.account.answers[record.token] = key_authorization(
                record.token, self.account.session.thumbprint
            )

    async def sweep(self) -> None:
        await super().sweep()
        held = {r.token for a in self.presented_tokens.values() for r in a.authorizations}
        for token in set(self.account.answers) - held:
            del self.account.answers[token]


def reconciler_for(account: Account, *names: str) -> AnsweringReconciler:
    """Wants these names from this account."""
    made = AnsweringReconciler(names=names, clock=SystemClock())
    made.account = account
    return made


@asynccontextmanager
async def account_on(pebble: Pebble) -> AsyncIterator[Account]:
    """A new account whose challenges are answered on Pebble's HTTP port."""
    async with AsyncExitStack() as stack:
        answers: dict[str, str] = {}
        port = ChallengePort(lambda token, _: answers.get(token), SystemClock())
        runner = web.AppRunner(port.application())
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", pebble.http_port).start()
        session = session_on(pebble)
        worker = AccountWorker(session, clock=SystemClock())
        stack.push_async_callback(worker.aclose)
        await worker.call(lambda: session.register(("mailto:ops@example.com",), True, None))
        yield Account(session, worker, answers)


@pytest.fixture
async def account(pebble: Pebble) -> AsyncIterator[Account]:
    async with account_on(pebble) as made:
        yield made
