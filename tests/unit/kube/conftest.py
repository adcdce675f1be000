"""A strict API server in this process, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client.configuration import Configuration

from certfront.kube.client import ApiClient
from tests.unit.kube.apiserver import ApiServer, serving


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[ApiClient]:
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "Bearer one"
    async with ApiClient(configuration) as connected:
        yield connected
