"""How one frontend stands at its provider: what `target` tells the frontends' reconciler. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from certfront.loadbalancers.errors import (
    NotYet,
    ProviderError,
    Refused,
    Throttled,
    Unavailable,
)
from certfront.loadbalancers.protocol import CertificateSource, Listener, Outlook
from certfront.model.reasons import Reason

PASSING: Final = (Unavailable, Throttled, NotYet)
"""Errors that say nothing about what was asked for: the same is right later."""

Claim = tuple[CertificateSource, str, datetime | None]
"""A certificate, its fingerprint, and since when an older claim does not count (None: it counts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why nothing goes on.

    `stalled` where only the object's own spec or bytes could cure it; `passing` where it is asked again
    within moments.
    """

    reason: Reason
    message: str
    stalled: bool = False
    passing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a handshake showed for one certificate.

    `wanted` is the fingerprint that was looked for, `address` where; `ok` whether it was seen, or one
    that it may be confused with while both are offered.
    """

    wanted: str
    address: str
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """`listener` is what the outlook is about; `step` what is being done for it now, "" if nothing.

    `trouble` is what keeps the next step from being done. `proofs` has what was tried.
    """

    listener: Listener
    outlook: Outlook
    step: str = ""
    trouble: Trouble | None = None
    proofs: Mapping[CertificateSource, Proof] = field(default_factory=dict)
    probed: bool = False
    """Whether there is an address at which handshakes can be tried."""
    claims: tuple[Claim, ...] = ()
    """What is about to be created: the status has to say so before."""


def trouble_of(error: ProviderError) -> Trouble:
    """What an error means to those who wait."""
    return Trouble(
        reason=error.reason,
        message=error.message,
        stalled=isinstance(error, Refused) and error.stalled,
        passing=isinstance(error, PASSING),
    )
