"""What a package must bring to be a type of load balancer; `registry` lists those that there are.

A provider's package is `reasons`, a client for its API, and a `Provider` on top of it; its `KIND` says
what it can do and how one is made from a LoadBalancer and its credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from certfront.loadbalancers.exchange import Exchange, Pace
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import Capabilities, Provider
from certfront.model.addresses import AllowedAddresses
from certfront.model.clock import Clock
from certfront.model.loadbalancer import LoadBalancerSpec

Credentials = Mapping[str, bytes]
"""The decoded `data` of the Secret; empty where the LoadBalancer names none. Never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a provider is given of the process it runs in.

    `pace(account)` is the same for all load balancers of one account. `executor` takes blocking
    calls. `ambient`: the process's own identity may be used where there are no credentials.
    """

    scope: Scope
    clock: Clock
    addresses: AllowedAddresses
    pace: Callable[[str], Pace]
    executor: Executor
    user_agent: str
    ambient: bool = False

    def exchange(self, account: str, *, ca_bundle: bytes | None = None) -> Exchange:
        """HTTP for one account, which is told apart by endpoint and name, never by a secret."""
        return Exchange(
            addresses=self.addresses,
            clock=self.clock,
            pace=self.pace(account),
            user_agent=self.user_agent,
            ca_bundle=ca_bundle,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """A type of load balancer that is reached by its provider's API.

    `target` is the identity of the service: two LoadBalancers with the same are one too many.
    `secret` is the name of the Secret with the credentials, "" where none is named; `secret_keys` are
    the sets of keys it may hold, of which one must be there as a whole. `build` raises
    `loadbalancers.errors.Denied` for credentials that cannot be right.
    """

    capabilities: Capabilities
    target: Callable[[LoadBalancerSpec], str]
    secret: Callable[[LoadBalancerSpec], str]
    secret_keys: tuple[tuple[str, ...], ...]
    build: Callable[[LoadBalancerSpec, Credentials, Environment], Provider[Any, Any]]
