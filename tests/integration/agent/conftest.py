"""A node with a running HAProxy, of each version."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.agent.harness import Site, new_site, remove_site, versions


@pytest.fixture(params=versions())
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def site(program: str) -> AsyncIterator[Site]:
    made = new_site(program)
    try:
        await made.start()
        yield made
    finally:
        remove_site(made)
