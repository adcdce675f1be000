"""Plain HTTP to the API server: the answers are read as they come, without a client's rewording."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from sandbox.kubectl import Kubectl

PLURALS = {
    "Certificate": "certificates",
    "Issuer": "issuers",
    "LoadBalancer": "loadbalancers",
    "LoadBalancerFrontend": "loadbalancerfrontends",
}


class Answer(NamedTuple):
    """Status code and body of an answer."""

    code: int
    text: str

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.text)
        return decoded


class Server:
    """The API server, and one namespace of it that objects are put into."""

    def __init__(self, session: requests.Session, address: str) -> None:
        self._session = session
        self._address = address

    def get(self, path: str) -> Answer:
        return self._send("GET", path)

    def create(self, body: dict[str, Any], namespace: str, *, dry_run: bool = True) -> Answer:
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self._send("POST", self._path(body, namespace) + query, body)

    def merge(self, body: dict[str, Any], namespace: str, patch: dict[str, Any]) -> Answer:
        """Try a JSON merge patch on an object that exists; nothing is kept."""
        path = f"{self._path(body, namespace)}/{body['metadata']['name']}?dryRun=All"
        return self._send("PATCH", path, patch, "application/merge-patch+json")

    def status(self, body: dict[str, Any], namespace: str, status: dict[str, Any]) -> Answer:
        path = f"{self._path(body, namespace)}/{body['metadata']['name']}/status"
        return self._send("PATCH", path, {"status": status}, "application/merge-patch+json")

    def apply(self, body: dict[str, Any], namespace: str, manager: str) -> Answer:
        path = f"{self._path(body, namespace)}/{body['metadata']['name']}?fieldManager={manager}"
        return self._send("PATCH", path, body, "application/apply-patch+yaml")

    def _path(self, body: dict[str, Any], namespace: str) -> str:
        plural = PLURALS[body["kind"]]
        return f"/apis/certfront.io/v1alpha1/namespaces/{namespace}/{plural}"

    def _send(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Answer:
        answer = self._session.request(
            method,
            self._address + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind, "Accept": "application/json"},
            timeout=30,
        )
        return Answer(answer.status_code, answer.text)


@pytest.fixture(scope="session")
def server(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The cluster's API server, as its admin."""
    directory = tmp_path_factory.mktemp("admin")
    config = kubectl.json("config", "view", "--raw", "--flatten", "--minify")
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    with requests.Session() as session:
        session.trust_env = False
        session.verify = _file(directory, "ca", cluster.get("certificate-authority-data"))
        if "token" in user:
            session.headers["Authorization"] = f"Bearer {user['token']}"
        else:
            certificate = _file(directory, "cert", user["client-certificate-data"])
            session.cert = (certificate, _file(directory, "key", user["client-key-data"]))
        yield Server(session, cluster["server"])


@pytest.fixture(scope="module")
def shared_namespace(kubectl: Kubectl) -> str:
    """A namespace for what is only tried (dry runs)."""
    return "default"


def _file(directory: Path, name: str, content: str | None) -> str:
    if content is None:
        return ""
    path = directory / name
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(content))
    return str(path)
