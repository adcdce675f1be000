"""One OpenScaler load balancer: asks for what it offers, compares by `plan`, and does one call a time.

Where no list is offered, what the answers since the start told is all that is known beside the status
of the frontends. That reading or deletion is not offered is remembered until the next start.
"""

from __future__ import annotations

from dataclasses import replace

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import NotYet, Refused, Unavailable
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.openscaler import plan as planning
from certfront.loadbalancers.openscaler.client import Client, NotOffered
from certfront.loadbalancers.openscaler.state import Act, Delete, Facts, Observed, Order, Upload
from certfront.loadbalancers.protocol import Operation, Plan, Wish


class OpenScalerProvider:
    """See the module."""

    def __init__(self, client: Client, scope: Scope, load_balancer_id: str) -> None:
        self._client = client
        self._scope = scope
        self._id = load_balancer_id
        self._known = Observed()
        self._doubted: set[str] = set()

    async def observe(self, wish: Wish) -> Observed:  # noqa: ARG002 - of the protocol
        """One read where a list is offered, none where it is known not to be."""
        if self._known.listed is not False:
            await self._list()
        return self._known

    async def look(self, wish: Wish, observed: Observed) -> Observed:  # noqa: ARG002 - of the protocol
        """There is nothing that OpenScaler is at without being asked."""
        return await self.observe(wish)

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """What `plan.plan` says."""
        return planning.plan(wish, observed, scope=self._scope, load_balancer_id=self._id)

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """One call, and a read after it where an answer tells too little and reading is offered."""
        self._known = observed
        act = operation.act
        match act:
            case Upload():
                await self._upload(act)
            case Order():
                await self._order(act)
            case Delete():
                await self._delete(act)
        return self._known

    async def close(self) -> None:
        """Let connections go."""
        await self._client.close()

    async def _list(self) -> None:
        try:
            found = await self._client.certificates()
        except NotOffered:
            self._known = replace(self._known, listed=False)
            return
        self._known = replace(
            self._known,
            listed=True,
            certificates={one.name: one for one in found if self._scope.mark(one.name)},
            left=self._known.left.intersection(one.name for one in found),
            gone=frozenset(),
        )

    async def _upload(self, act: Upload) -> None:
        facts = await self._client.upload(act.name, act.pair)
        if facts is None:
            facts = await self._existing(act.name)
            if not facts.may_be(act.pair):
                raise Refused(
                    reasons.NAME_TAKEN,
                    f"OpenScaler has another certificate of the name {act.name}.",
                )
        elif not facts.may_be(act.pair):
            raise Refused(
                reasons.REFUSED_BY_PROVIDER,
                "OpenScaler answers with the serial number of another certificate.",
            )
        self._has(facts)

    async def _order(self, act: Order) -> None:
        try:
            if act.kind == "SelfSigned":
                facts = await self._client.order_self_signed(act.name, act.domain)
            else:
                facts = await self._client.order_public(act.name, act.domain, act.email)
        except (NotYet, Refused) as error:
            failed = {**self._known.failed, act.name: error.message}
            self._known = replace(self._known, failed=failed)
            raise
        self._has(await self._existing(act.name) if facts is None else facts)

    async def _existing(self, name: str) -> Facts:
        """What is told of a name that is taken; raises NotYet where a list does not have it yet."""
        if self._known.listed is not False:
            await self._list()
        if not self._known.listed:
            return self._known.certificates.get(name, Facts(name=name))
        if name not in self._known.certificates:
            raise NotYet(
                reasons.WAITING_FOR_PROVIDER, "OpenScaler is at work on a certificate of that name."
            )
        return self._known.certificates[name]

    async def _delete(self, act: Delete) -> None:
        if self._known.deletes is False:
            self._leave(act.name)
            return
        try:
            await self._client.delete(act.name)
        except Unavailable:
            self._doubted.add(act.name)
            raise
        except NotOffered:
            if await self._is_absent(act):
                self._lose(act.name)
                return
            if act.name not in self._doubted:
                self._known = replace(self._known, deletes=False)
            self._leave(act.name)
        else:
            self._known = replace(self._known, deletes=True)
            self._lose(act.name)

    async def _is_absent(self, act: Delete) -> bool:
        """Whether a 404 is about the certificate: a call that is not offered is answered alike."""
        if self._known.listed:
            await self._list()
            return act.name not in self._known.certificates
        return self._known.deletes is True or not act.certain

    def _lose(self, name: str) -> None:
        known = self._known
        self._known = replace(
            known,
            certificates={k: facts for k, facts in known.certificates.items() if k != name},
            # A list says itself what is gone.
            gone=known.gone if known.listed else known.gone | {name},
            left=known.left - {name},
        )

    def _has(self, facts: Facts) -> None:
        known = self._known
        self._known = replace(
            known,
            certificates={**known.certificates, facts.name: facts},
            gone=known.gone - {facts.name},
            left=known.left - {facts.name},
            failed={k: said for k, said in known.failed.items() if k != facts.name},
        )

    def _leave(self, name: str) -> None:
        """It may be there or not, as far as answers tell; a list knows better."""
        known = self._known
        rest = {k: facts for k, facts in known.certificates.items() if k != name}
        self._known = replace(
            known,
            certificates=known.certificates if known.listed else rest,
            left=known.left | {name},
        )
