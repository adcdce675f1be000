"""Every scenario runs against every type of load balancer that is reached by an API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

# ruff: noqa: E402 - what is imported after it has its assertions explained
pytest.register_assert_rewrite("tests.contract.stage")

from certfront.loadbalancers.registry import KINDS
from tests.contract.aws import AWSApplication, AWSClassic
from tests.contract.kong import Kong
from tests.contract.openscaler import DocumentedOpenScaler, OpenScaler
from tests.contract.ovh import OVH
from tests.contract.rackspace import Rackspace
from tests.contract.stage import Adapter, Stage, staged

ADAPTERS: tuple[Adapter, ...] = (
    OVH(),
    AWSClassic(),
    AWSApplication(),
    Rackspace(),
    Kong(),
    OpenScaler(),
    DocumentedOpenScaler(),
)

assert {one.kind for one in ADAPTERS} == KINDS.keys(), "a type of load balancer has no adapter"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "needs(*what): what the provider must have for the test")


@pytest.fixture(params=ADAPTERS, ids=lambda one: one.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """A provider that has what the test needs."""
    found: Adapter = request.param
    for mark in request.node.iter_markers("needs"):
        for need in mark.args:
            if need in found.skips:
                pytest.skip(found.skips[need])
    own = request.node.name.replace(f"[{found.name}]", "").replace(f"[{found.name}-", "[")
    for name in (request.node.originalname, own):
        if name in found.known:
            request.applymarker(pytest.mark.xfail(strict=True, reason=found.known[name]))
    return found


@pytest.fixture
async def stage(adapter: Adapter) -> AsyncIterator[Stage]:
    """The provider at its emulator."""
    async with staged(adapter) as made:
        yield made
