"""The stub server, sessions that trust it, and a clock that tests move."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certfront.issuance.acme.account_key import new_account_key
from certfront.issuance.acme.endpoints import AllowedEndpoints
from certfront.issuance.acme.session import Session
from certfront.issuance.acme.worker import AccountWorker
from certfront.model.clock import FrozenClock, SystemClock
from tests.unit.issuance.acme.stub import Stub, running

MakeSession = Callable[..., Session]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    with running(tmp_path) as server:
        yield server


@pytest.fixture
def make_session(stub: Stub) -> Iterator[MakeSession]:
    """Makes sessions on the stub; keyword arguments replace the usual ones."""
    made: list[Session] = []

    def make(account_key: bytes | None = None, **changes: object) -> Session:
        arguments = {
            "ca_bundle": stub.authority.pem,
            "user_agent": "certfront/test",
            "clock": SystemClock(),
            "resolve_guard": AllowedEndpoints(["127.0.0.0/8"]),
            **changes,
        }
        session = Session(stub.directory_url, account_key or new_account_key(), None, **arguments)  # type: ignore[arg-type]  # the caller names the arguments it replaces
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: MakeSession) -> Session:
    """A session with a registered account."""
    registered = make_session()
    registered.register(("mailto:ops@example.com",), True, None)
    return registered


@pytest.fixture
def clock() -> FrozenClock:
    """Starts now, because certificates of the stub are valid now, and stands still."""
    return FrozenClock(datetime.now(UTC))


@pytest.fixture
async def worker(session: Session) -> AsyncIterator[AccountWorker]:
    account = AccountWorker(session, clock=SystemClock())
    yield account
    await account.aclose()
