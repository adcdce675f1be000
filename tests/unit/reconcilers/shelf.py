"""A provider in memory: certificates on a shelf, one listener a port that points at some of them.

Strict where it matters to the reconciler: nothing in use is removed, and every call is counted. It can
be told to fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import NotYet, ProviderError
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.protocol import (
    Binding,
    Capabilities,
    Listener,
    Operation,
    Outlook,
    Plan,
    Standing,
    Wish,
)
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancerSpec

CAPABILITIES = Capabilities(
    key_types=(KeyAlgorithm.RSA, KeyAlgorithm.ECDSA), sni=True, redirect=True
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is: fingerprints by name, and the names each port offers."""

    certificates: dict[str, str]
    ports: dict[int, tuple[str, ...]]


@dataclass
class Shelf:
    """The service itself, which outlives every provider that talks to it."""

    certificates: dict[str, str] = field(default_factory=dict)
    ports: dict[int, tuple[str, ...]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    failures: dict[str, list[ProviderError]] = field(default_factory=dict)
    claims: bool = False
    built: int = 0

    def fail(self, call: str, *errors: ProviderError) -> None:
        """Let the next calls of that name fail."""
        self.failures.setdefault(call, []).extend(errors)

    def kind(self) -> ProviderKind:
        return ProviderKind(
            capabilities=CAPABILITIES,
            target=lambda spec: spec.ovh.service_name if spec.ovh else "",
            secret=lambda spec: spec.ovh.credentials_secret_ref.name if spec.ovh else "",
            secret_keys=(("token",),),
            build=self._build,
        )

    def _build(self, _: LoadBalancerSpec, __: Credentials, environment: Environment) -> Any:
        self.built += 1
        return ShelfProvider(self, environment.scope)

    def called(self, call: str) -> None:
        self.calls.append(call)
        waiting = self.failures.get(call.partition(" ")[0])
        if waiting:
            raise waiting.pop(0)


@dataclass(frozen=True)
class Act:
    name: str
    what: str
    fingerprint: str = ""
    port: int = 0
    names: tuple[str, ...] = ()


class ShelfProvider:
    """`protocol.Provider` on a Shelf."""

    def __init__(self, shelf: Shelf, scope: Scope) -> None:
        self.shelf = shelf
        self.scope = scope

    async def observe(self, _: Wish) -> Seen:
        self.shelf.called("observe")
        return Seen(dict(self.shelf.certificates), dict(self.shelf.ports))

    async def look(self, wish: Wish, _: Seen) -> Seen:
        return await self.observe(wish)

    def name(self, binding: Binding) -> str:
        return self.scope.certificate_name(binding.source, binding.fingerprint)

    def plan(self, wish: Wish, observed: Seen) -> Plan[Act]:
        operations: list[Operation[Act]] = []
        outlooks, wanted = {}, set()
        for listener in wish.listeners:
            operations += self._for(listener, observed)
            names = tuple(self.name(one) for one in listener.bindings)
            wanted.update(names)
            offered = observed.ports.get(listener.port, ())
            outlooks[listener.frontend] = Outlook(
                configured=bool(offered),
                standings=tuple(
                    Standing(
                        source=one.source,
                        fingerprint=one.fingerprint,
                        provider_id=self.name(one)
                        if self.name(one) in observed.certificates
                        else "",
                        stored=self.name(one) in observed.certificates,
                        bound=self.name(one) in offered,
                    )
                    for one in listener.bindings
                ),
            )
        ports = {listener.port for listener in wish.listeners}
        if wish.complete and not wish.staying:
            for port in sorted(observed.ports.keys() - ports):
                act = Act("", "close", port=port)
                about = tuple(sorted(wish.releasing))
                operations.append(
                    Operation(key=f"close {port}", act=act, step="Closing", about=about)
                )
        used = {name for names in observed.ports.values() for name in names}
        if wish.complete and not wish.staying:
            for name in sorted(observed.certificates.keys() - wanted - used):
                if self.scope.mark(name) is not None:
                    owners = tuple(one.frontend for one in wish.listeners) or tuple(wish.releasing)
                    act = Act(name, "remove")
                    operations.append(
                        Operation(
                            key=f"remove {name}",
                            act=act,
                            step="Deleting",
                            about=owners,
                            removes=True,
                        )
                    )
        left = bool(observed.ports.keys() - ports) or bool(
            [n for n in observed.certificates.keys() - wanted if self.scope.mark(n)]
        )
        return Plan(
            operations=tuple(operations),
            outlooks=outlooks,
            left=wish.releasing if left else frozenset(),
            limits={"certificates": len(observed.certificates)},
        )

    def _for(self, listener: Listener, observed: Seen) -> list[Operation[Act]]:
        about = (listener.frontend,)
        missing = [
            one
            for one in listener.bindings
            if self.name(one) not in observed.certificates and one.pair
        ]
        if missing:
            return [
                Operation(
                    key=f"upload {self.name(one)}",
                    act=Act(self.name(one), "upload", fingerprint=one.fingerprint),
                    step="Uploading",
                    about=about,
                    claims=(listener.frontend, one.source, one.fingerprint)
                    if self.shelf.claims
                    else None,
                )
                for one in missing
            ]
        names = tuple(self.name(one) for one in listener.bindings)
        if (
            set(names) <= observed.certificates.keys()
            and observed.ports.get(listener.port) != names
        ):
            act = Act("", "bind", port=listener.port, names=names)
            return [Operation(key=f"bind {listener.port}", act=act, step="Binding", about=about)]
        return []

    async def execute(self, operation: Operation[Act], observed: Seen) -> Seen:
        act, shelf = operation.act, self.shelf
        if act.what == "upload":
            shelf.called(f"upload {act.name}")
            shelf.certificates[act.name] = act.fingerprint
        elif act.what == "bind":
            shelf.called(f"bind {act.port}")
            shelf.ports[act.port] = act.names
        elif act.what == "close":
            shelf.called(f"close {act.port}")
            shelf.ports.pop(act.port, None)
        else:
            shelf.called(f"remove {act.name}")
            if any(act.name in names for names in shelf.ports.values()):
                raise NotYet(reasons.IN_USE, "It is in use.")
            shelf.certificates.pop(act.name, None)
        return replace(observed, certificates=dict(shelf.certificates), ports=dict(shelf.ports))

    async def close(self) -> None:
        """Nothing is open."""
