"""What the schema and rules of LoadBalancerFrontend accept and refuse, and how they default."""

import pytest

from tests.integration.crds.conftest import Server
from tests.integration.crds.frontend_tables import Object, spec
from tests.integration.crds.manifests import build, changed


def test_defaults_are_what_anyone_would_want_to_read(server: Server, shared_namespace: str) -> None:
    created = server.create(build("LoadBalancerFrontend", spec()), shared_namespace).json
    assert created["spec"] == spec(manage="Listener", ssl=True, port=443, deletionPolicy="Release")
    assert created["status"] == {"observedGeneration": -1}


def test_a_null_switch_keeps_its_default(server: Server, shared_namespace: str) -> None:
    body = changed(build("LoadBalancerFrontend", spec()), ("spec", "ssl"), None)
    assert server.create(body, shared_namespace).json["spec"]["ssl"] is True


@pytest.mark.parametrize(
    ("before", "patch"),
    [
        pytest.param({"name": "a"}, {"name": "b"}, id="changed"),
        pytest.param({"name": "a"}, None, id="removed"),
        pytest.param(None, {"name": "b"}, id="added"),
        pytest.param({"name": "a"}, {"namespace": "edge"}, id="namespace added"),
    ],
)
def test_the_load_balancer_is_immutable(
    server: Server, namespace: str, before: Object | None, patch: Object | None
) -> None:
    body = build("LoadBalancerFrontend", spec(loadBalancerRef=before))
    assert server.create(body, namespace, dry_run=False).code == 201
    answer = server.merge(body, namespace, {"spec": {"loadBalancerRef": patch}})
    assert answer.code == 422
    assert "spec.loadBalancerRef" in answer.text
