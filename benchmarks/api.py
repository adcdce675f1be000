"""A client of the API server that costs the machine little: bodies ready made, answers hardly read.

Used to apply, to replay the operator's own writes (`ceiling`) and to watch (`readiness`).
"""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from benchmarks.errors import BenchError

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

CERTIFICATES = "apis/certfront.io/v1alpha1/{namespaces}certificates"
FRONTENDS = "apis/certfront.io/v1alpha1/{namespaces}loadbalancerfrontends"
SECRETS = "api/v1/{namespaces}secrets"

_SECONDS = 60.0
_WATCH_SECONDS = 3600
_LINE_BYTES = 2**20
_PAGE = 500


class Patch(msgspec.Struct, frozen=True, array_like=True):
    """One PATCH, ready to be sent."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who talks to which API server, out of a kubeconfig as the sandbox writes them."""

    server: str
    authority: str
    token: str = ""
    client: tuple[str, str] | None = None

    @classmethod
    def read(cls, kubeconfig: str) -> "Access":
        """Read it. The sandbox's kubeconfigs are JSON with one user."""
        content = json.loads(Path(kubeconfig).read_text())
        cluster = content["clusters"][0]["cluster"]
        user = content["users"][0]["user"]
        client = None
        if "client-certificate" in user:
            client = (user["client-certificate"], user["client-key"])
        return cls(
            server=cluster["server"],
            authority=base64.b64decode(cluster["certificate-authority-data"]).decode(),
            token=user.get("token", ""),
            client=client,
        )


class Api:
    """One pool of connections, as an async context manager."""

    def __init__(self, access: Access, *, connections: int = 32) -> None:
        context = ssl.create_default_context(cadata=access.authority)
        if access.client is not None:
            context.load_cert_chain(*access.client)
        self._session = aiohttp.ClientSession(
            base_url=f"{access.server}/",
            headers={"Authorization": f"Bearer {access.token}"} if access.token else {},
            # The watches have connections of their own beside the writers'.
            connector=aiohttp.TCPConnector(ssl=context, limit=connections + 4),
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
            read_bufsize=_LINE_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, patch: Patch) -> bytes:
        """Send it and return the answer as it is. Raises BenchError where it is refused."""
        headers = {"Content-Type": patch.content_type}
        return await self._call("PATCH", patch.path, data=patch.body, headers=headers)

    async def text(self, path: str) -> str:
        """What any path answers, such as `metrics`."""
        return (await self._call("GET", path)).decode()

    async def items(self, template: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace, in pages."""
        found: list[Object] = []
        query = {"limit": str(_PAGE), "labelSelector": selector}
        while True:
            answer = await self._call("GET", collection(template, namespace), params=query)
            page = msgspec.json.decode(answer)
            found += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def delete_all(self, template: str, namespace: str, selector: str = "") -> None:
        """Delete all objects of a kind in a namespace by one request."""
        query = {"labelSelector": selector}
        await self._call("DELETE", collection(template, namespace), params=query)

    async def revision(self, template: str) -> str:
        """The revision that a watch can begin at."""
        answer = await self._call("GET", collection(template, ""), params={"limit": "1"})
        return str(msgspec.json.decode(answer)["metadata"]["resourceVersion"])

    async def watched(self, template: str, revision: str) -> AsyncIterator[bytes]:
        """The lines of a watch over all namespaces, until the server ends it."""
        query = {
            "watch": "1",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS)
        path = collection(template, "")
        async with self._session.get(path, params=query, timeout=limits) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                yield line

    async def _call(self, method: str, path: str, **given: Any) -> bytes:
        async with self._session.request(method, path, **given) as answer:
            content = await answer.read()
            if not answer.ok:
                text = content[:500].decode(errors="replace")
                raise BenchError(f"{method} {path}: {answer.status}: {text}")
            return content


def collection(template: str, namespace: str) -> str:
    """The path of all objects of a kind, of a namespace where one is given."""
    return template.format(namespaces=f"namespaces/{namespace}/" if namespace else "")


def applied(template: str, body: Mapping[str, Any], *, force: bool = True, manager: str) -> Patch:
    """A server-side apply of `body`."""
    metadata = body["metadata"]
    path = f"{collection(template, metadata.get('namespace', ''))}/{metadata['name']}"
    query = f"fieldManager={manager}&force={'true' if force else 'false'}"
    return Patch(f"{path}?{query}", APPLY, msgspec.json.encode(body))
