"""What is to be done next, and how every frontend stands: wishes against what was observed. Pure.

A load balancer takes one change at a time, so nothing is planned unless it is ACTIVE. The order:

1. The termination with the default certificate is made, without any other setting: plain traffic goes
   on. A certificate is replaced in place, by one call. Before the default changes from one certificate to
   another, every host name that it answers for has a mapping of its own.
2. Mappings, exact host names before wildcards: a wildcard must not take over a name that the default
   certificate answers for.
3. Switches: the redirect is turned off first and on last, because Rackspace refuses it without
   `secureTrafficOnly` and port 443, and refuses to take those away while it is on (the guide, "Update
   load balancer properties"; atlas-lb, LoadBalancerServiceImpl and SslTerminationServiceImpl).
4. Mappings that nobody wants any more, and those that the default certificate made superfluous.
5. When the last frontend goes: mappings, then the redirect, then `secureTrafficOnly` (so that plain
   traffic is let in again before TLS ends; it is refused for the moment between the two, which
   Rackspace's own rule demands), then the termination. A mapping of someone else's stays, and the
   termination with it.

`manage: CertificatesOnly` touches no setting and makes and removes no termination. Mappings are what it
installs. The termination's own certificate is that of everyone who named none: it is replaced only
where a `defaultCertificate` asks for just that, and from then on kept up to date, since a certificate
of ours that runs out there would be worse than both; there is nothing to go back to, so it stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import Problem, listed
from certfront.loadbalancers.protocol import (
    Binding,
    Listener,
    Notice,
    Operation,
    Outlook,
    Plan,
    Standing,
    Wish,
)
from certfront.loadbalancers.rackspace import state, wants
from certfront.loadbalancers.rackspace.client import PAUSE
from certfront.loadbalancers.rackspace.material import chain_of
from certfront.loadbalancers.rackspace.ownership import Ownership, frontend_id
from certfront.loadbalancers.rackspace.reasons import LOAD_BALANCER_STATE, PLAIN_HTTP_REFUSED
from certfront.loadbalancers.rackspace.state import (
    SETTINGS,
    TERMINATION,
    Act,
    DeleteMapping,
    DeleteTermination,
    Observed,
    PutMapping,
    PutTermination,
    SetRedirect,
    SetTermination,
    Termination,
)
from certfront.model.meta import ObjectName

MAPPING_LIMIT: Final = 20
"""CERTIFICATE_MAPPING_LIMIT of an account, unless support has raised it."""


def plan(wish: Wish, observed: Observed, *, namespace: str) -> Plan[Act]:
    """What may be done now, in order. `namespace` is the load balancer's own."""
    comparison = _Comparison(wish, observed, namespace)
    return Plan(
        operations=tuple(comparison.operations()) if observed.is_active else (),
        outlooks={one.frontend: comparison.outlook(one) for one in wish.listeners},
        left=frozenset(one for one in wish.releasing if comparison.is_left(one)),
        look_again=PAUSE if observed.status in state.AT_WORK else None,
        limits={"certificateMappings": MAPPING_LIMIT},
    )


@dataclass(frozen=True)
class _Comparison:
    """One wish against one observation."""

    wish: Wish
    observed: Observed
    namespace: str

    # --- what is wanted

    @cached_property
    def owned(self) -> Ownership:
        return Ownership(self.wish, self.observed)

    @cached_property
    def shared(self) -> wants.Sharing:
        return wants.sharing(self.wish, self.observed, self.owned)

    @cached_property
    def settings(self) -> wants.Settings | None:
        return wants.settings(self.shared)

    @cached_property
    def default(self) -> tuple[Listener, Binding] | None:
        return wants.default(self.shared, self.observed, self.owned, self.namespace)

    @cached_property
    def hosts(self) -> dict[str, tuple[Listener, Binding]]:
        return wants.hosts(self.shared)

    @cached_property
    def mapped(self) -> dict[str, tuple[Listener, Binding]]:
        """The host names that need a mapping: all that the default certificate would not serve."""
        return {
            host: (listener, binding)
            for host, (listener, binding) in self.hosts.items()
            if not self._is_by_default(host, binding)
        }

    def _is_by_default(self, host: str, binding: Binding) -> bool:
        if self.default is None or binding.source != self.default[1].source:
            return False
        exact = self.observed.mapping(host)
        other = exact is not None and exact.fingerprint != binding.fingerprint
        if exact is not None and other and not self.owned.owners(exact):
            return False
        wild = {
            other
            for other, (_, its) in self.hosts.items()
            if its.source != binding.source and state.is_under(host, other)
        }
        wild |= {
            one.host
            for one in self.observed.mappings
            if one.fingerprint != binding.fingerprint and state.is_under(host, one.host)
        }
        return not wild

    # --- operations

    def operations(self) -> Iterator[Operation[Act]]:
        termination = self.observed.termination
        if termination is None:
            yield from self._creation()
            return
        yield from self._default_certificate(termination)
        yield from self._mappings()
        yield from self._switches(termination)
        if self.wish.complete:
            yield from self._removals(termination)

    def _creation(self) -> Iterator[Operation[Act]]:
        if self.settings is None or self.default is None or self.default[1].pair is None:
            return
        listener, binding = self.default
        yield Operation(
            key=TERMINATION,
            act=PutTermination(pair=self.default[1].pair, port=self.settings.port, create=True),
            step="Uploading",
            about=tuple(one.frontend for one in self.shared.owners),
            claims=(listener.frontend, binding.source, binding.fingerprint),
        )

    def _default_certificate(self, termination: Termination) -> Iterator[Operation[Act]]:
        if self.default is None:
            return
        listener, binding = self.default
        pair = binding.pair
        if pair is None or _is_same(termination, binding):
            return
        if any(True for _ in self._not_yet_moved(termination)):
            return
        yield Operation(
            key=TERMINATION,
            act=PutTermination(pair=pair, port=termination.port),
            step="Uploading",
            about=(listener.frontend,),
        )

    def _not_yet_moved(self, termination: Termination) -> Iterator[str]:
        """Host names that the termination's certificate still answers for, and no mapping does."""
        leaving = {source for _, source in self.owned.at_termination()}
        for host, (_, binding) in self.mapped.items():
            if binding.source in leaving or binding.fingerprint == termination.fingerprint:
                held = self.observed.mapping(host)
                if held is None or held.fingerprint != binding.fingerprint:
                    yield host

    def _mappings(self) -> Iterator[Operation[Act]]:
        room = MAPPING_LIMIT - len(self.observed.mappings)
        for host in self._in_order():
            listener, binding = self.hosts[host]
            held = self.observed.mapping(host)
            if binding.pair is None or self._is_taken(host):
                continue
            if held is None and (host not in self.mapped or room <= 0):
                continue
            if held is not None and _is_same(held, binding):
                continue
            if self._takes_from(host, binding):
                continue
            new = held is None
            room -= new
            yield Operation(
                key=f"mapping {host}",
                act=PutMapping(
                    host=host,
                    pair=binding.pair,
                    id="" if held is None else held.id,
                    clears_chain=held is not None
                    and bool(held.chain)
                    and len(binding.pair.chain) == 1,
                ),
                step="Uploading" if new else "Replacing",
                about=(listener.frontend,),
                claims=(listener.frontend, binding.source, binding.fingerprint) if new else None,
            )

    def _in_order(self) -> list[str]:
        """Exact host names before wildcards, narrow wildcards before wide ones; else as wanted."""
        return sorted(self.hosts, key=lambda host: -len(host) if host.startswith("*") else -1000)

    def _takes_from(self, wildcard: str, binding: Binding | None) -> bool:
        """Whether names lose their certificate if the wildcard gets another one, or goes.

        They are shown theirs now, have no mapping of their own yet, and could be answered for by the
        wildcard.
        """
        return any(
            state.is_under(host, wildcard)
            and (binding is None or other.source != binding.source)
            and self.observed.shown(host) == other.fingerprint
            and self.observed.mapping(host) is None
            for host, (_, other) in self.hosts.items()
        )

    def _is_taken(self, host: str) -> bool:
        """Whether someone else's mapping has the host name."""
        held = self.observed.mapping(host)
        listener, binding = self.hosts[host]
        if held is None or held.fingerprint == binding.fingerprint or listener.adopt:
            return False
        return not self.owned.owners(held)

    def _without_room(self) -> tuple[str, ...]:
        """The host names that the limit keeps from having a mapping."""
        new = [
            host
            for host in self._in_order()
            if host in self.mapped
            and self.observed.mapping(host) is None
            and self.hosts[host][1].pair is not None
        ]
        return tuple(new[max(MAPPING_LIMIT - len(self.observed.mappings), 0) :])

    def _switches(self, termination: Termination) -> Iterator[Operation[Act]]:
        wanted = self.settings
        if wanted is None or self.shared.frozen:
            return
        about = tuple(one.frontend for one in self.shared.owners)
        if self.observed.https_redirect and not wanted.redirect:
            yield self._redirect(False, about)
            return
        change = SetTermination(
            port=wanted.port if wanted.port != termination.port else None,
            enabled=wanted.enabled if wanted.enabled != termination.enabled else None,
            secure_only=(
                wanted.secure_only if wanted.secure_only != termination.secure_only else None
            ),
            without_weak_protocols=termination.weak_protocols,
        )
        if change != SetTermination():
            yield Operation(key=SETTINGS, act=change, step="Applying", about=about)
        elif wanted.redirect and not self.observed.https_redirect:
            yield self._redirect(True, about)

    def _redirect(
        self, on: bool, about: tuple[ObjectName, ...], *, removes: bool = False
    ) -> Operation[Act]:
        return Operation(
            key=f"redirect {'on' if on else 'off'}",
            act=SetRedirect(on=on),
            step="Redirecting",
            about=about,
            removes=removes,
        )

    def _removals(self, termination: Termination) -> Iterator[Operation[Act]]:
        going = list(self._unwanted())
        for one, owners in going:
            yield Operation(
                key=f"unmap {one.id}",
                act=DeleteMapping(id=one.id),
                step="Deleting",
                about=tuple(sorted(owners)),
                removes=True,
            )
        makers = tuple(sorted(self.owned.makers()))
        if going or not self._goes():
            return
        if self.observed.https_redirect:
            yield self._redirect(False, makers, removes=True)
        elif termination.secure_only:
            act = SetTermination(secure_only=False)
            yield Operation(key=SETTINGS, act=act, step="Deleting", about=makers, removes=True)
        else:
            yield Operation(
                key="unterminate",
                act=DeleteTermination(),
                step="Deleting",
                about=makers,
                removes=True,
            )

    def _goes(self) -> bool:
        """Whether the termination was made for frontends that are no more, and serves nobody else."""
        makers = self.owned.makers()
        holders = {frontend for frontend, _ in self.owned.at_termination()}
        if not makers or self.shared.accepted or not makers <= self.wish.releasing:
            return False
        if holders & self._keepers:
            return False
        owners = [self.owned.owners(one) for one in self.observed.mappings]
        return all(one and one <= self.wish.releasing for one in owners)

    @cached_property
    def _keepers(self) -> frozenset[ObjectName]:
        """Frontends of which everything stays as it is."""
        return self.wish.staying | {one.frontend for one in self.shared.refused}

    def _unwanted(self) -> Iterator[tuple[state.Mapping, frozenset[ObjectName]]]:
        """Mappings of ours that nobody wants, or that the default certificate makes superfluous."""
        kept = {
            host
            for listener in self.shared.accepted
            for binding in listener.bindings
            if binding not in tuple(wants.usable_keys(listener))
            for host in binding.hostnames
        }
        for one in self.observed.mappings:
            owners = self.owned.owners(one)
            if not owners or owners & self._keepers or one.host in kept:
                continue
            if one.host in self.mapped or self._takes_from(one.host, None):
                continue
            if one.host in self.hosts and not self._default_is_in_place():
                continue
            yield one, owners

    def _default_is_in_place(self) -> bool:
        return self.default is not None and self.observed.holds(
            TERMINATION, self.default[1].fingerprint
        )

    # --- what is left of those that go

    def is_left(self, frontend: ObjectName) -> bool:
        """Whether something of a frontend that is being released is still to be removed."""
        for one in self.observed.mappings:
            owners = self.owned.owners(one)
            if frontend in owners and not owners & self._keepers and one.host not in self.hosts:
                return True
        termination = self.observed.termination
        if termination is None:
            return False
        if frontend in self.owned.makers() and self._goes():
            return True
        return self._is_to_be_replaced(frontend, termination)

    def _is_to_be_replaced(self, frontend: ObjectName, termination: Termination) -> bool:
        """Whether the default certificate is this frontend's, and another one is about to follow."""
        if self.default is None or self.default[1].pair is None:
            return False
        if termination.fingerprint == self.default[1].fingerprint:
            return False
        return any(owner == frontend for owner, _ in self.owned.at_termination())

    # --- how frontends stand

    def outlook(self, listener: Listener) -> Outlook:
        if not self.shared.is_accepted(listener):
            return self._refused_outlook(listener)
        standings = tuple(self._standings(listener))
        problems = tuple(self._problems(listener))
        configured = self._is_configured(listener)
        settled = configured and all(one.bound for one in standings)
        return Outlook(
            configured=configured,
            standings=standings,
            frontend_id=self._frontend_id(listener),
            problems=problems,
            notices=tuple(self._notices(listener)),
            waits="" if settled else self._waits(),
            probe=(self.observed.address, listener.port) if self.observed.address else None,
        )

    def _refused_outlook(self, listener: Listener) -> Outlook:
        """What is installed of a frontend that may change nothing stays, and is told."""
        memory = self.wish.memory.get(listener.frontend)
        standings = []
        for binding in listener.bindings:
            places = self.owned.remembered(listener, binding.source)
            there = any(self.observed.holds(place, binding.fingerprint) for place in places)
            if places:
                standings.append(
                    Standing(
                        source=binding.source,
                        fingerprint=binding.fingerprint,
                        provider_id=" ".join(places),
                        stored=there,
                        bound=there,
                    )
                )
        return Outlook(
            configured=False,
            standings=tuple(standings),
            frontend_id="" if memory is None else memory.frontend_id,
            problems=self.shared.problems.get(listener.frontend, ()),
        )

    def _standings(self, listener: Listener) -> Iterator[Standing]:
        for binding in listener.bindings:
            places, missing = self._places(listener, binding)
            if not binding.hostnames and not self._is_default(listener, binding) and not places:
                continue
            held = [one for one in places if self.observed.holds(one, binding.fingerprint)]
            moving = self.observed.changing.intersection(held)
            yield Standing(
                source=binding.source,
                fingerprint=binding.fingerprint,
                provider_id=" ".join(places),
                stored=bool(held),
                bound=bool(held) and not missing and not moving,
            )

    def _places(self, listener: Listener, binding: Binding) -> tuple[list[str], bool]:
        """Where a certificate is or is about to be replaced, and whether a place is missing."""
        places: dict[str, None] = {}
        missing = False
        if self._is_default(listener, binding):
            if self._is_at_termination(listener, binding):
                places[TERMINATION] = None
            missing |= not self.observed.holds(TERMINATION, binding.fingerprint)
        without_room = self._without_room()
        for host in binding.hostnames:
            if self.hosts.get(host) != (listener, binding):
                continue
            held = self.observed.mapping(host)
            equal = held is not None and held.fingerprint == binding.fingerprint
            if held is not None and (self.owned.owners(held) or (equal and host in self.mapped)):
                places[held.id] = None
                missing |= not equal
            elif host not in self.mapped:
                if self._is_at_termination(listener, binding):
                    places[TERMINATION] = None
                missing |= not self.observed.holds(TERMINATION, binding.fingerprint)
            else:
                missing |= host not in without_room and not self._is_taken(host)
        return list(places), missing

    def _is_default(self, listener: Listener, binding: Binding) -> bool:
        return self.default is not None and self.default == (listener, binding)

    def _is_at_termination(self, listener: Listener, binding: Binding) -> bool:
        """Whether the termination has this certificate, or the version of it that was installed."""
        return self.observed.holds(TERMINATION, binding.fingerprint) or (
            (listener.frontend, binding.source) in self.owned.at_termination()
        )

    def _frontend_id(self, listener: Listener) -> str:
        """That the termination is ours, and mappings of the frontend that are yet to be removed."""
        made = listener in self.shared.owners and self.observed.termination is not None
        told = {
            place for binding in listener.bindings for place in self._places(listener, binding)[0]
        }
        rest = [one for one in self.owned.places(listener.frontend) if one not in told]
        return frontend_id(made=made, leftover=rest)

    def _is_configured(self, listener: Listener) -> bool:
        termination = self.observed.termination
        if termination is None or SETTINGS in self.observed.changing:
            return False
        wanted = self.settings
        if listener not in self.shared.owners or wanted is None:
            return True
        there = wants.Settings(
            port=termination.port,
            enabled=termination.enabled,
            secure_only=termination.secure_only,
            redirect=self.observed.https_redirect,
        )
        return there == wanted and not termination.weak_protocols

    def _waits(self) -> str:
        if self.observed.status in state.AT_WORK:
            return "Rackspace is at work on a change of the load balancer"
        if self.shared.frozen:
            return "Other frontends of the load balancer have not been looked at yet"
        return ""

    def _problems(self, listener: Listener) -> Iterator[Problem]:
        yield from self.shared.problems.get(listener.frontend, ())
        if not self.observed.is_active and self.observed.status not in state.AT_WORK:
            yield Problem(
                condition="Programmed",
                reason=LOAD_BALANCER_STATE,
                message=f"The load balancer is {self.observed.status}: it can't be changed.",
            )
        other_keys = [
            one for one in listener.bindings if one not in tuple(wants.usable_keys(listener))
        ]
        if other_keys:
            yield Problem(
                condition="ResolvedRefs",
                reason=reasons.KEY_TYPE_UNSUPPORTED,
                message=f"Rackspace takes RSA keys only: {listed(tuple(str(o.source) for o in other_keys))}.",
            )
        mine = [host for host, (owner, _) in self.hosts.items() if owner == listener]
        taken = tuple(host for host in mine if self._is_taken(host))
        if taken:
            yield Problem(
                condition="Programmed",
                reason=reasons.NAME_TAKEN,
                message=f"Certificate mappings that certfront did not make have {listed(taken)}. Set "
                "spec.adopt to hand them over.",
            )
        no_room = tuple(host for host in self._without_room() if host in mine)
        if no_room:
            yield Problem(
                condition="Programmed",
                reason=reasons.QUOTA_EXCEEDED,
                message=f"A load balancer takes {MAPPING_LIMIT} certificate mappings; none is left for "
                f"{listed(no_room)}.",
            )

    def _notices(self, listener: Listener) -> Iterator[Notice]:
        wanted = self.settings
        if wanted is None or listener not in self.shared.owners or listener.redirect_status is None:
            return
        if wanted.secure_only and not wanted.redirect:
            yield Notice(
                reason=PLAIN_HTTP_REFUSED,
                message=f"Rackspace redirects to port {wants.REDIRECT_PORT} only, so plain HTTP is "
                f"refused beside port {wanted.port}.",
            )


def _is_same(there: state.Mapping | Termination, binding: Binding) -> bool:
    """Whether leaf and intermediates are those of the binding."""
    if there.fingerprint != binding.fingerprint:
        return False
    return binding.pair is None or there.chain == chain_of(binding.pair)
