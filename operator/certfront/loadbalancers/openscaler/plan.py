"""What is to be done at OpenScaler: a pure comparison of what is wanted with what is known.

A certificate is stored under a name that carries its fingerprint, so a rotation is a new name and the
same name is never a different certificate. There is nothing to bind: what is under the load balancer is
served by it. What is not needed any more is deleted, where that is offered; else it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope, owner_of
from certfront.loadbalancers.openscaler import holdings, orders
from certfront.loadbalancers.openscaler.holdings import Holding
from certfront.loadbalancers.openscaler.state import Act, Delete, Facts, Observed, Order, Upload
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Listener,
    ManagedState,
    Memory,
    Notice,
    Operation,
    Outlook,
    Plan,
    ProviderTask,
    Standing,
    Wish,
)
from certfront.model.meta import ObjectName

_LISTENER_UNREAD: Final = Notice(
    reason=reasons.PRECONDITION_UNVERIFIED,
    message="OpenScaler's API has certificates only: make the HTTPS listener in its console, once.",
)


def plan(wish: Wish, observed: Observed, *, scope: Scope, load_balancer_id: str) -> Plan[Act]:
    """What may be done now, and how every frontend stands; see the module."""
    return _Planning(wish, observed, scope, load_balancer_id).plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A binding at OpenScaler: the name it is to have, and the one it has now ("" for none).

    `holding` is of the one it has, where OpenScaler issued it. `obstacle` says why nothing is ordered.
    """

    listener: Listener
    binding: Binding
    wanted: str
    current: str
    holding: Holding | None = None
    obstacle: Notice | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing older of this certificate can still be needed."""
        return bool(self.wanted) and self.wanted == self.current

    @property
    def is_told(self) -> bool:
        """Whether `status.installed` will have the present name: not while a new pair is on its way."""
        awaited = self.binding.pair is not None and not self.settled
        return bool(self.current and self.binding.hostnames) and not awaited


class _Planning:
    """One comparison; everything is derived from its arguments."""

    def __init__(self, wish: Wish, observed: Observed, scope: Scope, load_balancer_id: str) -> None:
        self.wish = wish
        self.observed = observed
        self.scope = scope
        self.load_balancer_id = load_balancer_id

    def plan(self) -> Plan[Act]:
        return Plan(
            operations=(*self._creations(), *self._deletions()),
            outlooks={one.frontend: self._outlook(one) for one in self.wish.listeners},
            managed=dict(self._managed()),
            left=frozenset(self._still_there()),
            notices=tuple(self._left_behind()),
        )

    # --- what is known

    @cached_property
    def held(self) -> dict[ObjectName, dict[str, Holding]]:
        """What every frontend remembers, without what is known to be gone."""
        return {
            frontend: {
                name: one
                for name, one in holdings.remembered(memory, self.scope).items()
                if not self._is_gone(name)
            }
            for frontend, memory in self.wish.memory.items()
        }

    @cached_property
    def remembered(self) -> dict[str, Holding]:
        """The same of all frontends together, by name; who is certain is believed."""
        found: dict[str, Holding] = {}
        for held in self.held.values():
            for name, one in held.items():
                before = found.get(name)
                if before is None or not before.certain or before.begin is None:
                    found[name] = one if before is None or one.certain else before
        return found

    def _is_gone(self, name: str) -> bool:
        if self.observed.listed:
            return name not in self.observed.certificates
        return name in self.observed.gone

    def _is_there(self, name: str) -> bool:
        if name in self.observed.certificates:
            return True
        if self.observed.listed or name in self.observed.left or name in self.observed.gone:
            return False
        return name in self.installed

    @cached_property
    def installed(self) -> frozenset[str]:
        """What is believed where nothing can be read: what nobody can have begun to delete."""
        return frozenset(
            one.provider_id
            for frontend, memory in self.wish.memory.items()
            if frontend not in self.wish.releasing
            for one in memory.installed
            if one.provider_id
        )

    # --- what is wanted

    @cached_property
    def places(self) -> tuple[_Place, ...]:
        """One for every binding, the oldest listener first."""
        return tuple(self._place(listener, binding) for listener, binding in self.wish.bindings())

    def _place(self, listener: Listener, binding: Binding) -> _Place:
        if binding.managed is not None:
            return self._ordered(listener, binding)
        named = holdings.name_now(self._memory(listener), binding.source)
        now = named if self._is_there(named) else ""
        if binding.pair is None:
            return _Place(listener=listener, binding=binding, wanted="", current=now)
        wanted = self.scope.certificate_name(binding.source, binding.fingerprint)
        facts = self.observed.certificates.get(wanted)
        there = self._is_there(wanted) and (facts is None or facts.may_be(binding.pair))
        if not binding.hostnames and not there:
            wanted = ""
        return _Place(
            listener=listener, binding=binding, wanted=wanted, current=wanted if there else now
        )

    def _ordered(self, listener: Listener, binding: Binding) -> _Place:
        """The place of a certificate that OpenScaler issues, also while the next one is due."""
        managed, source = binding.managed, binding.source
        assert managed is not None  # noqa: S101 - the caller has looked
        obstacle = orders.obstacle(managed)
        now = self._issued(source)
        if now and orders.is_for(self.scope, now, managed) and self._is_there(now):
            holding = self._with_times(now)
            if obstacle is not None or not orders.is_due(holding, self.wish.now):
                return _Place(
                    listener=listener,
                    binding=binding,
                    wanted=now,
                    current=now,
                    holding=holding,
                    obstacle=obstacle,
                )
        before = now or self._last(source) or self._first(source)
        wanted = "" if obstacle else orders.name_of(self.scope, source, managed, before)
        # One that somebody wants replaced is not told as installed: it would be taken for the answer.
        current = wanted if self._is_there(wanted) else now if self._is_there(now) else ""
        return _Place(
            listener=listener,
            binding=binding,
            wanted=wanted if binding.hostnames or current == wanted else "",
            current=current,
            holding=self._with_times(current) if current else None,
            obstacle=obstacle,
        )

    def _issued(self, source: CertificateSource) -> str:
        """The name under which the certificate is installed; of several frontends', the latest."""
        names = [holdings.name_now(memory, source) for memory in self.wish.memory.values()]
        names = [name for name in names if name]
        followed = {
            orders.name_of(self.scope, source, binding.managed, name): name
            for name in names
            for _, binding in self.wish.bindings()
            if binding.source == source and binding.managed is not None
        }
        former = {followed[name] for name in names if name in followed}
        return next((name for name in sorted(names) if name not in former), "")

    def _last(self, source: CertificateSource) -> str:
        """The latest that is remembered of it: somebody has asked for another one."""
        found = [
            one
            for one in self.remembered.values()
            if one.begin is not None and self.scope.is_certificate(one.name, source)
        ]
        return max(found, key=lambda one: (one.begin, one.name)).name if found else ""

    def _first(self, source: CertificateSource) -> str:
        """What makes a first order differ from those of frontends that are gone."""
        users = [one for one, binding in self.wish.bindings() if binding.source == source]
        return users[0].created.isoformat()

    def _with_times(self, name: str) -> Holding:
        holding = self.remembered.get(name, Holding(name=name))
        return orders.with_times(holding, self.observed.certificates.get(name), self.wish.now)

    def _memory(self, listener: Listener) -> Memory:
        return self.wish.memory.get(listener.frontend, Memory())

    # --- operations

    def _creations(self) -> Iterator[Operation[Act]]:
        wanted: dict[str, list[_Place]] = {}
        for place in self.places:
            if place.wanted and not place.settled:
                wanted.setdefault(place.wanted, []).append(place)
        for name, places in wanted.items():
            about = tuple(dict.fromkeys(place.listener.frontend for place in places))
            act = _creation(name, places[0].binding)
            step = "Uploading" if isinstance(act, Upload) else "Ordering"
            yield Operation(key=f"create {name}", act=act, step=step, about=about)

    def _deletions(self) -> Iterator[Operation[Act]]:
        if not self.wish.complete:
            return
        for name, holding in self._removable():
            if name in self.observed.left:
                continue
            certain = holding.certain or name in self.observed.certificates
            yield Operation(
                key=f"delete {name}",
                act=Delete(name=name, certain=certain),
                step="Deleting",
                about=tuple(self._about(name)),
                # What cannot be deleted is only noted: there is nothing to wait for.
                removes=self.observed.deletes is not False,
            )

    def _removable(self) -> Iterator[tuple[str, Holding]]:
        """What nobody needs: remembered by those who are not `staying`, or found by its mark."""
        found: dict[str, Holding] = {}
        for frontend, held in self.held.items():
            if frontend not in self.wish.staying:
                found.update(held)
        for name in self.observed.certificates:
            if name not in found and self._is_claimed(name):
                found[name] = Holding(name=name)
        for name, holding in found.items():
            if not self._is_needed(name):
                yield name, self.remembered.get(name, holding)

    def _is_claimed(self, name: str) -> bool:
        """Whether a listener has another version of it; else it could be of one that stays."""
        mark = self.scope.mark(name)
        if mark is None:
            return False
        owners = {owner_of(place.binding.source) for place in self.places}
        return mark.owner in owners or not self.wish.staying

    def _is_needed(self, name: str) -> bool:
        mark = self.scope.mark(name)
        return name in self.needed or mark is None or mark.owner in self.kept

    @cached_property
    def needed(self) -> frozenset[str]:
        """Names that somebody wants, or has for now."""
        names = {name for place in self.places for name in (place.wanted, place.current)}
        stay = {name for frontend in self.wish.staying for name in self.held.get(frontend, ())}
        return frozenset(names | stay)

    @cached_property
    def kept(self) -> frozenset[str]:
        """Owners of which everything stays: the new one is not there yet, or nothing was decided."""
        awaited = {owner_of(one.binding.source) for one in self.places if not one.settled}
        undecided = {
            owner_of(one.source)
            for frontend in self.wish.staying
            if frontend in self.wish.memory
            for one in self.wish.memory[frontend].installed
        }
        return frozenset(awaited | undecided)

    def _about(self, name: str) -> Iterator[ObjectName]:
        """Whose it was: those who remember it, and those who have another version of it now."""
        mark = self.scope.mark(name)
        for frontend, held in self.held.items():
            if name in held and frontend not in self.wish.staying:
                yield frontend
        for place in self.places:
            other = place.listener.frontend
            same = mark is not None and owner_of(place.binding.source) == mark.owner
            if same and name not in self.held.get(other, ()):
                yield other

    def _still_there(self) -> Iterator[ObjectName]:
        for frontend in self.wish.releasing:
            for name in self.held.get(frontend, ()):
                if name not in self.observed.left and not self._is_needed(name):
                    yield frontend

    def _left_behind(self) -> Iterator[Notice]:
        names = tuple(sorted(name for name in self.observed.left if name not in self.needed))
        if names:
            yield Notice(
                reason=reasons.LEFT_AT_PROVIDER,
                message=f"OpenScaler offers no deletion; not needed any more: {listed(names)}.",
            )

    # --- how things stand

    def _outlook(self, listener: Listener) -> Outlook:
        places = [one for one in self.places if one.listener == listener]
        return Outlook(
            configured=True,
            standings=tuple(self._standing(one) for one in places if one.binding.hostnames),
            frontend_id=holdings.text(self.load_balancer_id, self._words(listener, places)),
            problems=tuple(
                Problem(
                    condition="ResolvedRefs",
                    reason=one.obstacle.reason,
                    message=f"{one.binding.source}: {one.obstacle.message}",
                )
                for one in places
                if one.obstacle is not None
            ),
            notices=(_LISTENER_UNREAD,) if listener.manage == "Listener" else (),
        )

    def _standing(self, place: _Place) -> Standing:
        binding = place.binding
        if place.current and not place.is_told:
            return Standing(source=binding.source, fingerprint=binding.fingerprint)
        there = bool(place.current)
        holding = place.holding
        return Standing(
            source=binding.source,
            fingerprint="" if binding.managed is not None else binding.fingerprint,
            provider_id=place.current,
            stored=there,
            bound=there,
            superseded=frozenset(self._superseded(place)),
            not_after=None if holding is None else holding.end,
        )

    def _superseded(self, place: _Place) -> Iterator[str]:
        """Fingerprints of what will be deleted; what cannot be would be no excuse for ever."""
        if self.observed.deletes is False:
            return
        for one in self.remembered.values():
            same = self.scope.is_certificate(one.name, place.binding.source)
            if same and one.fingerprint and one.certain and one.name not in self.needed:
                yield one.fingerprint

    def _words(self, listener: Listener, places: list[_Place]) -> Iterator[Holding]:
        """What the frontend has to remember beside what `status.installed` will have."""
        told = {one.current: one.holding for one in places if one.is_told}
        for name, one in self.held.get(listener.frontend, {}).items():
            if name not in told:
                yield one
        yield from (one for one in told.values() if one is not None)

    def _managed(self) -> Iterator[tuple[CertificateSource, ManagedState]]:
        for place in self.places:
            if place.binding.managed is not None:
                yield place.binding.source, self._state(place)

    def _state(self, place: _Place) -> ManagedState:
        facts = self.observed.certificates.get(place.current, Facts(name=place.current))
        holding = place.holding
        said = self.observed.failed.get(place.wanted)
        task = None
        if place.wanted and not place.settled:
            task = ProviderTask(
                id=place.wanted,
                action="orderFreeCertificate",
                status="doing" if said is None else "error",
            )
        return ManagedState(
            task=task,
            provider_id=place.current,
            domains=facts.domains,
            subject=facts.subject,
            issuer=facts.issuers,
            serial=facts.serial,
            not_before=facts.not_before,
            not_after=facts.not_after or (None if holding is None else holding.end),
            size=facts.size,
            problem=place.obstacle if said is None else orders.failure(said),
        )


def _creation(name: str, binding: Binding) -> Act:
    if binding.pair is not None:
        return Upload(name=name, pair=binding.pair)
    managed = binding.managed
    assert managed is not None  # noqa: S101 - nothing else has a wanted name
    return Order(name=name, kind=managed.kind, domain=managed.names[0], email=managed.email)
