"""The TLS Secret: ours to keep right, everyone else's to add to, and never taken from anyone."""

import base64

import pytest

from tests.e2e import clients, material
from tests.e2e.api import Object
from tests.e2e.world import Tenant, World, condition

ROOT = material.ca("Secrets Root")


def _theirs(tenant: Tenant, name: str) -> None:
    """Someone adds a key, a label and an annotation of their own to a Secret."""
    tenant.world.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": tenant.namespace,
                "labels": {"team": "web"},
                "annotations": {"example.com/note": "keep"},
            },
            "data": {"extra": base64.b64encode(b"theirs").decode()},
        },
        manager="them",
    )


def _assert_theirs(secret: Object) -> None:
    assert secret["metadata"]["labels"]["team"] == "web"
    assert secret["metadata"]["annotations"]["example.com/note"] == "keep"
    assert base64.b64decode(secret["data"]["extra"]) == b"theirs"


def _annotations(tenant: Tenant, name: str = "site") -> dict[str, str]:
    found = tenant.get("Secret", name)["metadata"]["annotations"]
    return {k.removeprefix("certfront.io/"): v for k, v in found.items()}


def test_the_secret_is_the_commit_record(tenant: Tenant) -> None:
    tenant.certificate(
        "site", secret={"name": "site-tls", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    )
    status = tenant.ready("site")["status"]
    secret = tenant.get("Secret", "site-tls")
    annotations = _annotations(tenant, "site-tls")
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["labels"] == {"a": "b", "certfront.io/secret": "certificate"}
    assert annotations["certificate"] == f"{tenant.namespace}/site"
    assert annotations["revision"] == "1"
    assert annotations["c"] == "d"
    assert set(annotations) >= {"need", "spec-hash", "issued-at", "renewed-for"}
    assert status["secretName"] == "site-tls"
    assert status["size"] == len(base64.b64decode(secret["data"]["tls.crt"]))
    assert "ownerReferences" not in secret["metadata"]


def test_what_others_put_on_it_survives_a_renewal(tenant: Tenant) -> None:
    tenant.certificate("site")
    tenant.ready("site")
    _theirs(tenant, "site")
    tenant.annotate("Certificate", "site", renew="1")
    tenant.revision("site", 2)
    _assert_theirs(tenant.get("Secret", "site"))


def test_a_deleted_secret_is_made_again(tenant: Tenant) -> None:
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]["fingerprint"]
    tenant.served(tenant.host(), first, tenant.tls("site")[0])
    tenant.world.api.delete("Secret", tenant.namespace, "site")
    second = tenant.revision("site", 2)["status"]["fingerprint"]
    tenant.served(tenant.host(), second, tenant.tls("site")[0])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"tls.crt": base64.b64encode(b"rubbish").decode()}, id="certificate"),
        pytest.param({"tls.key": base64.b64encode(b"rubbish").decode()}, id="key"),
        pytest.param(
            {"tls.key": base64.b64encode(material.ca("x").key_pem).decode()}, id="other key"
        ),
    ],
)
def test_a_damaged_secret_is_repaired(tenant: Tenant, damage: Object) -> None:
    """What is served stays until then, and what is others' stays too."""
    tenant.certificate("site")
    tenant.frontend("site", ["site"])
    first = tenant.ready("site")["status"]["fingerprint"]
    tenant.served(tenant.host(), first, tenant.tls("site")[0])
    _theirs(tenant, "site")
    tenant.world.api.merge("Secret", tenant.namespace, "site", {"data": damage})
    second = tenant.revision("site", 2)["status"]["fingerprint"]
    tenant.served(tenant.host(), second, tenant.tls("site")[0])
    _assert_theirs(tenant.get("Secret", "site"))


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"labels": {"certfront.io/secret": None}}, id="our label"),
        pytest.param({"labels": {"asked": "otherwise"}}, id="a label of the template"),
        pytest.param({"annotations": {"asked": None}}, id="an annotation of the template"),
    ],
)
def test_what_was_stripped_is_put_back_without_a_new_certificate(
    tenant: Tenant, patch: Object
) -> None:
    asked = {"labels": {"asked": "for"}, "annotations": {"asked": "for"}}
    tenant.certificate("site", secret=asked)
    before = tenant.ready("site")["status"]
    pair = tenant.tls("site")
    tenant.world.api.merge("Secret", tenant.namespace, "site", {"metadata": patch})

    def repaired(body: Object) -> bool:
        metadata = body["metadata"]
        return bool(
            metadata["labels"].get("certfront.io/secret") == "certificate"
            and metadata["labels"].get("asked") == "for"
            and metadata["annotations"].get("asked") == "for"
        )

    tenant.wait("site", repaired, kind="Secret", why="repaired")
    tenant.world.quiet(1)
    assert tenant.tls("site") == pair
    assert tenant.get("Certificate", "site")["status"]["revision"] == before["revision"]


def test_a_changed_template_is_applied_without_a_new_certificate(tenant: Tenant) -> None:
    tenant.certificate("site", secret={"labels": {"a": "1"}})
    tenant.ready("site")
    pair = tenant.tls("site")
    tenant.certificate("site", secret={"labels": {"b": "2"}})
    secret = tenant.wait(
        "site", lambda body: body["metadata"]["labels"].get("b") == "2", kind="Secret"
    )
    assert "a" not in secret["metadata"]["labels"], "what is no longer asked for goes"
    tenant.ready("site")
    assert tenant.tls("site") == pair


def test_a_foreign_secret_is_handed_over_by_its_annotation(tenant: Tenant) -> None:
    """A pair that fits is adopted as it is."""
    theirs = material.leaf(tenant.host(), issuer=ROOT)
    tenant.pair("site", theirs.pem, theirs.key_pem, labelled=False)
    tenant.certificate("site")
    tenant.condition("site", "Ready", "False", reason="SecretConflict")
    patch: Object = {"metadata": {"annotations": {"certfront.io/adopt": "true"}}}
    tenant.world.api.merge("Secret", tenant.namespace, "site", patch)
    tenant.annotate("Certificate", "site", touched="1")  # an unlabelled Secret is not watched
    status = tenant.ready("site")["status"]
    assert clients.spelled(status["fingerprint"]) == clients.fingerprint(theirs.der)
    assert _annotations(tenant)["certificate"] == f"{tenant.namespace}/site"


@pytest.mark.parametrize("type_", ["Opaque", "kubernetes.io/tls"])
def test_no_annotation_is_needed_to_be_left_alone(tenant: Tenant, type_: str) -> None:
    data = {"tls.crt": b"something", "tls.key": b"else"}
    before = tenant.secret("site", data, type_=type_)
    tenant.certificate("site")
    tenant.condition("site", "Ready", "False", reason="SecretConflict")
    assert (
        tenant.get("Secret", "site")["metadata"]["resourceVersion"]
        == (before["metadata"]["resourceVersion"])
    )


def test_a_certificate_of_another_name_does_not_take_the_secret(tenant: Tenant) -> None:
    tenant.certificate("first", secret={"name": "shared"})
    tenant.ready("first")
    pair = tenant.tls("shared")
    tenant.certificate("second", secret={"name": "shared"})
    told = tenant.condition("second", "Ready", "False", reason="SecretConflict")
    assert f"Certificate {tenant.namespace}/first" in condition(told, "Ready")["message"]  # type: ignore[index]
    assert tenant.tls("shared") == pair
    tenant.delete("Certificate", "first")
    tenant.annotate("Certificate", "second", touched="1")
    tenant.ready("second")
    assert tenant.tls("shared") == pair, "what fits is adopted from one that is gone"


@pytest.mark.parametrize("kind", ["SelfSigned", "ACME"])
def test_a_certificate_made_again_adopts_its_secret(
    tenant: Tenant, world: World, kind: str
) -> None:
    """The Secret is retained, and neither a write nor an order is needed for it."""
    tenant.certificate("site", kind)
    tenant.frontend("site", ["site"])
    before = tenant.ready("site", seconds=60)["status"]
    world.quiet(1)
    tenant.delete("Certificate", "site")
    offset = world.audit_size()
    tenant.certificate("site", kind)
    after = tenant.ready("site")["status"]
    for field in ("fingerprint", "serial", "revision", "notAfter"):
        assert after[field] == before[field], field
    secrets = [
        line
        for line in world.written(offset)
        if line["objectRef"]["resource"] == "secrets"
        and line["objectRef"]["namespace"] == tenant.namespace
    ]
    assert secrets == []


def test_a_restored_namespace_reissues_nothing(tenant: Tenant, neighbour: Tenant) -> None:
    """The Secret comes back first, as a backup tool does it, then the Certificate with a new UID."""
    tenant.certificate("site")
    before = tenant.ready("site")["status"]
    kept = tenant.get("Secret", "site")
    tenant.delete("Certificate", "site")
    tenant.delete("Secret", "site")
    metadata = {k: v for k, v in kept["metadata"].items() if k in ("name", "namespace", "labels")}
    metadata["annotations"] = kept["metadata"]["annotations"]
    copy = {"apiVersion": "v1", "kind": "Secret", "type": kept["type"], "data": kept["data"]}
    tenant.world.api.apply({**copy, "metadata": metadata}, manager="restore")
    tenant.certificate("site")
    after = tenant.ready("site")["status"]
    assert (after["fingerprint"], after["revision"]) == (before["fingerprint"], before["revision"])


def test_a_retained_secret_stays_and_a_deleted_one_goes(tenant: Tenant, world: World) -> None:
    tenant.certificate("stays")
    tenant.certificate("goes", secret={"deletionPolicy": "Delete"})
    for name in ("stays", "goes"):
        tenant.ready(name)
    owner = tenant.get("Secret", "goes")["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Certificate", "goes")
    for name in ("stays", "goes"):
        tenant.delete("Certificate", name)
    world.journal.wait_gone("Secret", tenant.namespace, "goes")
    assert tenant.tls("stays")


def test_a_policy_is_changed_without_a_new_certificate(tenant: Tenant) -> None:
    tenant.certificate("site", secret={"deletionPolicy": "Delete"})
    tenant.ready("site")
    pair = tenant.tls("site")
    tenant.certificate("site", secret={"deletionPolicy": "Retain"})
    tenant.wait(
        "site",
        lambda body: not body["metadata"].get("ownerReferences"),
        kind="Secret",
        why="without an owner",
    )
    assert tenant.tls("site") == pair


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_after_a_change_of_name_the_pair_moves(tenant: Tenant, world: World, policy: str) -> None:
    tenant.certificate("site", secret={"name": "old", "deletionPolicy": policy})
    before = tenant.ready("site")["status"]
    tenant.certificate("site", secret={"name": "new", "deletionPolicy": policy})
    after = tenant.wait(
        "site", lambda body: body["status"].get("secretName") == "new", why="told at its new name"
    )["status"]
    assert after["fingerprint"] == before["fingerprint"]
    if policy == "Delete":
        world.journal.wait_gone("Secret", tenant.namespace, "old")
    else:
        assert tenant.tls("old") == tenant.tls("new")
