"""What is to be done in Kong now, and how every frontend stands: pure.

Order: store new material in place (one PUT, atomic for every SNI of the certificate), add SNIs, move
SNIs between certificates of ours (one PUT each: never a gap), then routes, and at last removals. A
name that a certificate of others has is never taken, unless the frontend hands it over by `adopt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope, same_fingerprint
from certfront.loadbalancers.kong import ownership
from certfront.loadbalancers.kong.acts import Act, Amend, EditRoute, Move, Remove, Store
from certfront.loadbalancers.kong.reasons import ROUTE_NOT_FOUND
from certfront.loadbalancers.kong.routing import Routing, plan_routes
from certfront.loadbalancers.kong.state import KongCertificate, Observed, half_of_chain
from certfront.loadbalancers.kong.wanting import ANY_NAME, Wanted, WantedCertificate, gather
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
from certfront.model.meta import ObjectName

_UNTIL_A_ROUTE_IS_MADE: Final = 60.0


def plan(scope: Scope, wish: Wish, observed: Observed, probe: tuple[str, int] | None) -> Plan[Act]:
    """Compare the wish with what is there. `probe` has the port 0 where none was told."""
    wanted = gather(scope, wish)
    view = _View(
        scope=scope,
        wish=wish,
        observed=observed,
        wanted=wanted,
        names_by_holder=observed.names_by_holder(),
        adopted=frozenset(_handed_over(wish, wanted) - observed.taken),
    )
    routing = plan_routes(scope, wish, observed)
    outlooks = {
        listener.frontend: _outlook(view, listener, routing, probe) for listener in wish.listeners
    }
    bound = frozenset(
        name
        for name, outlook in outlooks.items()
        if outlook.standings and all(standing.bound for standing in outlook.standings)
    )
    operations = (
        *_material_and_names(view),
        *_moves(view),
        *_route_changes(routing, bound),
        *_removals(view, routing),
    )
    missing_route = any(
        problem.reason is ROUTE_NOT_FOUND
        for found in routing.problems.values()
        for problem in found
    )
    return Plan(
        operations=operations,
        outlooks=outlooks,
        left=_left(view),
        look_again=_UNTIL_A_ROUTE_IS_MADE if missing_route else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """All that a plan is made from, and the few questions that it asks again and again."""

    scope: Scope
    wish: Wish
    observed: Observed
    wanted: Wanted
    names_by_holder: Mapping[str, frozenset[str]]
    adopted: frozenset[str]

    def names_on(self, certificate_id: str) -> frozenset[str]:
        """The SNIs that lead to a certificate."""
        return self.names_by_holder.get(certificate_id, frozenset())

    def is_ours(self, certificate_id: str) -> bool:
        """Whether a certificate is of our scope: by its tags, or by an id that only we compute."""
        return certificate_id in self.observed.certificates or (
            certificate_id in self.wanted.certificates
        )

    def is_foreign(self, name: str) -> bool:
        """Whether an SNI belongs to something that is not ours."""
        holder = self.observed.names.get(name)
        return name in self.observed.taken if holder is None else not self.is_ours(holder)

    def is_held(self, certificate: KongCertificate) -> bool:
        """Whether it may be something of a frontend about which nothing was decided."""
        staying = self.wish.staying
        if not staying:
            return False
        users = ownership.frontends_of(certificate.tags)
        remembered = any(
            one.provider_id == certificate.id
            for frontend in staying
            if frontend in self.wish.memory
            for one in self.wish.memory[frontend].installed
        )
        return remembered or not users or bool(users & staying)

    def surplus(self, certificate_id: str) -> frozenset[str]:
        """SNIs on a certificate of ours that no listener wants at all."""
        return self.names_on(certificate_id) - self.wanted.holder.keys()


def _handed_over(wish: Wish, wanted: Wanted) -> set[str]:
    """Names that their frontend takes over from whoever has them."""
    return {name for one in wish.listeners if one.adopt for name in _names_of(wanted, one)}


def _names_of(wanted: Wanted, listener: Listener) -> set[str]:
    """The SNIs that a frontend has got."""
    return {
        name
        for binding in listener.bindings
        for name in wanted.names_of.get((listener.frontend, binding.source), ())
    }


# --- operations


def _material_and_names(view: _View) -> Iterator[Operation[Act]]:
    for wanted in view.wanted.certificates.values():
        stored = view.observed.certificates.get(wanted.id)
        held = view.names_on(wanted.id)
        free = {
            name
            for name in wanted.names
            if name not in view.observed.names and name not in view.observed.taken
        }
        names = tuple(sorted(held | free))
        tags = tuple(sorted(_tags(view, wanted, stored, view.surplus(wanted.id))))
        about = tuple(sorted(wanted.frontends))
        if stored is None or _is_stale(wanted, stored):
            act = _material(wanted, stored, names, tags)
            if act is not None:
                yield _operation("store", act, "Uploading", about, names, _digest_of(wanted))
        elif free or frozenset(tags) != stored.tags:
            act = Amend(id=wanted.id, names=names, tags=tags)
            yield _operation("amend", act, "Binding", about, names, tags)


def _material(
    wanted: WantedCertificate,
    stored: KongCertificate | None,
    names: tuple[str, ...],
    tags: tuple[str, ...],
) -> Store | Amend | None:
    """How to bring in what is at hand; a half whose key is not stays as it is."""
    at_hand = [half.pair for half in wanted.halves if half.pair is not None]
    if not at_hand:
        return None
    if stored is None or len(at_hand) == len(wanted.halves):
        return Store(
            id=wanted.id,
            main=at_hand[0],
            alternative=at_hand[1] if len(at_hand) > 1 else None,
            names=names,
            tags=tags,
        )
    new = at_hand[0]
    kept = next(half.fingerprint for half in wanted.halves if half.pair is None)
    if same_fingerprint(stored.main.fingerprint, kept):
        return Amend(id=wanted.id, names=names, tags=tags, alternative=new)
    if stored.alternative and same_fingerprint(stored.alternative.fingerprint, kept):
        return Amend(id=wanted.id, names=names, tags=tags, main=new)
    return Store(id=wanted.id, main=new, alternative=None, names=names, tags=tags)


def _is_stale(wanted: WantedCertificate, stored: KongCertificate) -> bool:
    """Whether Kong has something else than the material at hand, in whichever of its two places."""
    at_hand = {half_of_chain(half.pair.chain) for half in wanted.halves if half.pair is not None}
    if len(at_hand) == len(wanted.halves):
        return at_hand != set(stored.halves)
    return not at_hand <= set(stored.halves)


def _tags(
    view: _View,
    wanted: WantedCertificate,
    stored: KongCertificate | None,
    surplus: frozenset[str],
) -> frozenset[str]:
    """The tags that a certificate should have now; of a frontend that goes until its names are gone."""
    before = stored.tags if stored is not None else frozenset[str]()
    users = set(wanted.frontends)
    for frontend in ownership.frontends_of(before) - wanted.frontends:
        going = view.wish.complete and frontend not in view.wish.staying
        if not going or surplus:
            users.add(frontend)
    return ownership.foreign(before) | ownership.certificate_tags(view.scope, wanted.sources, users)


def _moves(view: _View) -> Iterator[Operation[Act]]:
    """Names that lead to another certificate, once theirs is stored as it should be."""
    for wanted in view.wanted.certificates.values():
        stored = view.observed.certificates.get(wanted.id)
        if stored is None or _is_stale(wanted, stored):
            continue
        for name in sorted(wanted.names):
            holder = view.observed.names.get(name)
            if holder is None or holder == wanted.id:
                continue
            adopted = view.is_foreign(name)
            if adopted and name not in view.adopted:
                continue
            yield Operation(
                key=f"move:{name}",
                act=Move(name=name, id=wanted.id, adopted=adopted),
                step="Binding",
                about=tuple(sorted(wanted.frontends)),
            )


def _route_changes(routing: Routing, bound: frozenset[ObjectName]) -> Iterator[Operation[Act]]:
    """Nobody is sent to HTTPS before the certificates of the frontend are bound."""
    for frontend, question in routing.questions:
        key = f"look:{question.selector.kind}:{question.selector.value}"
        yield Operation(key=key, act=question, step="Applying", about=(frontend,))
    for frontend, edit in routing.edits:
        if frontend in bound:
            yield _route_operation("redirect", frontend, edit, "Redirecting")
    for frontend, edit in routing.restores:
        yield _route_operation("restore", frontend, edit, "Deleting")


def _route_operation(verb: str, frontend: ObjectName, edit: EditRoute, step: str) -> Operation[Act]:
    about = (frontend,) if frontend.name else ()
    return Operation(key=f"{verb}:{edit.id}", act=edit, step=step, about=about)


def _removals(view: _View, routing: Routing) -> Iterator[Operation[Act]]:
    """Names and certificates that nobody wants, where no route still sends clients to them."""
    if not view.wish.complete:
        return
    restoring = {frontend for frontend, _ in routing.restores}
    for stored in sorted(view.observed.certificates.values(), key=lambda one: one.id):
        users = ownership.frontends_of(stored.tags)
        if view.is_held(stored) or users & restoring:
            continue
        held, surplus = view.names_on(stored.id), view.surplus(stored.id)
        wanted = view.wanted.certificates.get(stored.id)
        about = tuple(sorted(users & view.wish.releasing or users))
        if wanted is None and held == surplus:
            key = f"remove:{stored.id}"
            yield Operation(
                key=key, act=Remove(id=stored.id), step="Deleting", about=about, removes=True
            )
        elif surplus:
            names = tuple(sorted(held - surplus))
            left = stored.tags if wanted is None else _tags(view, wanted, stored, frozenset())
            act = Amend(id=stored.id, names=names, tags=tuple(sorted(left)))
            yield _operation("release", act, "Deleting", about, names, removes=True)


def _operation(
    verb: str,
    act: Store | Amend,
    step: str,
    about: tuple[ObjectName, ...],
    *content: tuple[str, ...],
    removes: bool = False,
) -> Operation[Act]:
    """The key tells what is written: another content is another try, which waits for nothing."""
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:12]
    return Operation(
        key=f"{verb}:{act.id}:{digest}", act=act, step=step, about=about, removes=removes
    )


def _digest_of(wanted: WantedCertificate) -> tuple[str, ...]:
    return tuple(half.fingerprint for half in wanted.halves)


def _left(view: _View) -> frozenset[ObjectName]:
    """Frontends that are being released and of which something is still there."""
    held: set[ObjectName] = set()
    for certificate in view.observed.certificates.values():
        held |= ownership.frontends_of(certificate.tags)
    for route in view.observed.routes.values():
        if ownership.is_of(view.scope, route.tags):
            held |= ownership.frontends_of(route.tags)
    return frozenset(view.wish.releasing & held)


# --- how it stands


def _outlook(
    view: _View, listener: Listener, routing: Routing, probe: tuple[str, int] | None
) -> Outlook:
    problems = (
        *view.wanted.problems.get(listener.frontend, ()),
        *_taken(view, listener),
        *routing.problems.get(listener.frontend, ()),
    )
    return Outlook(
        configured=listener.frontend in routing.settled,
        standings=tuple(_standings(view, listener)),
        problems=problems,
        notices=tuple(_notices(listener)),
        probe=None if probe is None else (probe[0], probe[1] or listener.port),
    )


def _standings(view: _View, listener: Listener) -> Iterator[Standing]:
    for binding in listener.bindings:
        names = view.wanted.names_of.get((listener.frontend, binding.source), ())
        if not names and not binding.hostnames and binding.source != listener.default_certificate:
            continue
        homes = {view.wanted.holder[name] for name in names}
        stored = [view.observed.certificates.get(home) for home in sorted(homes)]
        is_stored = bool(stored) and all(_shows(one, binding) for one in stored)
        ours = [name for name in names if not view.is_foreign(name) or name in view.adopted]
        leads = all(view.observed.names.get(n) == view.wanted.holder[n] for n in ours)
        yield Standing(
            source=binding.source,
            fingerprint=binding.fingerprint,
            provider_id=min(homes, default=""),
            stored=is_stored,
            bound=is_stored and bool(ours) and leads,
            not_after=binding.not_after,
        )


def _shows(stored: KongCertificate | None, binding: Binding) -> bool:
    """Whether a half of the stored certificate is this one, its chain included."""
    if stored is None:
        return False
    if binding.pair is not None:
        return half_of_chain(binding.pair.chain) in stored.halves
    return any(same_fingerprint(half.fingerprint, binding.fingerprint) for half in stored.halves)


def _taken(view: _View, listener: Listener) -> Iterable[Problem]:
    names = {
        name
        for name in _names_of(view.wanted, listener)
        if view.is_foreign(name) and name not in view.adopted
    }
    if not names:
        return
    shown = tuple(f"{name} ({_holder(view, name)})" for name in sorted(names))
    yield Problem(
        condition="Accepted",
        reason=reasons.NAME_TAKEN,
        message=f"Kong has for these names certificates that are not certfront's: {listed(shown)}. "
        "Delete the SNI there, or set adopt: true to hand the name over.",
    )


def _holder(view: _View, name: str) -> str:
    holder = view.observed.names.get(name)
    return f"certificate {holder}" if holder else "another workspace"


def _notices(listener: Listener) -> Iterator[Notice]:
    if listener.accept_terminated:
        sources = ",".join(listener.trusted_sources)
        setting = f"trusted_ips = {sources}" if sources else "trusted_ips (and spec.trustedSources)"
        yield Notice(
            reason=reasons.PRECONDITION_UNVERIFIED,
            message="Kong believes X-Forwarded-Proto from its trusted_ips only: set in kong.conf of "
            f"every proxy: {setting}",
        )
    if listener.default_certificate is not None and listener.ssl:
        yield Notice(
            reason=reasons.PRECONDITION_UNVERIFIED,
            message=f"The default certificate is bound to SNI {ANY_NAME}: it answers for unknown "
            "names. Clients that send no name get the certificate of ssl_cert in kong.conf.",
        )
