"""How far a load balancer is with what a frontend wants of it, whatever its type. Values.

Made by the deliveries (`nodes`, `remote`); `report` makes conditions of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from certfront.loadbalancers import reasons
from certfront.loadbalancers.problems import Problem
from certfront.loadbalancers.protocol import Binding, CertificateSource, Notice, ProviderTask
from certfront.model.reasons import Reason

State = Literal["Served", "Unprobed", "Pending", "Short", "Failed"]
_WORST_FIRST: tuple[State, ...] = ("Failed", "Short", "Pending", "Unprobed", "Served")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The listener, or one certificate of it.

    `Unprobed` is there and applied, and nobody can look whether it is served. `Pending` will go on by
    itself, `Short` is served by too few nodes, `Failed` is what somebody should look at. Where it is
    neither Served nor Unprobed, `reason` and `message` say why; `wrong` where a person may have to look
    although it is pending; `page` is the page that says more, if it is not that of the reason.
    """

    state: State
    reason: Reason = reasons.SERVED
    message: str = ""
    stalled: bool = False
    wrong: bool = False
    page: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ("Served", "Unprobed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installing:
    """One certificate of the listener, and how far it is.

    `there`: whether the load balancer has it; None where nobody can tell now. `superseded` are the
    fingerprints of its former versions that are there still.
    """

    binding: Binding
    part: Part
    fingerprint: str
    provider_id: str = ""
    there: bool | None = True
    superseded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The listener as a whole, and each certificate that is bound.

    `where` names who serves it, for people (`3 of 3 nodes`, `OVH`); `down` who should and does not.
    `poll` is when to look again if nobody tells of news;
    `patience` is for how long a Ready frontend may follow a renewal before that is told as a failure.
    `claims` are certificates (with their fingerprint) that the status has to name before they are made,
    and since when an older claim does not count.
    """

    configuration: Part
    certificates: tuple[Installing, ...] = ()
    where: str = ""
    down: str = ""
    patience: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(seconds=5)
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    task: ProviderTask | None = None
    frontend_id: str = ""
    claims: tuple[tuple[CertificateSource, str, datetime | None], ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.configuration.good and all(one.part.good for one in self.certificates)

    @property
    def worst(self) -> Part:
        """The part that decides: a failure before a shortage before waiting."""
        parts = (self.configuration, *(one.part for one in self.certificates))
        return min(parts, key=lambda part: _WORST_FIRST.index(part.state))
