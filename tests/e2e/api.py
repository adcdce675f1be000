"""The API server as tests talk to it: raw answers, as the sandbox's admin, without a client library.

Used by :mod:`tests.e2e.journal` (watches) and :mod:`tests.e2e.world` (everything else).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from sandbox.state import State

Object = dict[str, Any]

PATHS: Mapping[str, tuple[str, str]] = {
    "Certificate": ("apis/certfront.io/v1alpha1", "certificates"),
    "Issuer": ("apis/certfront.io/v1alpha1", "issuers"),
    "LoadBalancer": ("apis/certfront.io/v1alpha1", "loadbalancers"),
    "LoadBalancerFrontend": ("apis/certfront.io/v1alpha1", "loadbalancerfrontends"),
    "Secret": ("api/v1", "secrets"),
    "Namespace": ("api/v1", "namespaces"),
    "Service": ("api/v1", "services"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Event": ("apis/events.k8s.io/v1", "events"),
}
"""The group and version, and the plural, of each kind that tests use."""

_SECONDS = 30.0


class Refused(Exception):
    """The API server did not do it; `text` is its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:2000]}")
        self.status = status
        self.text = text


class Api:
    """One connection pool to the API server of a sandbox. Use one per thread."""

    def __init__(self, state: State) -> None:
        assert state.kubeconfigs is not None
        user = json.loads(Path(state.kubeconfigs.admin).read_text())["users"][0]["user"]
        self._server = state.server
        self._session = requests.Session()
        self._session.trust_env = False  # a CA bundle of the environment would overrule ours
        self._session.verify = state.cluster_ca
        self._session.cert = (user["client-certificate"], user["client-key"])

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        try:
            found: Object = self._call("GET", _path(kind, namespace, name)).json()
        except Refused as refusal:
            if refusal.status == requests.codes.not_found:
                return None
            raise
        return found

    def found(self, kind: str, namespace: str = "", *, selector: str = "") -> list[Object]:
        """The objects of a namespace, or of all."""
        answer = self._call("GET", _path(kind, namespace), params={"labelSelector": selector})
        items: list[Object] = answer.json()["items"]
        return items

    def apply(self, body: Object, *, manager: str = "test") -> Object:
        """Server-side apply, by force. Raises Refused."""
        metadata = body["metadata"]
        path = _path(body["kind"], metadata.get("namespace", ""), metadata["name"])
        found: Object = self._call(
            "PATCH",
            path,
            params={"fieldManager": manager, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            data=json.dumps(body),
        ).json()
        return found

    def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        """A JSON merge patch. Raises Refused."""
        found: Object = self._call(
            "PATCH",
            _path(kind, namespace, name),
            headers={"Content-Type": "application/merge-patch+json"},
            data=json.dumps(patch),
        ).json()
        return found

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete it; one that is gone is as good."""
        try:
            self._call("DELETE", _path(kind, namespace, name))
        except Refused as refusal:
            if refusal.status != requests.codes.not_found:
                raise

    def text(self, path: str) -> str:
        """What any path of the server answers, such as `metrics`."""
        return self._call("GET", path).text

    def listed(self, kind: str) -> tuple[list[Object], str]:
        """All objects of a kind and the revision to watch from."""
        answer = self._call("GET", _path(kind, "")).json()
        return answer["items"], answer["metadata"]["resourceVersion"]

    def watched(self, kind: str, revision: str) -> Iterator[tuple[str, Object]]:
        """The events of a watch, until the server ends it."""
        with self._session.get(
            f"{self._server}/{_path(kind, '')}",
            params={"watch": "true", "resourceVersion": revision, "allowWatchBookmarks": "false"},
            stream=True,
            timeout=(_SECONDS, None),
        ) as answer:
            for line in answer.iter_lines(chunk_size=None):
                if line:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    def _call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self._session.request(
            method, f"{self._server}/{path}", timeout=_SECONDS, **arguments
        )
        if not answer.ok:
            raise Refused(answer.status_code, answer.text)
        return answer


def _path(kind: str, namespace: str, name: str = "") -> str:
    group, plural = PATHS[kind]
    return "/".join(filter(None, (group, namespace and f"namespaces/{namespace}", plural, name)))
