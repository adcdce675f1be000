"""What is to be done on a classic load balancer: a pure comparison of wish and observation.

A listener offers one certificate and leads to one instance port, so frontends on a port share both;
the oldest decides. Order: upload, mark the port, make or switch the listener, and only when nothing
observed refers to an old certificate any more, delete it.

A listener is certfront's by a mark on the load balancer (its tag `certfront:listener:<port>`), which
is set before the listener is made; where the tag was lost, by what the frontend's status remembers.
On a listener made elsewhere (`CertificatesOnly`) the certificate that was found there first is
remembered in the frontend's id, and put back at the end if it is still there and valid: that is the
state before certfront came. Otherwise a listener would be left without certificate, so nothing is
done, and it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from certfront.loadbalancers import protocol, reasons
from certfront.loadbalancers.aws import reasons as aws
from certfront.loadbalancers.aws.classic.state import (
    Act,
    Bind,
    Claim,
    Listen,
    Listener,
    Observed,
    Read,
    Remove,
    ServerCertificate,
    Unclaim,
    Unlisten,
    Upload,
)
from certfront.loadbalancers.aws.material import ends_with, is_sendable, is_taken, leaf_of
from certfront.loadbalancers.identity import Scope, owner_of, same_fingerprint
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

TAG: Final = "certfront:listener:"
"""The beginning of the tags by which ports are marked."""

_MADE: Final = "listener/"
_BOUND: Final = "certificate/"
_FORMER: Final = " was "
_STORED: Final = "store"
_SOON: Final = 60.0
_CURED_AT_AWS: Final = frozenset(
    {reasons.LISTENER_EXISTS, reasons.LISTENER_NOT_FOUND, aws.LISTENER_FIXED}
)


def plan(scope: Scope, wish: Wish, observed: Observed) -> Plan[Act]:
    """What may be done now, and how every frontend stands."""
    return _Planning(scope=scope, wish=wish, observed=observed).plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """A port that wishes are about, oldest first. `maker` is the oldest that owns the listener.

    `chosen` is the certificate that the listener is to offer; None where there is none yet.
    """

    port: int
    listeners: tuple[protocol.Listener, ...]
    maker: protocol.Listener | None
    chosen: Binding | None

    @property
    def about(self) -> tuple[ObjectName, ...]:
        return tuple(one.frontend for one in self.listeners)


@dataclass(frozen=True, kw_only=True)
class _Planning:
    scope: Scope
    wish: Wish
    observed: Observed
    notices: list[Notice] = field(default_factory=list)

    def plan(self) -> Plan[Act]:
        operations: dict[str, Operation[Act]] = {}
        for operation in (*self._uploads(), *self._ports(), *self._removals()):
            operations.setdefault(operation.key, operation)
        outlooks = {one.frontend: self._outlook(one) for one in self.wish.listeners}
        found = [problem.reason for one in outlooks.values() for problem in one.problems]
        quota = self.observed.quota
        return Plan(
            operations=tuple(operations.values()),
            outlooks=outlooks,
            left=frozenset(name for name in self.wish.releasing if self._is_left(name)),
            look_again=_SOON if _CURED_AT_AWS.intersection(found) else None,
            limits={} if quota is None else {"serverCertificates": quota},
            notices=tuple(self.notices),
        )

    # --- what is wanted

    @cached_property
    def seats(self) -> dict[int, _Seat]:
        """The ports that are to speak TLS."""
        by_port: dict[int, list[protocol.Listener]] = {}
        for listener in self.wish.listeners:
            if listener.ssl and listener.manage != "StoreOnly":
                by_port.setdefault(listener.port, []).append(listener)
        return {port: self._seat(port, found) for port, found in by_port.items()}

    def _seat(self, port: int, listeners: list[protocol.Listener]) -> _Seat:
        return _Seat(
            port=port,
            listeners=tuple(listeners),
            maker=next((one for one in listeners if one.manage == "Listener"), None),
            chosen=self._choice(listeners),
        )

    def _choice(self, listeners: list[protocol.Listener]) -> Binding | None:
        """The default certificate, the load balancer's own namespace first, else the first."""
        home = self.scope.load_balancer.namespace
        usable = [
            (listener, one)
            for listener in listeners
            for one in listener.bindings
            if self._is_usable(one)
        ]
        asked = [
            (listener.frontend.namespace != home, position, one)
            for position, (listener, one) in enumerate(usable)
            if one.source == listener.default_certificate
        ]
        if asked:
            return min(asked, key=lambda one: one[:2])[2]
        return usable[0][1] if usable else None

    def _is_usable(self, binding: Binding) -> bool:
        return is_sendable(binding, self.wish.now) or self._stored(binding) is not None

    @cached_property
    def plain(self) -> dict[int, protocol.Listener]:
        """The ports that are to speak plain HTTP or TCP, with the frontend that decides."""
        found: dict[int, protocol.Listener] = {}
        for listener in self.wish.listeners:
            port = _plain_port(listener)
            if port is not None:
                found.setdefault(port, listener)
        return found

    # --- what is there

    @cached_property
    def ours(self) -> dict[str, ServerCertificate]:
        """Certificates of this scope by ARN."""
        return {
            arn: one
            for arn, one in self.observed.certificates.items()
            if (mark := self.scope.mark(one.name)) is not None and mark.fingerprint
        }

    def _stored(self, binding: Binding) -> ServerCertificate | None:
        return self.observed.find(binding.fingerprint, self.ours)

    def _is_ours(self, port: int) -> bool:
        """Whether the listener of the port was made by us, or handed over."""
        if self.scope.mark(self.observed.owners.get(port, "")) is not None:
            return True
        listener = self.observed.listeners.get(port)
        remembered = any(one.frontend_id == f"{_MADE}{port}" for one in self.wish.memory.values())
        return remembered and listener is not None and listener.certificate in self.ours

    def _wanted(self, listener: protocol.Listener, port: int, *, secure: bool) -> Listener | None:
        """The listener that a frontend asks for, without its certificate."""
        settings = listener.classic
        if settings is None:
            return None
        application = settings.instance_protocol in ("HTTP", "HTTPS")
        layer = ("HTTPS", "HTTP") if application else ("SSL", "TCP")
        return Listener(
            port=port,
            protocol=layer[0] if secure else layer[1],
            instance_port=settings.instance_port,
            instance_protocol=settings.instance_protocol,
        )

    # --- operations

    def _uploads(self) -> Iterator[Operation[Act]]:
        for seat in self.seats.values():
            if seat.chosen is not None and self._hindrance(seat) is None:
                yield from self._upload(seat.chosen, seat.about)
        for listener in self.wish.listeners:
            if listener.manage == "StoreOnly":
                for binding in listener.bindings:
                    yield from self._upload(binding, (listener.frontend,))

    def _upload(self, binding: Binding, about: tuple[ObjectName, ...]) -> Iterator[Operation[Act]]:
        if binding.pair is None or not is_sendable(binding, self.wish.now) or self._stored(binding):
            return
        unread = self._unread(binding)
        if unread is not None:
            read = Read(name=unread.name)
            yield Operation(key=f"read:{unread.arn}", act=read, step="Uploading", about=about)
            return
        name = self.scope.certificate_name(binding.source, binding.fingerprint)
        act = Upload(
            name=name,
            fingerprint=binding.fingerprint,
            tags=self._tags(binding.source),
            pair=binding.pair,
        )
        yield Operation(key=f"upload:{name}", act=act, step="Uploading", about=about)

    def _unread(self, binding: Binding) -> ServerCertificate | None:
        """A certificate that may be the one itself, which would be uploaded a second time."""
        for one in self.observed.certificates.values():
            if one.leaf is None and ends_with(one.expires, binding.not_after):
                return one
        return None

    def _tags(self, source: CertificateSource) -> dict[str, str]:
        return {
            "certfront:scope": self.scope.digits,
            "certfront:source": f"{source.kind}/{source.namespace}/{source.name}"[:256],
        }

    def _ports(self) -> Iterator[Operation[Act]]:
        for seat in self.seats.values():
            if self._hindrance(seat) is None:
                yield from self._port(seat)
        for port, listener in self.plain.items():
            wanted = self._wanted(listener, port, secure=False)
            if wanted is not None and self._foreign(port, listener) is None:
                yield from self._listening(wanted, listener, (listener.frontend,))

    def _hindrance(self, seat: _Seat) -> Problem | None:
        """What keeps everything from being done on the port."""
        listener = self.observed.listeners.get(seat.port)
        if seat.maker is None:
            if listener is None or not listener.secure:
                return _problem(
                    reasons.LISTENER_NOT_FOUND,
                    f"The load balancer has no listener of protocol HTTPS or SSL on port {seat.port}.",
                )
            return None
        if seat.maker.classic is None:
            return _problem(
                aws.INSTANCE_PORT_REQUIRED,
                "Set spec.awsClassic.instancePort, the port of the instances.",
                stalled=True,
            )
        return self._foreign(seat.port, seat.maker)

    def _foreign(self, port: int, maker: protocol.Listener) -> Problem | None:
        if port not in self.observed.listeners or maker.adopt or self._is_ours(port):
            return None
        return _problem(
            reasons.LISTENER_EXISTS,
            f"The load balancer has a listener on port {port} that certfront did not make.",
        )

    def _port(self, seat: _Seat) -> Iterator[Operation[Act]]:
        stored = None if seat.chosen is None else self._stored(seat.chosen)
        if stored is None:
            return
        wanted = None if seat.maker is None else self._wanted(seat.maker, seat.port, secure=True)
        if seat.maker is not None and wanted is not None:
            made = replace(wanted, certificate=stored.arn)
            yield from self._listening(made, seat.maker, seat.about)
        listener = self.observed.listeners.get(seat.port)
        if seat.maker is None and any(name in self._busy for name in seat.about):
            # What this port had before can be remembered once another has got back what it had.
            return
        if listener is not None and listener.secure and listener.certificate != stored.arn:
            bind = self._bind(seat.port, stored.arn, seat.about)
            yield bind if seat.maker is not None else replace(bind, claims=self._note(seat))

    @cached_property
    def _busy(self) -> frozenset[ObjectName]:
        """Frontends that have a listener to give back what it had."""
        return frozenset(name for _, name, former in self._borrowed() if former is not None)

    def _note(self, seat: _Seat) -> tuple[ObjectName, CertificateSource, str] | None:
        """What a status must say before a listener made elsewhere loses what it had before."""
        for listener in seat.listeners:
            memory = self.wish.memory.get(listener.frontend, Memory())
            if _borrowing(memory.frontend_id)[0] == seat.port:
                return None
        for listener in seat.listeners:
            for binding in listener.bindings:
                if seat.chosen is not None and binding.source == seat.chosen.source:
                    return listener.frontend, binding.source, binding.fingerprint
        return None

    def _listening(
        self, wanted: Listener, maker: protocol.Listener, about: tuple[ObjectName, ...]
    ) -> Iterator[Operation[Act]]:
        """Mark the port, then make the listener; one that is there is only marked."""
        port = wanted.port
        if self.scope.mark(self.observed.owners.get(port, "")) is None:
            mark = self.scope.frontend_name(maker.frontend, str(port))
            yield Operation(
                key=f"claim:{port}",
                act=Claim(port=port, mark=mark, frontend=maker.frontend),
                step="Applying",
                about=about,
            )
        elif port not in self.observed.listeners:
            yield Operation(
                key=f"listen:{port}:{wanted.certificate}",
                act=Listen(listener=wanted),
                step="Applying",
                about=about,
            )

    def _bind(self, port: int, arn: str, about: tuple[ObjectName, ...]) -> Operation[Act]:
        act = Bind(port=port, certificate=arn)
        return Operation(key=f"bind:{port}:{arn}", act=act, step="Binding", about=about)

    # --- what goes

    def _removals(self) -> Iterator[Operation[Act]]:
        if not self.wish.complete:
            return
        for port in sorted(self.observed.listeners.keys() | self.observed.owners.keys()):
            if self._is_unwanted(port):
                yield from self._taking_off(port)
        for port, name, former in self._borrowed():
            if former is None:
                self._tell_left(port)
            else:
                yield self._bind(port, former, (name,))
        bound = self.observed.bound()
        for arn, certificate in self.ours.items():
            if arn not in bound and self._is_superfluous(certificate):
                yield Operation(
                    key=f"remove:{arn}",
                    act=Remove(arn=arn, name=certificate.name),
                    step="Deleting",
                    about=self._concerned(certificate),
                    removes=True,
                )

    def _taking_off(self, port: int) -> Iterator[Operation[Act]]:
        mark = self.observed.owners.get(port, "")
        asking = [one.frontend for one in self.wish.listeners]
        about = tuple(
            name
            for name in (*asking, *sorted(self.wish.releasing))
            if self.scope.is_frontend(mark, name, str(port))
            or self._remembered(name) == f"{_MADE}{port}"
        )
        if port in self.observed.listeners:
            act: Act = Unlisten(port=port)
            yield Operation(
                key=f"unlisten:{port}", act=act, step="Deleting", about=about, removes=True
            )
        else:
            act = Unclaim(port=port)
            yield Operation(key=f"unclaim:{port}", act=act, step="Deleting", about=about)

    def _is_unwanted(self, port: int) -> bool:
        """Whether the listener of the port is ours and no one's any more."""
        if port in self.seats or port in self.plain or not self._is_ours(port):
            return False
        mark = self.observed.owners.get(port, "")
        return not any(
            self.scope.is_frontend(mark, name, str(port))
            or self._remembered(name) == f"{_MADE}{port}"
            for name in self.wish.staying
        )

    def _borrowed(self) -> Iterator[tuple[int, ObjectName, str | None]]:
        """Listeners made elsewhere that still offer ours for a frontend that has no use for them.

        With the certificate that each is to be given back, None where that cannot be.
        """
        asking = [one.frontend for one in self.wish.listeners]
        for name in (*asking, *sorted(self.wish.releasing)):
            port, former = _borrowing(self._remembered(name))
            if self._is_lent(port) and port not in self.seats and not self._is_held(port):
                yield port, name, former if self._is_good(former) else None

    def _is_lent(self, port: int) -> bool:
        """Whether a listener made elsewhere offers a certificate of ours."""
        there = self.observed.listeners.get(port)
        return there is not None and there.certificate in self.ours and not self._is_ours(port)

    def _is_held(self, port: int) -> bool:
        return any(_borrowing(self._remembered(name))[0] == port for name in self.wish.staying)

    def _remembered(self, name: ObjectName) -> str:
        return self.wish.memory.get(name, Memory()).frontend_id

    def _is_good(self, arn: str) -> bool:
        """Whether a listener may be given the certificate it had before."""
        known = self.observed.certificates.get(arn)
        if known is not None:
            return known.expires > self.wish.now and arn not in self.ours
        return ":acm:" in arn

    def _tell_left(self, port: int) -> None:
        self.notices.append(
            Notice(
                reason=aws.LEFT_BOUND,
                message=f"The listener on port {port} keeps certfront's certificate.",
            )
        )

    def _is_superfluous(self, certificate: ServerCertificate) -> bool:
        """Whether no wish needs a certificate of ours, and no one who stays could."""
        mark = self.scope.mark(certificate.name)
        if mark is None:
            return False
        for listener, binding in self.wish.bindings():
            needed = self._is_chosen(listener, binding)
            if needed and certificate.is_of(binding.fingerprint):
                return False
            if owner_of(binding.source) == mark.owner and needed and not self._is_there(binding):
                # Nothing newer is there, so the old one may be all that there is.
                return False
        if not self.wish.staying:
            return True
        known = {owner_of(binding.source) for _, binding in self.wish.bindings()}
        known |= {owner_of(source) for source in self._sources(self.wish.releasing)}
        kept = {owner_of(source) for source in self._sources(self.wish.staying)}
        return mark.owner in known - kept

    def _is_there(self, binding: Binding) -> bool:
        return binding.pair is not None and self._stored(binding) is not None

    def _is_chosen(self, listener: protocol.Listener, binding: Binding) -> bool:
        if listener.manage == "StoreOnly":
            return True
        seat = self.seats.get(listener.port) if listener.ssl else None
        chosen = None if seat is None else seat.chosen
        if chosen is None:
            # Nothing can be offered yet, so whatever is there of it may be needed.
            return True
        return chosen.source == binding.source or same_fingerprint(
            chosen.fingerprint, binding.fingerprint
        )

    def _sources(self, names: Iterable[ObjectName]) -> Iterator[CertificateSource]:
        for name in names:
            for one in self.wish.memory.get(name, Memory()).installed:
                yield one.source

    def _concerned(self, certificate: ServerCertificate) -> tuple[ObjectName, ...]:
        """The frontends that must be seen to serve something newer before it goes."""
        mark = self.scope.mark(certificate.name)
        owner = "" if mark is None else mark.owner
        serving = [
            listener.frontend
            for listener, binding in self.wish.bindings()
            if owner_of(binding.source) == owner
        ]
        going = [
            name
            for name in sorted(self.wish.releasing)
            if owner in {owner_of(source) for source in self._sources((name,))}
        ]
        return tuple(dict.fromkeys((*serving, *going)))

    def _is_left(self, name: ObjectName) -> bool:
        """Whether something of a frontend that goes is still there."""
        memory = self.wish.memory.get(name, Memory())
        for port, owner in self.observed.owners.items():
            mine = self.scope.is_frontend(owner, name, str(port))
            if self._is_unwanted(port) and (mine or memory.frontend_id == f"{_MADE}{port}"):
                return True
        if any(one == name for _, one, _ in self._borrowed()):
            return True
        owners = {owner_of(one.source) for one in memory.installed}
        return any(
            (mark := self.scope.mark(one.name)) is not None
            and mark.owner in owners
            and self._is_superfluous(one)
            for one in self.ours.values()
        )

    # --- how it stands

    def _outlook(self, listener: protocol.Listener) -> Outlook:
        problems = tuple(self._problems(listener))
        port = self.observed.listeners.get(listener.port)
        tls = listener.ssl and listener.manage != "StoreOnly"
        ready = port is not None and port.secure if tls else True
        return Outlook(
            configured=ready and not problems and self._is_plain_done(listener),
            standings=tuple(self._standings(listener)),
            frontend_id=self._frontend_id(listener),
            problems=problems,
            notices=tuple(self._told(listener)),
            waits="" if ready else "The listener is made with its first certificate.",
            probe=(self.observed.address, listener.port)
            if tls and ready and self.observed.address
            else None,
        )

    def _problems(self, listener: protocol.Listener) -> Iterator[Problem]:
        seat = self.seats.get(listener.port) if listener.ssl else None
        if seat is not None and listener.manage != "StoreOnly":
            hindrance = self._hindrance(seat)
            if hindrance is not None:
                yield hindrance
                return
            yield from self._unlike(listener, seat.maker, listener.port, secure=True)
            yield from self._not_chosen(listener, seat)
        plain = _plain_port(listener)
        if plain is not None:
            if listener.classic is None:
                yield _problem(
                    aws.INSTANCE_PORT_REQUIRED,
                    "Set spec.awsClassic.instancePort, the port of the instances.",
                    stalled=True,
                )
                return
            hindrance = self._foreign(plain, listener)
            if hindrance is not None:
                yield hindrance
            else:
                yield from self._unlike(listener, self.plain[plain], plain, secure=False)
        yield from self._unfit(listener)

    def _unlike(
        self,
        listener: protocol.Listener,
        maker: protocol.Listener | None,
        port: int,
        *,
        secure: bool,
    ) -> Iterator[Problem]:
        """Settings that the port does not have and cannot get."""
        if listener.manage != "Listener" or maker is None:
            return
        wanted = self._wanted(listener, port, secure=secure)
        decided = self._wanted(maker, port, secure=secure)
        if wanted is None or decided is None:
            yield _problem(
                aws.INSTANCE_PORT_REQUIRED,
                "Set spec.awsClassic.instancePort, the port of the instances.",
                stalled=True,
            )
        elif wanted != decided:
            yield _problem(
                aws.SETTING_CONFLICT,
                f"Frontend {maker.frontend} has port {port} with another spec.awsClassic.",
            )
        else:
            there = self.observed.listeners.get(port)
            if there is not None and not there.leads_as(wanted):
                yield _problem(
                    aws.LISTENER_FIXED,
                    f"The listener on port {port} is {there.protocol} to {there.instance_protocol} "
                    f"port {there.instance_port} of the instances; AWS does not change that.",
                )

    def _not_chosen(self, listener: protocol.Listener, seat: _Seat) -> Iterator[Problem]:
        others = [
            str(one.source)
            for one in listener.bindings
            if one.hostnames and not self._is_chosen(listener, one)
        ]
        if others and seat.chosen is not None:
            yield _problem(
                aws.ONE_CERTIFICATE_ONLY,
                f"Port {seat.port} offers {seat.chosen.source} and cannot offer "
                f"{', '.join(others[:5])} too.",
            )

    def _unfit(self, listener: protocol.Listener) -> Iterator[Problem]:
        for binding in listener.bindings:
            if binding.pair is not None and not is_taken(leaf_of(binding.pair.leaf)):
                yield Problem(
                    condition="ResolvedRefs",
                    reason=reasons.KEY_TYPE_UNSUPPORTED,
                    message=f"{binding.source} has a key that AWS does not take: RSA of 2048, 3072 "
                    "or 4096 bits, and ECDSA with P-256, P-384 or P-521.",
                )

    def _told(self, listener: protocol.Listener) -> Iterator[Notice]:
        port = listener.http_port
        if listener.redirect_status is None or listener.manage != "Listener" or port is None:
            return
        there = self.observed.listeners.get(port)
        if there is not None and not there.secure and not self._is_ours(port):
            yield Notice(
                reason=aws.PLAIN_LISTENER_ELSEWHERE,
                message=f"A listener on port {port} that certfront did not make answers plain HTTP.",
            )

    def _is_plain_done(self, listener: protocol.Listener) -> bool:
        port = _plain_port(listener)
        if port is not None:
            return port in self.observed.listeners
        if listener.redirect_status is None or listener.http_port is None:
            return True
        there = self.observed.listeners.get(listener.http_port)
        ours = there is not None and not there.secure and self._is_ours(listener.http_port)
        return not ours or listener.http_port in self.plain

    def _standings(self, listener: protocol.Listener) -> Iterator[Standing]:
        port = self.observed.listeners.get(listener.port)
        offered = "" if port is None else port.certificate
        for binding in listener.bindings:
            if not binding.hostnames and binding.source != listener.default_certificate:
                continue
            stored = self._stored(binding)
            arn = "" if stored is None else stored.arn
            yield Standing(
                source=binding.source,
                fingerprint=binding.fingerprint,
                provider_id=arn,
                stored=bool(arn),
                bound=bool(arn) and (listener.manage == "StoreOnly" or offered == arn),
                superseded=self._superseded(binding),
            )

    def _superseded(self, binding: Binding) -> frozenset[str]:
        owner = owner_of(binding.source)
        return frozenset(
            one.leaf.fingerprint
            for one in self.ours.values()
            if one.leaf is not None
            and not one.is_of(binding.fingerprint)
            and (mark := self.scope.mark(one.name)) is not None
            and mark.owner == owner
        )

    def _former_of(self, port: int) -> str:
        """What another frontend of the port remembers."""
        for memory in self.wish.memory.values():
            other, former = _borrowing(memory.frontend_id)
            if other == port and former:
                return former
        return ""

    def _frontend_id(self, listener: protocol.Listener) -> str:
        remembered = self._remembered(listener.frontend)
        if listener.frontend in self._busy:
            return remembered
        if listener.manage == "StoreOnly":
            return _STORED
        if listener.manage == "Listener":
            return f"{_MADE}{listener.port}" if self._is_ours(listener.port) else remembered
        port, former = _borrowing(remembered)
        there = self.observed.listeners.get(listener.port)
        if port == listener.port:
            return remembered
        former = "" if there is None or there.certificate in self.ours else there.certificate
        former = former or self._former_of(listener.port)
        return f"{_BOUND}{listener.port}{_FORMER if former else ''}{former}"


def _plain_port(listener: protocol.Listener) -> int | None:
    """The port that is to speak plainly; none where only HTTPS is asked for."""
    if listener.manage != "Listener":
        return None
    if not listener.ssl:
        return listener.port
    return None if listener.redirect_status is not None else listener.http_port


def _borrowing(frontend_id: str) -> tuple[int, str]:
    """The port of a listener made elsewhere (0 for none), and the certificate it had before."""
    if not frontend_id.startswith(_BOUND):
        return 0, ""
    port, _, former = frontend_id.removeprefix(_BOUND).partition(_FORMER)
    return (int(port) if port.isdecimal() and len(port) < 6 else 0), former


def _problem(reason: Reason, message: str, *, stalled: bool = False) -> Problem:
    return Problem(condition="Accepted", reason=reason, message=message, stalled=stalled)
