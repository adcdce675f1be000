"""The reconciler of Issuers: a CA's key pair is read and judged, an ACME account is registered."""

from datetime import datetime, timedelta

import msgspec

from certfront.engine.keys import Key
from certfront.engine.results import Result
from certfront.engine.store import Object
from certfront.kube.resources import ISSUERS
from certfront.model.conditions import Condition, merged, with_page
from certfront.model.errors import CertfrontError, Refused, Waiting
from certfront.model.issuer import Issuer, IssuerStatus
from certfront.model.meta import InvalidObject, parse
from certfront.model.times import to_text
from certfront.pki import facts
from certfront.reconcilers import authorities, statuses, unreadable
from certfront.reconcilers.accounts import Accounts
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.transitions import announce_ready

RETRY = timedelta(minutes=1)
_LATER = ("dns01", "dns_persist01")


class IssuerReconciler:
    """Tells in status whether an Issuer can issue, and prepares what it needs to."""

    def __init__(self, context: Context, accounts: Accounts) -> None:
        self._context = context
        self._accounts = accounts

    async def reconcile(self, key: Key) -> Result:
        """One pass over one Issuer."""
        obj = await self._context.known(ISSUERS, key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            await self._accounts.forget(key.namespace, key.name)
            return Result()
        try:
            issuer = parse(Issuer, obj)
        except InvalidObject as error:
            return await self._unreadable(obj, error)
        try:
            _check_supported(issuer)
            facts_found, after = await self._prepare(issuer)
        except CertfrontError as error:
            return await self._report_trouble(obj, issuer, error)
        return await self._report(obj, issuer, facts_found, _ready(), after)

    async def _prepare(self, issuer: Issuer) -> tuple[IssuerStatus, timedelta | None]:
        if issuer.spec.type == "ACME":
            account = await self._accounts.open(issuer)
            status = IssuerStatus(
                account_url=account.url,
                directory_url=issuer.spec.acme.directory_url if issuer.spec.acme else "",
            )
            return status, None
        authority, watched = await authorities.authority_of(self._context, issuer)
        found = facts.read(authority.certificate, size=0)
        _check_dates(found.not_before, found.not_after, self._context.clock.now())
        status = IssuerStatus(fingerprint=found.fingerprint, not_after=to_text(found.not_after))
        expiry = found.not_after - self._context.clock.now()
        return status, expiry if watched else min(expiry, POLL_UNLABELLED)

    async def _report(
        self,
        obj: Object,
        issuer: Issuer,
        found: IssuerStatus,
        conditions: tuple[Condition, ...],
        after: timedelta | None,
    ) -> Result:
        generation = issuer.metadata.generation
        before = issuer.status
        status = msgspec.structs.replace(
            found,
            observed_generation=generation,
            conditions=merged(
                before.conditions, conditions, generation=generation, now=self._context.clock.now()
            ),
        )
        await self._write(obj, before, status)
        return Result(after=after)

    async def _write(self, obj: Object, before: IssuerStatus, status: IssuerStatus) -> None:
        if await statuses.write(self._context, ISSUERS, obj, status):
            await announce_ready(
                self._context, obj, before.conditions, status.conditions, action="Reconcile"
            )

    async def _report_trouble(self, obj: Object, issuer: Issuer, error: CertfrontError) -> Result:
        """Not ready: Stalled where only the spec can cure it, else tried again."""
        page = f"{self._context.settings.documentation_url}/{error.reason}"
        message = with_page(error.message, page)
        kind = "Stalled" if isinstance(error, Refused) else "Reconciling"
        conditions = (
            Condition(type="Ready", status="False", reason=error.reason, message=message),
            Condition(type=kind, status="True", reason=error.reason, message=message),
        )
        asked = error.after_seconds if isinstance(error, Waiting) else None
        after = timedelta(seconds=asked) if asked else RETRY
        return await self._report(obj, issuer, issuer.status, conditions, after)

    async def _unreadable(self, obj: Object, error: InvalidObject) -> Result:
        before, status = unreadable.status_of(IssuerStatus, obj, error, self._context)
        await self._write(obj, before, status)
        return Result()


def _ready() -> tuple[Condition, ...]:
    return (Condition(type="Ready", status="True", reason="Ready", message="It can issue."),)


def _check_supported(issuer: Issuer) -> None:
    """Refuse, with UnsupportedField, what this version does not do."""
    acme = issuer.spec.acme
    if acme is None:
        return
    later = [
        name for solver in acme.solvers for name in _LATER if getattr(solver, name) is not None
    ]
    selected = any(solver.selector is not None for solver in acme.solvers)
    named = {
        "spec.acme.solvers[].dns01 and dnsPersist01": bool(later),
        "spec.acme.solvers[].selector": selected,
        "spec.acme.preferredChain": bool(acme.preferred_chain),
    }
    for field, used in named.items():
        if used:
            raise Refused(
                "UnsupportedField", f"{field} is not supported by this version. Remove it."
            )


def _check_dates(not_before: datetime, not_after: datetime, now: datetime) -> None:
    if now >= not_after:
        raise Waiting(
            "AuthorityExpired", f"The CA's certificate expired at {to_text(not_after)}. Replace it."
        )
    if now < not_before:
        raise Waiting(
            "AuthorityNotYetValid", f"The CA's certificate is valid from {to_text(not_before)}."
        )
