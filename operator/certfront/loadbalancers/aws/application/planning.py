"""What is to be done on an application load balancer: a pure comparison of wish and observation.

Frontends on a port share its listener: it offers the certificates of all by SNI, and what the oldest
asks for else. Order: import (in place where ACM allows it, so that nothing need be bound anew), make
or change the listener, offer, and only then offer no more and delete what nothing refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from certfront.loadbalancers import protocol, reasons
from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.aws.application import ownership
from certfront.loadbalancers.aws.application.routing import (
    action_of,
    group_of,
    plain_action_of,
    plain_port_of,
    policy_of,
)
from certfront.loadbalancers.aws.application.state import (
    Act,
    Action,
    Adopt,
    Attach,
    Certificate,
    Change,
    Detach,
    Import,
    Listen,
    Listener,
    LookUp,
    Observed,
    Other,
    Read,
    Remove,
    Unlisten,
)
from certfront.loadbalancers.aws.material import (
    ends_with,
    is_sendable,
    is_taken,
    leaf_of,
    may_replace,
)
from certfront.loadbalancers.identity import Scope, owner_of
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import (
    Binding,
    CertificateSource,
    Memory,
    Notice,
    Operation,
    Outlook,
    Plan,
    Standing,
    Wish,
)
from certfront.model.meta import ObjectName
from certfront.model.reasons import Reason

LISTED_AFTER: Final = timedelta(seconds=30)
"""What was imported is listed after so long; until then its absence says nothing."""

CERTIFICATES_PER_BALANCER: Final = 25
"""Besides the default ones, unless AWS was asked for more ("Quotas", Application Load Balancers)."""

_FORMER: Final = " was "
_SOON: Final = 60.0
_CURED_AT_AWS: Final = frozenset(
    {reasons.LISTENER_EXISTS, reasons.LISTENER_NOT_FOUND, aws.TARGET_GROUP_NOT_FOUND}
)


def plan(scope: Scope, wish: Wish, observed: Observed) -> Plan[Act]:
    """What may be done now, and how every frontend stands."""
    return _Planning(scope=scope, wish=wish, observed=observed).plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """A port that wishes are about, oldest first. `maker` is the oldest that owns the listener."""

    port: int
    secure: bool
    listeners: tuple[protocol.Listener, ...]
    maker: protocol.Listener | None

    @property
    def about(self) -> tuple[ObjectName, ...]:
        return tuple(one.frontend for one in self.listeners)


@dataclass(frozen=True, kw_only=True)
class _Planning:
    scope: Scope
    wish: Wish
    observed: Observed

    def plan(self) -> Plan[Act]:
        operations: dict[str, Operation[Act]] = {}
        for operation in (
            *self._look_ups(),
            *self._imports(),
            *self._ports(),
            *self._removals(),
        ):
            operations.setdefault(operation.key, operation)
        outlooks = {one.frontend: self._outlook(one) for one in self.wish.listeners}
        found = [problem.reason for one in outlooks.values() for problem in one.problems]
        waits = [_SOON] if _CURED_AT_AWS.intersection(found) else []
        waits += [wait for wait in map(self._unlisted_for, self._wanted) if wait > 0]
        return Plan(
            operations=tuple(operations.values()),
            outlooks=outlooks,
            left=frozenset(name for name in self.wish.releasing if self._is_left(name)),
            look_again=min(waits, default=None),
            limits={"certificatesPerLoadBalancer": CERTIFICATES_PER_BALANCER},
            notices=tuple(self._left_bound()),
        )

    # --- what is wanted

    @cached_property
    def seats(self) -> dict[int, _Seat]:
        """The listeners that are wanted, by port; the older frontend says whether it is TLS."""
        asked: dict[int, list[tuple[bool, protocol.Listener]]] = {}
        for listener in self.wish.listeners:
            if listener.manage == "StoreOnly":
                continue
            if listener.ssl:
                asked.setdefault(listener.port, []).append((True, listener))
            plain = plain_port_of(listener)
            if plain is not None:
                asked.setdefault(plain, []).append((False, listener))
        return {port: self._seat(port, found) for port, found in asked.items()}

    def _seat(self, port: int, asked: list[tuple[bool, protocol.Listener]]) -> _Seat:
        secure = asked[0][0]
        listeners = tuple(one for is_tls, one in asked if is_tls == secure)
        maker = next((one for one in listeners if one.manage == "Listener"), None)
        return _Seat(port=port, secure=secure, listeners=listeners, maker=maker)

    @cached_property
    def _wanted(self) -> list[Binding]:
        """Every certificate that is wanted, the newest version of each source and kind of key.

        Frontends that share a source are told of a new version one after the other.
        """
        newest: dict[tuple[CertificateSource, str], Binding] = {}
        for _, binding in self.wish.bindings():
            key = (binding.source, str(binding.key_type))
            held = newest.get(key)
            if held is None or _newer(binding, held):
                newest[key] = binding
        return list(newest.values())

    def _stored(self, binding: Binding) -> Certificate | None:
        return self.observed.find(binding.fingerprint, owner_of(binding.source))

    def _about(self, source: CertificateSource) -> tuple[ObjectName, ...]:
        return tuple(
            dict.fromkeys(
                listener.frontend
                for listener, binding in self.wish.bindings()
                if binding.source == source
            )
        )

    # --- certificates

    def _look_ups(self) -> Iterator[Operation[Act]]:
        for listener in self.wish.listeners:
            group = group_of(listener)
            if group and group not in self.observed.groups:
                yield Operation(
                    key=f"look-up:{group}",
                    act=LookUp(group=group),
                    step="Applying",
                    about=(listener.frontend,),
                )

    def _imports(self) -> Iterator[Operation[Act]]:
        for binding in self._wanted:
            if (
                is_sendable(binding, self.wish.now)
                and self._stored(binding) is None
                and self._needed(binding)
            ):
                yield from self._import(binding)

    def _needed(self, binding: Binding) -> bool:
        """Whether there will be something to offer it: an import cannot be taken back."""
        return any(
            listener.manage == "StoreOnly"
            or (listener.ssl and self._hindrance(self.seats[listener.port]) is None)
            for listener, one in self.wish.bindings()
            if one.source == binding.source
        )

    def _import(self, binding: Binding) -> Iterator[Operation[Act]]:
        if binding.pair is None:
            return
        about, owner = self._about(binding.source), owner_of(binding.source)
        unread = self._unread(binding)
        if unread is not None:
            read = Read(arn=unread.arn)
            yield Operation(key=f"read:{unread.arn}", act=read, step="Uploading", about=about)
            return
        act = Import(
            fingerprint=binding.fingerprint,
            owner=owner,
            tags=ownership.certificate_tags(self.scope, binding.source),
            pair=binding.pair,
        )
        old = self._replaceable(binding)
        if old is not None:
            yield Operation(
                key=f"import:{old.arn}:{binding.fingerprint}",
                act=replace(act, arn=old.arn),
                step="Uploading",
                about=about,
            )
        elif self._unlisted_for(binding) <= 0:
            yield Operation(
                key=f"import:{owner}:{binding.fingerprint}",
                act=act,
                step="Uploading",
                about=about,
                claims=(about[0], binding.source, binding.fingerprint),
            )

    def _unread(self, binding: Binding) -> Certificate | None:
        """A certificate that may be the one itself, which would be imported a second time."""
        for one in self.observed.certificates.values():
            if one.leaf is None and ends_with(one.not_after, binding.not_after):
                return one
        return None

    def _replaceable(self, binding: Binding) -> Certificate | None:
        """Ours of the same source, that ACM lets take the new material under its ARN."""
        if binding.pair is None:
            return None
        new = leaf_of(binding.pair.leaf)
        for one in self.observed.owned(owner_of(binding.source)):
            if one.leaf is not None and may_replace(new, one.leaf):
                return one
        return None

    def _unlisted_for(self, binding: Binding) -> float:
        """For how many seconds yet an import whose answer was lost may stay unlisted; 0: for none."""
        if not is_sendable(binding, self.wish.now) or self._stored(binding) is not None:
            return 0.0
        sent = self.observed.attempts.get(binding.fingerprint)
        for name in self._about(binding.source):
            for one in self.wish.memory.get(name, Memory()).installed:
                claimed = (one.source, one.fingerprint) == (binding.source, binding.fingerprint)
                # A claim of this process was either not used or is among the attempts.
                if claimed and one.since is not None and one.since < self.observed.began:
                    sent = max(sent or one.since, one.since)
        if sent is None:
            return 0.0
        return (sent + LISTED_AFTER - self.wish.now).total_seconds()

    # --- listeners

    def _is_ours(self, listener: Listener) -> bool:
        if listener.mark:
            return True
        remembered = any(one.frontend_id == listener.arn for one in self.wish.memory.values())
        return remembered and any(self._is_of_scope(arn) for arn in listener.offered)

    def _is_of_scope(self, arn: str) -> bool:
        known = self.observed.certificates.get(arn)
        return known is not None and bool(known.owner)

    def _hindrance(self, seat: _Seat) -> Problem | None:
        """What keeps everything from being done on a port."""
        there = self.observed.listeners.get(seat.port)
        if seat.maker is None:
            if there is None or not there.secure:
                return _problem(
                    reasons.LISTENER_NOT_FOUND,
                    f"The load balancer has no HTTPS listener on port {seat.port}.",
                )
            return None
        if there is None or self._is_ours(there) or seat.maker.adopt:
            return None
        return _problem(
            reasons.LISTENER_EXISTS,
            f"The load balancer has a listener on port {seat.port} that certfront did not make.",
        )

    def _action(self, listener: protocol.Listener, *, secure: bool) -> Action | Problem | None:
        """What the frontend wants done with requests on a port of that kind."""
        if secure or not listener.ssl:
            return action_of(listener, self.observed.groups)
        return plain_action_of(listener, self.observed.groups)

    def _ports(self) -> Iterator[Operation[Act]]:
        for seat in self.seats.values():
            if self._hindrance(seat) is not None:
                continue
            there = self.observed.listeners.get(seat.port)
            if there is None:
                yield from self._listen(seat)
            elif seat.maker is not None and not there.mark:
                yield self._adopt(seat, seat.maker)
            else:
                yield from self._changes(seat, there)

    def _adopt(self, seat: _Seat, maker: protocol.Listener) -> Operation[Act]:
        mark = ownership.listener_mark(self.scope, maker.frontend, seat.port)
        tags = ownership.listener_tags(self.scope, mark)
        act = Adopt(port=seat.port, mark=mark, tags=tags)
        return Operation(key=f"adopt:{seat.port}", act=act, step="Applying", about=seat.about)

    def _listen(self, seat: _Seat) -> Iterator[Operation[Act]]:
        if seat.maker is None:
            return
        action = self._action(seat.maker, secure=seat.secure)
        default = self._default(seat, None) if seat.secure else ""
        if action is None or isinstance(action, Problem) or (seat.secure and not default):
            return
        mark = ownership.listener_mark(self.scope, seat.maker.frontend, seat.port)
        listener = Listener(
            arn="",
            port=seat.port,
            protocol="HTTPS" if seat.secure else "HTTP",
            action=action,
            policy=policy_of(seat.maker) if seat.secure else "",
            default=default,
            mark=mark,
        )
        act = Listen(listener=listener, tags=ownership.listener_tags(self.scope, mark))
        yield Operation(
            key=f"listen:{seat.port}:{default}", act=act, step="Applying", about=seat.about
        )

    def _changes(self, seat: _Seat, there: Listener) -> Iterator[Operation[Act]]:
        default = self._default(seat, there) if seat.secure else ""
        change = self._change(seat, there, default)
        if seat.maker is None and any(name in self._busy for name in seat.about):
            # What this port had before can be remembered once another has got back what it had.
            change = None
        if change is not None:
            key = f"change:{seat.port}:{hash_of(change)}"
            changing: Operation[Act] = Operation(
                key=key,
                act=change,
                step="Binding" if change.default else "Applying",
                about=seat.about,
            )
            foreign = seat.maker is None and change.default is not None
            yield replace(changing, claims=self._note(seat, there)) if foreign else changing
        if not there.secure:
            return
        for arn in self._offers(seat):
            if arn not in there.others and (seat.maker is not None or arn != there.default):
                yield Operation(
                    key=f"attach:{seat.port}:{arn}",
                    act=Attach(port=seat.port, certificate=arn),
                    step="Binding",
                    about=seat.about,
                )

    def _change(self, seat: _Seat, there: Listener, default: str) -> Change | None:
        """What of a listener is not as it should be, besides its SNI list."""
        change = Change(port=seat.port)
        if default and default != there.default:
            change = replace(change, default=default)
        if seat.maker is not None:
            protocol_ = "HTTPS" if seat.secure else "HTTP"
            if there.protocol != protocol_:
                if seat.secure and not default:
                    return None
                change = replace(change, protocol=protocol_)
            if seat.secure and there.policy != policy_of(seat.maker):
                change = replace(change, policy=policy_of(seat.maker))
            action = self._action(seat.maker, secure=seat.secure)
            if action is not None and not isinstance(action, Problem) and action != there.action:
                change = replace(change, action=action)
        return None if change == Change(port=seat.port) else change

    @cached_property
    def _busy(self) -> frozenset[ObjectName]:
        """Frontends that have a listener to give back the default certificate that it had."""
        return frozenset(
            name
            for there in self.observed.listeners.values()
            if there.port not in self.seats and not self._is_ours(there)
            if self._is_of_scope(there.default) and self._former(there)
            for name in self._remembering(there.arn)
        )

    def _remembered(self, name: ObjectName) -> str:
        return self.wish.memory.get(name, Memory()).frontend_id

    def _note(
        self, seat: _Seat, there: Listener
    ) -> tuple[ObjectName, CertificateSource, str] | None:
        """What a status must say before a listener made elsewhere loses its default certificate."""
        for listener in seat.listeners:
            known = self.wish.memory.get(listener.frontend, Memory()).frontend_id
            if _borrowing(known)[0] == there.arn:
                return None
        for listener in seat.listeners:
            for binding in listener.bindings:
                if binding.source == listener.default_certificate:
                    return listener.frontend, binding.source, binding.fingerprint
        return None

    def _offers(self, seat: _Seat) -> list[str]:
        """The certificates that the port is to offer, in order."""
        newest = {(one.source, one.key_type): one for one in self._wanted}
        found: dict[str, None] = {}
        for listener in seat.listeners:
            for binding in listener.bindings:
                stored = self._stored(newest[(binding.source, binding.key_type)])
                if stored is not None and _is_asked(listener, binding):
                    found[stored.arn] = None
        return list(found)

    def _default(self, seat: _Seat, there: Listener | None) -> str:
        """The default certificate: what is asked for, else what is, else the first.

        On a listener made elsewhere it is changed only where a frontend asks for it.
        """
        home = self.scope.load_balancer.namespace
        asked = sorted(
            (listener.frontend.namespace != home, position, stored.arn)
            for position, listener in enumerate(seat.listeners)
            for binding in listener.bindings
            if binding.source == listener.default_certificate
            and (stored := self._stored(binding)) is not None
        )
        if asked:
            return asked[0][2]
        now = "" if there is None else there.default
        if seat.maker is None:
            return now
        offers = self._offers(seat)
        if now in offers or not offers:
            return now
        return offers[0]

    # --- what goes

    def _removals(self) -> Iterator[Operation[Act]]:
        if not self.wish.complete:
            return
        for port, there in sorted(self.observed.listeners.items()):
            if port in self.seats or self._is_unwanted(there):
                yield from self._taking_off(port, there)
            else:
                yield from self._taking_from_elsewhere(port, there)
        offered = self.observed.offered()
        for arn, certificate in sorted(self.observed.certificates.items()):
            if certificate.owner and arn not in offered and self._is_superfluous(certificate):
                yield Operation(
                    key=f"remove:{arn}",
                    act=Remove(arn=arn),
                    step="Deleting",
                    about=self._concerned(certificate),
                    removes=True,
                )

    def _taking_off(self, port: int, there: Listener) -> Iterator[Operation[Act]]:
        """Of a port that is wanted, what it need not offer; else all of a listener of ours."""
        if port not in self.seats:
            yield Operation(
                key=f"unlisten:{there.arn}",
                act=Unlisten(port=port),
                step="Deleting",
                about=self._makers(there),
                removes=True,
            )
            return
        for arn in sorted(there.others):
            certificate = self.observed.certificates.get(arn)
            if certificate is None or not certificate.owner:
                continue
            if arn not in self._offers(self.seats[port]) and self._may_go(certificate, port):
                yield self._detach(port, certificate)

    def _taking_from_elsewhere(self, port: int, there: Listener) -> Iterator[Operation[Act]]:
        """A listener that was made elsewhere, and that no wish is about: what was added goes."""
        if self._is_ours(there):
            return
        for arn in sorted(there.others):
            certificate = self.observed.certificates.get(arn)
            if certificate is not None and certificate.owner and self._may_go(certificate, port):
                yield self._detach(port, certificate)
        former = self._former(there)
        if self._is_of_scope(there.default) and former and not self._held_by_staying(there.arn):
            yield Operation(
                key=f"change:{port}:{former}",
                act=Change(port=port, default=former),
                step="Binding",
                about=self._remembering(there.arn),
            )

    def _detach(self, port: int, certificate: Certificate) -> Operation[Act]:
        return Operation(
            key=f"detach:{port}:{certificate.arn}",
            act=Detach(port=port, certificate=certificate.arn),
            step="Binding",
            about=self._concerned(certificate),
            removes=True,
        )

    def _makers(self, there: Listener) -> tuple[ObjectName, ...]:
        """The frontends for which a listener of ours was made: they go, or have moved."""
        asking = [one.frontend for one in self.wish.listeners]
        return tuple(
            name
            for name in (*asking, *sorted(self.wish.releasing))
            if self.scope.is_frontend(there.mark, name, str(there.port))
            or self._remembered(name) == there.arn
        )

    def _remembering(self, listener: str) -> tuple[ObjectName, ...]:
        """The frontends that remember a listener, and go or have no use for it any more."""
        asking = [one.frontend for one in self.wish.listeners]
        return tuple(
            name
            for name in (*asking, *sorted(self.wish.releasing))
            if _borrowing(self._remembered(name))[0] == listener
        )

    def _held_by_staying(self, listener: str) -> bool:
        return any(_borrowing(self._remembered(name))[0] == listener for name in self.wish.staying)

    def _is_unwanted(self, there: Listener) -> bool:
        """Whether a listener is ours and no one's any more."""
        if there.port in self.seats or not self._is_ours(there):
            return False
        return not self._held_by_staying(there.arn) and not any(
            self.scope.is_frontend(there.mark, name, str(there.port)) for name in self.wish.staying
        )

    def _former(self, there: Listener) -> str:
        """The certificate that a listener made elsewhere had as its default, if it may have it."""
        for name in self._remembering(there.arn):
            listener, former = _borrowing(self._remembered(name))
            known = self.observed.certificates.get(former)
            ended = known is not None and _has_ended(known.not_after, self.wish.now)
            gone = ":acm:" in former and known is None
            if listener == there.arn and former and not ended and not gone:
                return former
        return ""

    def _left_bound(self) -> Iterator[Notice]:
        for port, there in sorted(self.observed.listeners.items()):
            if self._keeps_ours(there):
                yield Notice(
                    reason=aws.LEFT_BOUND,
                    message=f"The listener on port {port} keeps certfront's certificate.",
                )

    def _keeps_ours(self, there: Listener) -> bool:
        """Whether a listener made elsewhere cannot be given back what it had."""
        return (
            there.port not in self.seats
            and not self._is_ours(there)
            and self._is_of_scope(there.default)
            and bool(self._remembering(there.arn))
            and not self._former(there)
        )

    def _may_go(self, certificate: Certificate, port: int) -> bool:
        """Whether a port may offer a certificate of ours no more: something newer is there."""
        seat = self.seats.get(port)
        listeners = () if seat is None else seat.listeners
        for listener in listeners:
            for binding in listener.bindings:
                if owner_of(binding.source) == certificate.owner and not self._is_there(binding):
                    return False
        return self._is_no_ones(certificate)

    def _is_superfluous(self, certificate: Certificate) -> bool:
        """Whether no wish needs a certificate of ours, and no one who stays could."""
        for binding in self._wanted:
            stored = self._stored(binding)
            if stored is not None and stored.arn == certificate.arn:
                return False
            if owner_of(binding.source) == certificate.owner and not self._is_there(binding):
                # It may be all that there is, or what takes the new material.
                return False
        return self._is_no_ones(certificate)

    def _is_no_ones(self, certificate: Certificate) -> bool:
        if not self.wish.staying:
            return True
        known = {owner_of(one.source) for _, one in self.wish.bindings()}
        known |= self._owners(self.wish.releasing)
        return certificate.owner in known - self._owners(self.wish.staying)

    def _is_there(self, binding: Binding) -> bool:
        return binding.pair is not None and self._stored(binding) is not None

    def _owners(self, names: Iterable[ObjectName]) -> frozenset[str]:
        return frozenset(
            owner_of(one.source)
            for name in names
            for one in self.wish.memory.get(name, Memory()).installed
        )

    def _concerned(self, certificate: Certificate) -> tuple[ObjectName, ...]:
        """The frontends that must be seen to serve something newer before it goes."""
        serving = [
            listener.frontend
            for listener, binding in self.wish.bindings()
            if owner_of(binding.source) == certificate.owner
        ]
        going = [
            name
            for name in sorted(self.wish.releasing)
            if certificate.owner in self._owners((name,))
        ]
        return tuple(dict.fromkeys((*serving, *going)))

    def _is_left(self, name: ObjectName) -> bool:
        """Whether something of a frontend that goes is still there."""
        memory = self.wish.memory.get(name, Memory())
        listener = _borrowing(memory.frontend_id)[0]
        for port, there in self.observed.listeners.items():
            mine = there.arn == listener or self.scope.is_frontend(there.mark, name, str(port))
            if mine and (self._is_unwanted(there) or self._keeps_ours(there)):
                return True
        owners = self._owners((name,))
        return any(
            one.owner in owners and self._is_superfluous(one)
            for one in self.observed.certificates.values()
        )

    # --- how it stands

    def _outlook(self, listener: protocol.Listener) -> Outlook:
        problems = tuple(self._problems(listener))
        there = self.observed.listeners.get(listener.port)
        tls = listener.ssl and listener.manage != "StoreOnly"
        ready = all(self._is_ready(seat) for seat in self._seats_of(listener))
        probed = tls and there is not None and there.secure and bool(self.observed.address)
        waiting = any(self._unlisted_for(one) > 0 for one in listener.bindings)
        return Outlook(
            configured=ready and not problems,
            standings=tuple(self._standings(listener)),
            frontend_id=self._frontend_id(listener),
            problems=problems,
            waits="It is looked whether an import that got no answer was done." if waiting else "",
            probe=(self.observed.address, listener.port) if probed else None,
        )

    def _seats_of(self, listener: protocol.Listener) -> Iterator[_Seat]:
        if listener.manage == "StoreOnly":
            return
        if listener.ssl:
            yield self.seats[listener.port]
        plain = plain_port_of(listener)
        if plain is not None:
            yield self.seats[plain]

    def _is_ready(self, seat: _Seat) -> bool:
        there = self.observed.listeners.get(seat.port)
        if there is None or there.secure != seat.secure:
            return False
        default = self._default(seat, there) if seat.secure else ""
        action = None if seat.maker is None else self._action(seat.maker, secure=seat.secure)
        known = seat.maker is None or isinstance(action, Problem) or action is not None
        return known and self._change(seat, there, default) is None

    def _problems(self, listener: protocol.Listener) -> Iterator[Problem]:
        for seat in self._seats_of(listener):
            secure = listener.ssl and seat.port == listener.port
            if secure != seat.secure:
                yield _problem(
                    reasons.PORT_CONFLICT,
                    f"An older frontend uses port {seat.port} with another protocol.",
                )
                continue
            hindrance = self._hindrance(seat)
            if hindrance is not None:
                yield hindrance
            elif listener.manage == "Listener" and seat.maker is not None:
                yield from self._unlike(listener, seat, seat.maker)
        yield from _unfit(listener)

    def _unlike(
        self, listener: protocol.Listener, seat: _Seat, maker: protocol.Listener
    ) -> Iterator[Problem]:
        """Settings that the port does not have, since an older frontend asks for others."""
        wanted = self._action(listener, secure=seat.secure)
        if isinstance(wanted, Problem):
            yield wanted
        elif wanted is not None and wanted != self._action(maker, secure=seat.secure):
            yield _problem(
                aws.SETTING_CONFLICT,
                f"Frontend {maker.frontend} sends the traffic of port {seat.port} elsewhere.",
            )
        if seat.secure and policy_of(listener) != policy_of(maker):
            yield _problem(
                aws.SETTING_CONFLICT,
                f"Frontend {maker.frontend} has port {seat.port} with another spec.tls.",
            )

    def _standings(self, listener: protocol.Listener) -> Iterator[Standing]:
        there = self.observed.listeners.get(listener.port)
        offered = frozenset() if there is None else there.offered
        for binding in listener.bindings:
            if not _is_asked(listener, binding):
                continue
            stored = self._stored(binding)
            arn = "" if stored is None else stored.arn
            yield Standing(
                source=binding.source,
                fingerprint=binding.fingerprint,
                provider_id=arn,
                stored=bool(arn),
                bound=bool(arn) and (listener.manage == "StoreOnly" or arn in offered),
                superseded=self._superseded(binding, offered),
            )

    def _superseded(self, binding: Binding, offered: frozenset[str]) -> frozenset[str]:
        return frozenset(
            one.leaf.fingerprint
            for one in self.observed.owned(owner_of(binding.source))
            if one.arn in offered and one.leaf is not None and not one.is_of(binding.fingerprint)
        )

    def _frontend_id(self, listener: protocol.Listener) -> str:
        remembered = self._remembered(listener.frontend)
        there = self.observed.listeners.get(listener.port)
        if listener.frontend in self._busy:
            return remembered
        if listener.manage == "StoreOnly" or there is None:
            return remembered
        if listener.manage == "Listener":
            return there.arn if self._is_ours(there) else remembered
        if _borrowing(remembered)[0] == there.arn:
            return remembered
        former = "" if self._is_of_scope(there.default) else there.default
        former = former or self._former_by_others(there.arn)
        return f"{there.arn}{_FORMER if former else ''}{former}"

    def _former_by_others(self, arn: str) -> str:
        for memory in self.wish.memory.values():
            listener, former = _borrowing(memory.frontend_id)
            if listener == arn and former:
                return former
        return ""


def hash_of(change: Change) -> str:
    """Tells changes of a port apart, for the key of their operation."""
    told = (change.protocol, change.policy, change.default, _told(change.action))
    return "|".join(one or "" for one in told)


def _told(action: Action | None) -> str:
    return "" if action is None or isinstance(action, Other) else str(action)


def _newer(one: Binding, other: Binding) -> bool:
    if one.pair is None or other.pair is None:
        return one.pair is not None
    return one.pair.leaf.not_valid_before_utc > other.pair.leaf.not_valid_before_utc


def _is_asked(listener: protocol.Listener, binding: Binding) -> bool:
    return bool(binding.hostnames) or binding.source == listener.default_certificate


def _has_ended(not_after: datetime | None, now: datetime) -> bool:
    return not_after is not None and not_after <= now


def _borrowing(frontend_id: str) -> tuple[str, str]:
    """The listener's ARN, and the default certificate that it had before."""
    listener, _, former = frontend_id.partition(_FORMER)
    return listener, former


def _unfit(listener: protocol.Listener) -> Iterator[Problem]:
    for binding in listener.bindings:
        if binding.pair is not None and not is_taken(leaf_of(binding.pair.leaf)):
            yield Problem(
                condition="ResolvedRefs",
                reason=reasons.KEY_TYPE_UNSUPPORTED,
                message=f"{binding.source} has a key that AWS does not take: RSA of 2048, 3072 "
                "or 4096 bits, and ECDSA with P-256, P-384 or P-521.",
            )


def _problem(reason: Reason, message: str) -> Problem:
    return Problem(condition="Accepted", reason=reason, message=message)
