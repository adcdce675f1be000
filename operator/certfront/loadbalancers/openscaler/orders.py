"""Certificates that OpenScaler issues: under which name each is ordered, and when the next is due.

A name has six digits of what is asked for and six of what went before it, so an order whose answer was
lost is found by its name, and a renewal has a name of its own. OpenScaler documents no renewal: the
next one is ordered here. Used by `plan`. Pure.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.openscaler.holdings import Holding
from certfront.loadbalancers.openscaler.reasons import EMAIL_REQUIRED, ONE_NAME_ONLY
from certfront.loadbalancers.openscaler.state import Facts
from certfront.loadbalancers.protocol import CertificateSource, ManagedCertificate, Notice

WITHOUT_KNOWN_END: Final = timedelta(days=60)
"""After so long a certificate is replaced whose end was never told: two thirds of Let's Encrypt's 90."""

_DIGITS: Final = 6


def name_of(scope: Scope, source: CertificateSource, wanted: ManagedCertificate, after: str) -> str:
    """The name of the order that follows `after`: a name, or what makes the first one different."""
    return scope.certificate_name(source, _asked(wanted) + _digits(after))


def is_for(scope: Scope, name: str, wanted: ManagedCertificate) -> bool:
    """Whether the certificate of that name was ordered for the same kind and domain."""
    mark = scope.mark(name)
    return mark is not None and mark.fingerprint[:_DIGITS] == _asked(wanted)


def is_due(holding: Holding, now: datetime) -> bool:
    """Whether the next one is to be ordered: a third of its life is left."""
    if holding.begin is None:
        return False
    life = WITHOUT_KNOWN_END if holding.end is None else (holding.end - holding.begin) * 2 / 3
    return now >= holding.begin + life


def with_times(holding: Holding, facts: Facts | None, now: datetime) -> Holding:
    """With its begin and end as they are told, else as remembered, else as of today."""
    if facts is not None and facts.not_before is not None:
        return Holding(name=holding.name, begin=facts.not_before, end=facts.not_after)
    if holding.begin is not None:
        return holding
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Holding(name=holding.name, begin=today)


def obstacle(wanted: ManagedCertificate) -> Notice | None:
    """Why OpenScaler cannot issue it as it is asked for."""
    if len(wanted.names) != 1:
        return Notice(
            reason=ONE_NAME_ONLY,
            message=f"OpenScaler issues certificates of one name; {len(wanted.names)} are asked for. "
            "Make one Certificate for each.",
        )
    if wanted.kind == "Public" and not wanted.email:
        return Notice(
            reason=EMAIL_REQUIRED,
            message="OpenScaler asks for an address: set spec.managed.email of the Certificate.",
        )
    return None


def failure(said: str) -> Notice:
    """What stands in the status of a Certificate whose order was refused."""
    return Notice(reason=reasons.MANAGED_ORDER_FAILED, message=said)


def _asked(wanted: ManagedCertificate) -> str:
    return _digits("|".join((wanted.kind, *wanted.names[:1])))


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
