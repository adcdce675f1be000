"""What is refused is not repeated: it may be a private key in the wrong field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.crds.conftest import PLURALS, Server
from tests.integration.crds.manifests import FULL, changed

KEY = (
    Ed25519PrivateKey.from_private_bytes(b"certfront canary, 32 bytes long.")
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
SECRET_PART = KEY.splitlines()[1]
CANARIES = {
    "pem": KEY,
    "one-line": KEY.replace("\n", " ").strip(),
    "header": "PRIVATE KEY " + SECRET_PART[20:],
    "body": SECRET_PART,
}
MARK = SECRET_PART[24:40]
"""In every canary, and in nothing else."""

Path = tuple[str | int, ...]


def nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything below `value`, with its path."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for step, below in items:
        yield (*path, step), below
        yield from nodes(below, (*path, step))


def spec_nodes(name: str) -> Iterator[tuple[Path, Any]]:
    yield from nodes(FULL[name]["spec"], ("spec",))


@pytest.mark.parametrize("name", FULL)
def test_a_manifest_with_every_field_is_accepted(
    server: Server, shared_namespace: str, name: str
) -> None:
    answer = server.create(FULL[name], shared_namespace)
    assert answer.code == 201, answer.text


@pytest.mark.parametrize("name", FULL)
def test_a_private_key_in_any_place_is_refused_without_being_repeated(
    server: Server, shared_namespace: str, name: str
) -> None:
    """Strings, numbers, switches, lists and blocks are each replaced by a pasted key."""
    for path, value in spec_nodes(name):
        for kind, canary in CANARIES.items():
            answer = server.create(changed(FULL[name], path, canary), shared_namespace)
            assert MARK not in answer.text or answer.code == 201, f"{kind} at {path}"
            if kind in ("pem", "one-line") or not isinstance(value, str):
                assert answer.code == 422, f"{kind} at {path}: {answer.code}"


@pytest.mark.parametrize("name", FULL)
def test_a_private_key_as_the_key_of_a_map_is_refused_without_being_repeated(
    server: Server, shared_namespace: str, name: str
) -> None:
    for path, _ in spec_nodes(name):
        if path[-2] in ("labels", "annotations"):
            body = changed(FULL[name], path[:-1], {KEY: "x"})
            answer = server.create(body, shared_namespace)
            assert answer.code == 422, path
            assert MARK not in answer.text, path


@pytest.mark.parametrize("name", FULL)
def test_a_private_key_under_an_unknown_field_is_refused_without_being_repeated(
    server: Server, shared_namespace: str, name: str
) -> None:
    answer = server.create(changed(FULL[name], ("spec", "keyPEM"), KEY), shared_namespace)
    assert answer.code == 400
    assert MARK not in answer.text


def test_the_manifests_set_every_field(server: Server) -> None:
    """Without this the tests above would pass over a new field in silence."""
    document = server.get("/openapi/v3/apis/certfront.io/v1alpha1").json
    for kind in PLURALS:
        schema = document["components"]["schemas"][f"io.certfront.v1alpha1.{kind}"]
        known = set(_schema_paths(schema["properties"]["spec"], "spec"))
        bodies = [body["spec"] for body in FULL.values() if body["kind"] == kind]
        written = {
            re.sub(r"\.\d+", "[]", ".".join(map(str, path)))
            for spec in bodies
            for path, _ in nodes(spec, ("spec",))
        }
        assert known - written == set()


def _schema_paths(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _schema_paths(below, f"{path}.{name}")
    if "items" in schema:
        yield from _schema_paths(schema["items"], f"{path}[]")
