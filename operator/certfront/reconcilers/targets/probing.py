"""Handshakes with load balancers that a provider runs: does a client get what was installed?

Only addresses that the installation allows are connected to; a name is resolved once a handshake.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers.handshake import (
    HandshakeFailed,
    any_context,
    context_for,
    probe,
    sni_for,
)
from certfront.loadbalancers.identity import same_fingerprint
from certfront.loadbalancers.protocol import Binding, Listener, Standing
from certfront.model.addresses import AllowedAddresses
from certfront.reconcilers.targets.situation import Proof

AT_ONCE: Final = 8
MOST_AT_A_TIME: Final = 64
_RESOLVE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to look for where: `host` and `port` as they are told to people, too."""

    host: str
    port: int
    hostname: str | None
    standing: Standing
    paired: bool
    binding: Binding
    tls13_only: bool

    @property
    def address(self) -> str:
        """The place, for messages."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def question(
    listener: Listener, binding: Binding, standing: Standing, host: str, port: int
) -> Question:
    """The handshake that proves one certificate of a listener."""
    exact = [name for name in binding.hostnames if not name.startswith("*.")]
    hostname = next(iter((*exact, *binding.hostnames)), None)
    others = [one for one in listener.bindings if one.source != binding.source]
    return Question(
        host=host,
        port=port,
        hostname=hostname,
        standing=standing,
        paired=any(hostname in other.hostnames for other in others),
        binding=binding,
        tls13_only=listener.min_tls_version == "TLS1.3",
    )


async def ask(asked: Question, addresses: AllowedAddresses) -> Proof:
    """Shake hands once."""
    wanted = asked.standing.fingerprint
    try:
        address = await _resolve(asked.host, asked.port, addresses)
        context = (
            context_for(asked.binding.key_type, tls13_only=asked.tls13_only)
            if asked.paired
            else any_context()
        )
        seen = await probe((address, asked.port), sni_for(asked.hostname), context)
    except HandshakeFailed as error:
        return Proof(wanted=wanted, address=asked.address, ok=False, message=str(error))
    good = (wanted, *asked.standing.superseded)
    shown = (seen.fingerprint, seen.sha1)
    if any(same_fingerprint(known, one) for one in good for known in shown):
        return Proof(wanted=wanted, address=asked.address, ok=True)
    return Proof(
        wanted=wanted, address=asked.address, ok=False, message="another certificate is shown"
    )


async def _resolve(host: str, port: int, addresses: AllowedAddresses) -> str:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise HandshakeFailed("the name does not resolve") from None
    allowed = [str(entry[4][0]) for entry in found if addresses.permits(str(entry[4][0]))]
    if not allowed:
        raise HandshakeFailed(
            "it is a loopback or link-local address, which allowEndpoints does not name"
        )
    return allowed[0]
