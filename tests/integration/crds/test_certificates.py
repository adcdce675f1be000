"""What the schema and rules of Certificate accept and refuse, and how they default."""

from tests.integration.crds.certificate_tables import key, spec
from tests.integration.crds.conftest import Server
from tests.integration.crds.manifests import build, changed


def test_status_says_that_nothing_was_observed_yet(server: Server, shared_namespace: str) -> None:
    created = server.create(build("Certificate", spec()), shared_namespace).json
    assert created["status"] == {"observedGeneration": -1}


def test_nothing_is_added_to_a_short_spec(server: Server, shared_namespace: str) -> None:
    created = server.create(build("Certificate", spec()), shared_namespace).json
    assert created["spec"] == spec()


def test_a_partial_key_block_gets_what_fits_it(server: Server, shared_namespace: str) -> None:
    created = server.create(build("Certificate", key(size=2048)), shared_namespace).json
    assert created["spec"]["privateKey"] == {
        "size": 2048,
        "encoding": "PKCS8",
        "rotation": "Always",
    }


def test_a_null_switch_is_its_default(server: Server, shared_namespace: str) -> None:
    body = changed(build("Certificate", spec(renewal={})), ("spec", "renewal", "suspend"), None)
    assert server.create(body, shared_namespace).json["spec"]["renewal"] == {}


def test_the_type_changes_together_with_its_block(server: Server, namespace: str) -> None:
    body = build("Certificate", spec(selfSigned={}))
    assert server.create(body, namespace, dry_run=False).code == 201
    left = server.merge(body, namespace, {"spec": {"type": "ACME"}})
    assert left.code == 422
    assert "spec.selfSigned" in left.text
    assert server.merge(body, namespace, {"spec": {"type": "ACME", "selfSigned": None}}).code == 200
