"""What a node should serve now: pure, from what is offered, what was accepted and what is on disk.

Whatever cannot be read, is missing, or is outside its validity leaves what is served as it is. Only
a manifest takes something away: a frontend that is released is told so by one first, and one whose
Secret vanished without that is served on, behind all others. Used by `reconcile`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from certfront.agent.bundles import Bundle, refused_for_dates
from certfront.agent.inbox import Offers
from certfront.agent.state import State
from certfront.loadbalancers.haproxy.handover import Challenge, Challenges, Manifest
from certfront.loadbalancers.haproxy.merging import Entry
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.clock import CLOCK_TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Entries and bundles to serve, open challenges, and what is offered but not taken.

    `look_again` is when time alone changes the choice.
    """

    entries: tuple[Entry, ...]
    bundles: Mapping[str, Bundle]
    challenges: Mapping[str, Challenges]
    failed: tuple[Failed, ...]
    look_again: datetime | None = None

    def open_challenges(self) -> tuple[Challenge, ...]:
        """All challenges that are to be answered."""
        return tuple(one for held in self.challenges.values() for one in held.challenges)


def choose(
    state: State,
    offers: Offers,
    on_disk: Mapping[str, Bundle],
    refused: Mapping[tuple[str, str], Failed],
    now: datetime,
) -> Choice:
    """`refused` are the bundles that HAProxy did not take, by name and digest."""
    entries = _entries(state, offers)
    bundles: dict[str, Bundle] = {}
    failed = list(offers.unreadable.values())
    times: list[datetime] = []
    for name in _needed(entries):
        offered, held = offers.bundles.get(name), on_disk.get(name)
        problem = _problem(name, offered, held, refused, now)
        taken = held if problem is not None or offered is None else offered
        if taken is not None:
            bundles[name] = taken
        elif problem is None and name not in offers.unreadable:
            problem = Failed(secret=name, reason="BundleMissing", message="the Secret is not there")
        if problem is not None:
            failed.append(problem)
        if offered is not None and offered.not_before > now + CLOCK_TOLERANCE:
            times.append(offered.not_before - CLOCK_TOLERANCE)
    reserve = dict(on_disk) | bundles
    retained = tuple(
        _retaining(one, state.manifests.get(one.secret), bundles, reserve) for one in entries
    )
    return Choice(
        entries=retained,
        bundles={name: reserve[name] for name in _needed(retained) if name in reserve},
        challenges=_challenges(state, offers),
        failed=tuple(failed),
        look_again=min(times, default=None),
    )


def _entries(state: State, offers: Offers) -> tuple[Entry, ...]:
    """The newest readable version of every manifest, and those whose Secrets have vanished."""
    entries = [Entry(secret=name, manifest=held) for name, held in offers.manifests.items()]
    for name, accepted in state.manifests.items():
        if name in offers.manifests:
            continue
        if not offers.resource_version:
            present = name not in state.vanished
            entries.append(Entry(secret=name, manifest=accepted, present=present))
        elif name in offers.secrets:
            entries.append(Entry(secret=name, manifest=accepted))
        elif not accepted.disabled:
            entries.append(Entry(secret=name, manifest=accepted, present=False))
    return tuple(entries)


def _retaining(
    entry: Entry,
    accepted: Manifest | None,
    bundles: Mapping[str, Bundle],
    reserve: Mapping[str, Bundle],
) -> Entry:
    """The entry, with the certificates of before for names whose new ones are not at hand yet."""
    wanted = entry.manifest
    if accepted is None or wanted.disabled:
        return entry
    covered = {
        name for one in wanted.certificates if one.bundle in bundles for name in one.hostnames
    }
    bound = {name for one in wanted.certificates for name in one.hostnames}
    bare = bound - covered
    kept = tuple(
        msgspec.structs.replace(one, hostnames=names)
        for one in accepted.certificates
        if one.bundle in reserve and (names := tuple(n for n in one.hostnames if n in bare))
    )
    default = wanted.default_bundle
    if default is not None and default not in bundles and accepted.default_bundle in reserve:
        default = accepted.default_bundle
    if not kept and default == wanted.default_bundle:
        return entry
    manifest = msgspec.structs.replace(
        wanted, certificates=(*wanted.certificates, *kept), default_bundle=default
    )
    return Entry(secret=entry.secret, manifest=manifest, present=entry.present)


def _needed(entries: Iterable[Entry]) -> tuple[str, ...]:
    names = (name for one in entries if not one.manifest.disabled for name in one.manifest.bundles)
    return tuple(dict.fromkeys(names))


def _problem(
    name: str,
    offered: Bundle | None,
    held: Bundle | None,
    refused: Mapping[tuple[str, str], Failed],
    now: datetime,
) -> Failed | None:
    """Why the offered pair is not taken. One that is on disk already stays, expired or not."""
    if offered is None or (held is not None and held.digest == offered.digest):
        return None
    outside = refused_for_dates(offered, now)
    if outside is not None:
        return Failed(secret=name, reason=outside.reason, message=outside.message)
    return refused.get((name, offered.digest))


def _challenges(state: State, offers: Offers) -> dict[str, Challenges]:
    if not offers.resource_version:
        return dict(state.challenges)
    unreadable = {
        name: held for name, held in state.challenges.items() if name in offers.unreadable
    }
    return unreadable | dict(offers.challenges)
