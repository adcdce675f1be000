"""Fixtures for tests on real parts: a cluster per test process, a namespace per test, kubectl.

The cluster is a sandbox without operator and nodes (see :mod:`sandbox`); a test that needs those
starts a sandbox of its own, or their processes. On failure the logs are kept, and it is said where.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import pytest

from sandbox import binaries, lifecycle, objects
from sandbox.errors import BuildError
from sandbox.kubectl import Kubectl
from sandbox.state import State
from tests.sandboxes import own_name, remove_leftovers


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[State]:
    """An API server with controllers, Pebble and DNS, shared by the tests of this process."""
    remove_leftovers("t")
    name = own_name("t")
    started = lifecycle.up(lifecycle.Wishes(name=name, nodes=0, operator=False))
    yield started
    kept = lifecycle.down(name, keep_logs=request.session.testsfailed > 0)
    if kept is not None:
        print(f"\nthe cluster's logs are in {kept}")


@pytest.fixture(scope="session")
def kubectl(cluster: State) -> Kubectl:
    """Runs kubectl as the cluster's admin."""
    return objects.kubectl(cluster)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace for one test."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def require_haproxy() -> Callable[[str], str]:
    """Returns the path of the HAProxy of a version ("2.6", "2.8").

    Without Debian's 2.6 the test is skipped, loudly; where CERTFRONT_REQUIRE_HAPROXY_26 is set, as
    in continuous integration, it fails.
    """

    def require(version: str) -> str:
        try:
            return str(binaries.haproxy(version))
        except BuildError as error:
            if version != "2.6" or os.environ.get("CERTFRONT_REQUIRE_HAPROXY_26"):
                raise
            return pytest.skip(f"!!!!!!!! NOT TESTED ON DEBIAN'S HAPROXY: {error} !!!!!!!!")

    return require
