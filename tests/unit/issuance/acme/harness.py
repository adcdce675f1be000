"""What a reconciler does for an order, in memory: status with one writer, Secrets, challenges."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives import serialization

from certfront.issuance.acme.driver import (
    Blocked,
    Completed,
    Continue,
    Failed,
    Obtained,
    OrderDriver,
    OrderRequest,
    Outcome,
)
from certfront.issuance.acme.order import Attempt, Pending, Presentation, View
from certfront.model.clock import Clock
from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.pki import issue, keys
from certfront.pki.chain import verify_issued


class Killed(BaseException):
    """The process ends here."""


def request_for(*names: str, **more: object) -> OrderRequest:
    """An order request with real keys and CSRs."""
    return OrderRequest(
        dns_names=names,
        make_key=lambda: keys.to_pem(keys.generate(KeyAlgorithm.ECDSA, None), KeyEncoding.PKCS8),
        make_csr=lambda pem: issue.csr(names, None, keys.from_pem(pem)),
        **more,  # type: ignore[arg-type]  # the caller names fields of OrderRequest
    )


def public_key_of(pem: bytes) -> bytes:
    """The public half, for comparing."""
    key = serialization.load_pem_private_key(pem, password=None)
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass
class Reconciler:
    """Status and Secrets that survive a kill; counts writes; may be killed at any of them."""

    names: tuple[str, ...]
    clock: Clock
    need: str = "need"
    attempt: Attempt | None = None
    failed_attempts: int = 0
    pending: dict[str, Pending] = field(default_factory=dict)
    presented_tokens: dict[str, Attempt] = field(default_factory=dict)
    stored_chain: bytes | None = None
    stored_key: bytes | None = None
    status_writes: list[str] = field(default_factory=list)
    secret_writes: list[str] = field(default_factory=list)
    presentation: Callable[[], Presentation] = lambda: Presentation.READY
    keep_key: bool = False
    kill_at: int | None = None
    effects: int = 0
    done: bool = False

    def effect(self) -> None:
        """Called around every write: the process may die right after, or right before, it."""
        self.effects += 1
        if self.kill_at is not None and self.effects == self.kill_at:
            self.kill_at = None
            raise Killed

    # OrderPorts

    async def pending_key(self, attempt_id: str) -> Pending | None:
        return self.pending.get(attempt_id)

    async def store_pending_key(self, attempt_id: str, key_pem: bytes, order_url: str) -> Pending:
        self.effect()
        if attempt_id not in self.pending:
            self.pending[attempt_id] = Pending(
                key_pem=key_pem, order_url=order_url, created_at=self.clock.now()
            )
            self.secret_writes.append("pending")
        self.effect()
        return self.pending[attempt_id]

    async def present(self, attempt: Attempt) -> None:
        assert self.attempt is not None
        assert self.attempt.authorizations == attempt.authorizations, "tokens first, then answers"
        self.effect()
        self.presented_tokens[attempt.id] = attempt
        self.effect()

    async def presented(self, attempt: Attempt) -> Presentation:
        if attempt.id not in self.presented_tokens:
            return Presentation.ABSENT
        return self.presentation()

    async def sweep(self) -> None:
        """Remove what every attempt but the present one has left behind."""
        current = self.attempt.id if self.attempt is not None else None
        for attempt_id in [name for name in self.pending if name != current]:
            self.effect()
            del self.pending[attempt_id]
            self.secret_writes.append("pending deleted")
        for attempt_id in [name for name in self.presented_tokens if name != current]:
            del self.presented_tokens[attempt_id]

    # Reconciling

    def view(self, holder: str) -> View:
        return View(
            now=self.clock.now(),
            holder=holder,
            need=self.need,
            number=self.failed_attempts + 1,
            attempt=self.attempt,
            failed_attempts=self.failed_attempts,
            secret_has_need=self.stored_chain is not None,
            keep_key=self.keep_key,
        )

    async def step(self, driver: OrderDriver, request: OrderRequest, holder: str) -> Outcome:
        """One reconcile: advance, then write what it says."""
        outcome = await driver.advance(self.view(holder), request, self)
        self.effect()
        await self._apply(outcome)
        self.effect()
        return outcome

    async def _apply(self, outcome: Outcome) -> None:
        match outcome:
            case Continue(attempt=Attempt() as attempt, step=step):
                self.attempt = attempt
                self.status_writes.append(step)
            case Obtained():
                key = keys.from_pem(outcome.key_pem)
                verify_issued(
                    outcome.chain_pem,
                    key,
                    self.names,
                    self.clock.now(),
                    encoding=KeyEncoding.PKCS8,
                )
                self.stored_chain, self.stored_key = outcome.chain_pem, outcome.key_pem
                self.secret_writes.append("tls")
            case Failed():
                self.failed_attempts += 1
                self.attempt = None
                self.status_writes.append(outcome.reason)
                await self.sweep()
            case Completed():
                self.attempt = None
                self.status_writes.append("done")
                self.effect()
                await self.sweep()
                self.done = True
            case _:
                pass

    async def run(
        self,
        driver: OrderDriver,
        request: OrderRequest,
        *,
        holder: str = "one",
        until: type[object] | tuple[type[object], ...] = (Completed, Failed, Blocked),
        wait: Callable[[float], object] | None = None,
    ) -> Outcome:
        """Step until one of these outcomes, waiting as told (or as `wait` does)."""
        for _ in range(500):
            outcome = await self.step(driver, request, holder)
            if isinstance(outcome, until):
                return outcome
            seconds = getattr(outcome, "wait_seconds", 0.0)
            if wait is not None:
                wait(seconds)
            elif seconds:
                await asyncio.sleep(seconds)
        raise AssertionError("no end in 500 steps")


def at(text: str) -> datetime:
    """An aware moment."""
    return datetime.fromisoformat(text)
