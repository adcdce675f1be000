"""How long it takes from `kubectl apply` to a handshake with the new certificate on every node."""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.api import CERTIFICATES, FRONTENDS, Api, Object, applied
from benchmarks.errors import BenchError
from benchmarks.readiness import Readiness
from sandbox.state import Node

NAMESPACE = "bench-served"
MANAGER = "kubectl"
GROUP = "certfront.io/v1alpha1"

_INTERVAL = 0.005
_HANDSHAKE_SECONDS = 5.0
_FRONTEND = "front"
_FARM = {"name": "none", "servers": [{"address": "127.0.0.1", "port": 9}]}


class Frontend:
    """One frontend that certificates are added to."""

    def __init__(self, api: Api, readiness: Readiness, nodes: Sequence[Node]) -> None:
        self._api = api
        self._readiness = readiness
        self._nodes = nodes
        self._names: list[str] = []

    async def added(self, name: str, spec: Mapping[str, Any], seconds: float) -> float:
        """Apply one more Certificate and the frontend that lists it; seconds until all serve it.

        Raises BenchError.
        """
        host = f"{name}.served.example.com"
        self._names.append(name)
        started = time.monotonic()
        body = {"dnsNames": [host], **spec}
        await self._api.send(
            applied(CERTIFICATES, certificate(NAMESPACE, name, body), manager=MANAGER)
        )
        await self._api.send(applied(FRONTENDS, self._frontend(), manager=MANAGER))
        try:
            async with asyncio.timeout(seconds):
                await self._readiness.all_ready([(NAMESPACE, name)], seconds)
                wanted = self._readiness.fingerprint((NAMESPACE, name))
                await asyncio.gather(*(_shown(node, host, wanted) for node in self._nodes))
        except TimeoutError:
            raise BenchError(f"{host} was not served after {seconds:.0f} s") from None
        return time.monotonic() - started

    def _frontend(self) -> Object:
        spec = {"certificates": [{"name": name} for name in self._names], "farms": [_FARM]}
        return _object("LoadBalancerFrontend", NAMESPACE, _FRONTEND, spec)


def certificate(namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    """The manifest of a Certificate."""
    return _object("Certificate", namespace, name, spec)


async def _shown(node: Node, host: str, fingerprint: str) -> None:
    """Return when `node` shows the certificate for `host`."""
    while await _handshake(node, host) != fingerprint:  # noqa: ASYNC110 -- a node tells nobody
        await asyncio.sleep(_INTERVAL)


async def _handshake(node: Node, host: str) -> str:
    """The SHA-256 (hex) of what is served; empty where the handshake is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The fingerprint is compared, which is more than a signature would tell.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = node.port_map.get("443", 443)
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(
                node.address, port, ssl=context, server_hostname=host
            )
    except (OSError, TimeoutError):
        return ""
    secured = writer.get_extra_info("ssl_object")
    der: bytes = secured.getpeercert(binary_form=True) or b""
    writer.transport.abort()
    return hashlib.sha256(der).hexdigest()


def _object(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": dict(spec)}
