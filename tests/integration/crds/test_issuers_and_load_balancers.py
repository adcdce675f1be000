"""What the schemas of Issuer and LoadBalancer accept and refuse; grants above all."""

import pytest

from tests.integration.crds.conftest import Server
from tests.integration.crds.issuer_and_load_balancer_tables import IMMUTABLE
from tests.integration.crds.manifests import FULL, build


@pytest.mark.parametrize("case", IMMUTABLE)
def test_the_identity_of_a_service_is_immutable(server: Server, namespace: str, case: str) -> None:
    name, patch = IMMUTABLE[case]
    assert server.create(FULL[name], namespace, dry_run=False).code == 201
    answer = server.merge(FULL[name], namespace, {"spec": patch})
    assert answer.code == 422
    assert "immutable" in answer.text


def test_what_is_no_identity_may_change(server: Server, namespace: str) -> None:
    assert server.create(FULL["ovh"], namespace, dry_run=False).code == 201
    patch = {"spec": {"grants": [], "ovh": {"credentialsSecretRef": {"name": "new"}}}}
    assert server.merge(FULL["ovh"], namespace, patch).code == 200


def test_a_private_ca_signs_servers_only_by_default(server: Server, shared_namespace: str) -> None:
    body = build("Issuer", {"type": "CA", "ca": {"secretRef": {"name": "ca"}}})
    created = server.create(body, shared_namespace).json
    usages = created["spec"]["ca"]["allowedUsages"]
    assert usages == ["digital signature", "key encipherment", "server auth"]
