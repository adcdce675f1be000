"""Where the names of a certificate lead that a provider is to issue: advice, never a wall.

The provider validates by HTTP, so every name has to point at the load balancer. It tells nothing but
that its task does not end; this says which name is wrong.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from certfront.loadbalancers.problems import listed

_SECONDS: Final = 5.0
_MOST: Final = 20


async def astray(names: Iterable[str], load_balancer: str) -> str:
    """The names that lead elsewhere than `load_balancer` (an address or a name), as a sentence.

    Empty where all lead there, or where nothing can be compared.
    """
    wanted = await _addresses(load_balancer)
    if not wanted:
        return ""
    asked = [name for name in names if not name.startswith("*.")][:_MOST]
    found = await asyncio.gather(*(_addresses(name) for name in asked))
    wrong = tuple(
        f"{name} points to {', '.join(sorted(addresses - wanted)[:2])}"
        if addresses
        else f"{name} does not resolve"
        for name, addresses in zip(asked, found, strict=True)
        if not addresses or addresses - wanted
    )
    where = ", ".join(sorted(wanted)[:2])
    return f"{listed(wrong)}, not to the load balancer ({where})." if wrong else ""


async def _addresses(host: str) -> frozenset[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return frozenset()
    return frozenset(str(entry[4][0]).partition("%")[0] for entry in found)
