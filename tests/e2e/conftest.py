"""One whole sandbox per test process, one namespace per test.

CERTFRONT_E2E_SANDBOX names a running sandbox to use instead, which makes writing a test quick.
"""

import os
from collections.abc import Iterator

import pytest

from sandbox import lifecycle, state
from tests.e2e.api import Api
from tests.e2e.journal import Journal
from tests.e2e.kstatus import judge
from tests.e2e.world import Tenant, World
from tests.sandboxes import own_name, remove_leftovers


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """API server, operator, Pebble, DNS and two HAProxy nodes."""
    borrowed = os.environ.get("CERTFRONT_E2E_SANDBOX", "")
    name = borrowed or own_name("e")
    if not borrowed:
        remove_leftovers("e")
        with pytest.MonkeyPatch.context() as environment:
            # Pebble forgets at once that a name was valid: each order is validated again.
            environment.setenv("PEBBLE_AUTHZREUSE", "0")
            lifecycle.up(lifecycle.Wishes(name=name, nodes=2))
    started = state.load(name)
    journal = Journal(started)
    yield World(name=name, api=Api(started), journal=journal)
    journal.close()
    try:
        judge(journal)
    finally:
        _end(name, borrowed=bool(borrowed), failed=request.session.testsfailed > 0)


def _end(name: str, *, borrowed: bool, failed: bool) -> None:
    if not borrowed:
        kept = lifecycle.down(name, keep_logs=failed)
        if kept is not None:
            print(f"\nthe sandbox's logs are in {kept}")


@pytest.fixture
def tenant(world: World) -> Iterator[Tenant]:
    """A namespace for one test, gone with all that it had installed when the test ends."""
    made = Tenant(world)
    yield made
    made.remove()


@pytest.fixture
def disturbed(world: World) -> Iterator[World]:
    """The world, for a test that stops or kills something; all of it runs again afterwards."""
    yield world
    world.everything_started()


@pytest.fixture
def neighbour(world: World) -> Iterator[Tenant]:
    """A second namespace."""
    made = Tenant(world)
    yield made
    made.remove()
