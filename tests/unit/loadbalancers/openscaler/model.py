"""OpenScaler in memory, behind the methods of `client.Client`; the provider above it is the real one."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import NotYet, Unavailable
from certfront.loadbalancers.openscaler.client import NotOffered
from certfront.loadbalancers.openscaler.provider import OpenScalerProvider
from certfront.loadbalancers.openscaler.state import Facts
from certfront.loadbalancers.protocol import Installation, Memory, Plan
from certfront.pki.pair import KeyPair
from tests.contract.driver import Driver, SteppedTime
from tests.unit.loadbalancers.openscaler.builders import BALANCER, SCOPE


class StatusDriver(Driver):
    """Remembers as the status of a frontend does: one entry a certificate, as its standing is now."""

    def _remember(self, plan: Plan[Any]) -> None:
        for of, outlook in plan.outlooks.items():
            self.memory[of] = Memory(
                frontend_id=outlook.frontend_id,
                installed=tuple(
                    Installation(
                        source=one.source, fingerprint=one.fingerprint, provider_id=one.provider_id
                    )
                    for one in outlook.standings
                ),
            )


class OpenScaler:
    """One load balancer. `lose` is the number of answers that are lost from now on."""

    def __init__(self, time: SteppedTime, *, listing: bool = False, deletion: bool = False) -> None:
        self.time = time
        self.listing = listing
        self.deletion = deletion
        self.there: dict[str, Facts] = {}
        self.calls: Counter[str] = Counter()
        self.created: list[str] = []
        self.lose = 0
        self.refuses: set[str] = set()

    def provider(self) -> OpenScalerProvider:
        """A provider as after a start: it knows nothing."""
        return OpenScalerProvider(self, SCOPE, BALANCER)  # type: ignore[arg-type]  # has its methods

    async def upload(self, name: str, pair: KeyPair) -> Facts | None:
        leaf = pair.leaf
        return self._create(
            Facts(
                name=name,
                serial=f"{leaf.serial_number:X}",
                not_before=leaf.not_valid_before_utc,
                not_after=leaf.not_valid_after_utc,
            )
        )

    async def order_public(self, name: str, domain: str, email: str) -> Facts | None:
        assert email
        if domain in self.refuses:
            self.calls["POST"] += 1
            raise NotYet(reasons.MANAGED_ORDER_FAILED, "It points elsewhere.", retry_after=1800)
        return self._create(self._issued(name, domain, 90))

    async def order_self_signed(self, name: str, domain: str) -> Facts | None:
        return self._create(self._issued(name, domain, 365))

    async def certificates(self) -> tuple[Facts, ...]:
        self.calls["GET"] += 1
        if not self.listing:
            raise NotOffered
        return tuple(self.there.values())

    async def delete(self, name: str) -> None:
        self.calls["DELETE"] += 1
        if not self.deletion or name not in self.there:
            raise NotOffered
        del self.there[name]
        self._answer()

    async def close(self) -> None:
        """Nothing is open."""

    def _issued(self, name: str, domain: str, days: int) -> Facts:
        now = self.time.now().replace(microsecond=0)
        return Facts(
            name=name,
            common_name=domain,
            domains=(domain,),
            issuers="CN=Model",
            not_before=now,
            not_after=now + timedelta(days=days),
            serial="0A:0B",
        )

    def _create(self, facts: Facts) -> Facts | None:
        self.calls["POST"] += 1
        if facts.name in self.there:
            self._answer()
            return None
        self.there[facts.name] = facts
        self.created.append(facts.name)
        self._answer()
        return facts

    def _answer(self) -> None:
        if self.lose:
            self.lose -= 1
            raise Unavailable(reasons.PROVIDER_UNAVAILABLE, "No answer.")
