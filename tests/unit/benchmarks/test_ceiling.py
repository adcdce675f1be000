"""The bare clients send what the operator sent."""

import base64
import json
from pathlib import Path

from benchmarks.api import APPLY, MERGE, Access
from benchmarks.ceiling import secret_patch, status_patch

METADATA = {
    "name": "www",
    "namespace": "shop",
    "uid": "7",
    "resourceVersion": "42",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [{"manager": "certfront"}],
}


def test_a_secret_is_created_as_the_operator_creates_it() -> None:
    """An unforced apply of revision 1, without anything that the server had added."""
    secret = {
        "metadata": {**METADATA, "labels": {"certfront.io/secret": "certificate"}},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "eA=="},
    }
    patch = secret_patch(secret)
    assert patch.path == "api/v1/namespaces/shop/secrets/www?fieldManager=certfront&force=false"
    assert patch.content_type == APPLY
    assert json.loads(patch.body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "www",
            "namespace": "shop",
            "labels": {"certfront.io/secret": "certificate"},
            "resourceVersion": "1",
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "eA=="},
    }


def test_a_status_is_patched_on_the_revision_of_the_fresh_object() -> None:
    patch = status_patch({"metadata": METADATA}, {"revision": 1})
    assert patch.path == (
        "apis/certfront.io/v1alpha1/namespaces/shop/certificates/www/status?fieldManager=certfront"
    )
    assert patch.content_type == MERGE
    assert json.loads(patch.body) == {
        "status": {"revision": 1},
        "metadata": {"resourceVersion": "42"},
    }


def test_access_is_read_from_a_token_or_from_a_client_certificate(tmp_path: Path) -> None:
    def written(user: dict[str, str]) -> str:
        authority = base64.b64encode(b"PEM").decode()
        cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": authority}
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps({"clusters": [{"cluster": cluster}], "users": [{"user": user}]}))
        return str(path)

    bearer = Access.read(written({"token": "t"}))
    assert (bearer.authority, bearer.token, bearer.client) == ("PEM", "t", None)
    pair = Access.read(written({"client-certificate": "c", "client-key": "k"}))
    assert (pair.token, pair.client) == ("", ("c", "k"))
