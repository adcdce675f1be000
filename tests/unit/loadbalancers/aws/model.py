"""AWS in memory: what the clients ask of it, strict where a mistake would hurt.

A certificate that a listener offers cannot be deleted, and a listener cannot be given one that is not
there: both raise AssertionError, since certfront must never try.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from certfront.loadbalancers.aws.application import state as alb
from certfront.loadbalancers.aws.application.client import Balancer, Summary
from certfront.loadbalancers.aws.classic import state as elb
from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.material import Leaf, Parts, leaf_of_pem
from certfront.loadbalancers.reasons import REFUSED_BY_PROVIDER
from tests.contract.driver import SteppedTime


@dataclass(kw_only=True)
class ClassicModel:
    """One classic load balancer, and IAM."""

    time: SteppedTime
    listeners: dict[int, elb.Listener] = field(default_factory=dict)
    balancer_tags: dict[str, str] = field(default_factory=dict)
    stored: dict[str, elb.ServerCertificate] = field(default_factory=dict)
    counter: itertools.count[int] = field(default_factory=itertools.count)

    def put(self, name: str, leaf: Leaf) -> elb.ServerCertificate:
        assert leaf.not_after is not None
        made = elb.ServerCertificate(
            name=name,
            arn=f"arn:aws:iam::1:server-certificate/{name}",
            id=f"ASCA{next(self.counter)}",
            uploaded=self.time.now(),
            expires=leaf.not_after,
            leaf=leaf,
        )
        self.stored[name] = made
        return made

    async def load_balancer(self) -> tuple[str, dict[int, elb.Listener]]:
        return "classic.example", dict(self.listeners)

    async def tags(self) -> dict[str, str]:
        return dict(self.balancer_tags)

    async def add_tag(self, key: str, value: str) -> None:
        self.balancer_tags[key] = value

    async def remove_tag(self, key: str) -> None:
        self.balancer_tags.pop(key, None)

    async def create_listener(self, listener: elb.Listener) -> None:
        assert listener.port not in self.listeners
        self._check(listener.certificate)
        self.listeners[listener.port] = listener

    async def set_certificate(self, port: int, arn: str) -> None:
        assert self.listeners[port].secure
        self._check(arn)
        self.listeners[port] = replace(self.listeners[port], certificate=arn)

    async def delete_listener(self, port: int) -> None:
        self.listeners.pop(port, None)

    async def certificates(self) -> list[elb.ServerCertificate]:
        return [replace(one, leaf=None) for one in self.stored.values()]

    async def certificate(self, name: str) -> elb.ServerCertificate | None:
        return self.stored.get(name)

    async def upload(
        self,
        name: str,
        parts: Parts,
        tags: Mapping[str, str],  # noqa: ARG002 -- as the client has it
    ) -> elb.ServerCertificate:
        if name in self.stored:
            raise Rejected("EntityAlreadyExists", REFUSED_BY_PROVIDER, "it is there")
        return self.put(name, leaf_of_pem(parts.body))

    async def delete(self, name: str) -> None:
        arn = self.stored[name].arn
        assert arn not in {one.certificate for one in self.listeners.values()}, "in use"
        del self.stored[name]

    async def quota(self) -> int | None:
        return 20

    async def close(self) -> None:
        """Nothing is open."""

    def _check(self, arn: str) -> None:
        assert not arn or arn in {one.arn for one in self.stored.values()}, "unknown certificate"


@dataclass(kw_only=True)
class ApplicationModel:
    """One application load balancer, and ACM."""

    time: SteppedTime
    groups: tuple[str, ...] = ("web", "api")
    listeners_by_arn: dict[str, alb.Listener] = field(default_factory=dict)
    listener_tags: dict[str, dict[str, str]] = field(default_factory=dict)
    stored: dict[str, tuple[Summary, Leaf, dict[str, str]]] = field(default_factory=dict)
    counter: itertools.count[int] = field(default_factory=itertools.count)

    def put(self, leaf: Leaf, tags: Mapping[str, str], arn: str = "") -> str:
        arn = arn or f"arn:aws:acm:us-east-1:1:certificate/{next(self.counter)}"
        self.stored[arn] = (
            Summary(
                certificate_arn=arn,
                type="IMPORTED",
                not_after=leaf.not_after,
                imported_at=self.time.now(),
            ),
            leaf,
            dict(tags),
        )
        return arn

    def offered(self) -> set[str]:
        return {arn for one in self.listeners_by_arn.values() for arn in one.offered}

    def at(self, port: int) -> alb.Listener | None:
        return next((one for one in self.listeners_by_arn.values() if one.port == port), None)

    async def load_balancer(self) -> Balancer:
        return Balancer(load_balancer_arn="arn:lb", dns_name="alb.example")

    async def listeners(self, balancer: str) -> list[alb.Listener]:  # noqa: ARG002 -- there is one
        return [replace(one, others=frozenset(), mark="") for one in self.listeners_by_arn.values()]

    async def others(self, listener: str) -> frozenset[str]:
        return self.listeners_by_arn[listener].others

    async def tags(self, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        return {arn: self.listener_tags.get(arn, {}) for arn in arns}

    async def add_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        self.listener_tags[arn] = {**self.listener_tags.get(arn, {}), **tags}

    async def target_group(self, name: str) -> str:
        return f"arn:group/{name}" if name in self.groups else ""

    async def create_listener(
        self,
        balancer: str,  # noqa: ARG002 -- there is one
        listener: alb.Listener,
        tags: Mapping[str, str],
    ) -> alb.Listener:
        assert self.at(listener.port) is None
        self._check(listener.default)
        made = replace(listener, arn=f"arn:listener/{next(self.counter)}", mark="")
        self.listeners_by_arn[made.arn] = made
        self.listener_tags[made.arn] = dict(tags)
        return made

    async def modify_listener(self, arn: str, change: alb.Change) -> alb.Listener:
        there = self.listeners_by_arn[arn]
        told = {
            name: value
            for name in ("protocol", "policy", "default", "action")
            if (value := getattr(change, name)) is not None
        }
        self._check(str(told.get("default", "")))
        self.listeners_by_arn[arn] = replace(there, **told)
        return replace(self.listeners_by_arn[arn], others=frozenset())

    async def delete_listener(self, arn: str) -> None:
        del self.listeners_by_arn[arn]

    async def attach(self, listener: str, certificate: str) -> None:
        self._check(certificate)
        there = self.listeners_by_arn[listener]
        self.listeners_by_arn[listener] = replace(there, others=there.others | {certificate})

    async def detach(self, listener: str, certificate: str) -> None:
        there = self.listeners_by_arn[listener]
        assert certificate in there.others
        others = alb.without(there.others, certificate)
        self.listeners_by_arn[listener] = replace(there, others=others)

    async def certificates(self) -> list[Summary]:
        return [summary for summary, _, _ in self.stored.values()]

    async def certificate_tags(self, arn: str) -> dict[str, str] | None:
        return self.stored[arn][2] if arn in self.stored else None

    async def leaf(self, arn: str) -> Leaf | None:
        return self.stored[arn][1] if arn in self.stored else None

    async def import_certificate(self, parts: Parts, *, arn: str, tags: Mapping[str, str]) -> str:
        leaf = leaf_of_pem(parts.body)
        if not arn:
            return self.put(leaf, tags)
        _, old, kept = self.stored[arn]
        assert old.key_algorithm == leaf.key_algorithm, "another key type under the same ARN"
        assert old.fingerprint != leaf.fingerprint, "imported twice"
        return self.put(leaf, kept, arn)

    async def delete_certificate(self, arn: str) -> None:
        assert arn not in self.offered(), "in use"
        del self.stored[arn]

    async def close(self) -> None:
        """Nothing is open."""

    def _check(self, arn: str) -> None:
        assert not arn or arn in self.stored, "unknown certificate"
