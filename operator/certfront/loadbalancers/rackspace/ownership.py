"""What of a load balancer is ours: nothing at Rackspace carries a mark, so it is remembered. Pure.

A place is `termination` or the id of a mapping. The status of a frontend remembers, for every
certificate, the places where it was put (`providerID`, by spaces), and in `frontendID` whether the
termination was made for the frontend, and mappings that are still to be removed. A claim, written
before something is made, makes ours what a lost answer left behind. What is exactly as a frontend
wants it is taken for ours, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from certfront.loadbalancers.identity import same_fingerprint
from certfront.loadbalancers.protocol import (
    CertificateSource,
    Listener,
    Memory,
    Wish,
)
from certfront.loadbalancers.rackspace.state import TERMINATION, Mapping, Observed
from certfront.model.meta import ObjectName

_MADE: Final = "ssltermination"


def frontend_id(*, made: bool, leftover: Iterable[str] = ()) -> str:
    """What a frontend remembers beside its certificates: a termination, and what is yet to go."""
    return " ".join((*((_MADE,) if made else ()), *leftover))


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who put what where, as the status of frontends and the wish of now tell."""

    wish: Wish
    observed: Observed

    def owners(self, mapping: Mapping) -> frozenset[ObjectName]:
        """The frontends for which a mapping was made; none where it is someone else's."""
        return frozenset(
            frontend
            for frontend, memory in self.wish.memory.items()
            if mapping.id in _places(memory) or mapping.fingerprint in _claimed(memory)
        )

    def makers(self) -> frozenset[ObjectName]:
        """The frontends for which the termination was made."""
        termination = self.observed.termination
        if termination is None:
            return frozenset()
        return frozenset(
            frontend
            for frontend, memory in self.wish.memory.items()
            if _MADE in memory.frontend_id.split() or termination.fingerprint in _claimed(memory)
        )

    def is_made(self) -> bool:
        """Whether the termination is ours: made, claimed, or just what a listener of ours wants."""
        termination = self.observed.termination
        if termination is None:
            return False
        return bool(self.makers()) or any(
            listener.manage == "Listener"
            and listener.port == termination.port
            and same_fingerprint(binding.fingerprint, termination.fingerprint)
            for listener, binding in self.wish.bindings()
        )

    def at_termination(self) -> frozenset[tuple[ObjectName, CertificateSource]]:
        """Whose certificate, and which, was put into the termination: this or an older version of it.

        What is remembered is outdated where another certificate that is wanted is there now.
        """
        held = self.observed.at(TERMINATION)
        seen = {
            binding.source
            for _, binding in self.wish.bindings()
            if same_fingerprint(binding.fingerprint, held)
        }
        return frozenset(
            (frontend, one.source)
            for frontend, memory in self.wish.memory.items()
            for one in memory.installed
            if held and TERMINATION in one.provider_id.split()
            if not seen - {one.source}
        )

    def remembered(self, listener: Listener, source: CertificateSource) -> tuple[str, ...]:
        """The places where a certificate of a frontend was put and that are still there."""
        memory = self.wish.memory.get(listener.frontend, Memory())
        found = dict.fromkeys(
            place
            for one in memory.installed
            if one.source == source
            for place in one.provider_id.split()
        )
        return tuple(place for place in found if self._is_there(place))

    def places(self, frontend: ObjectName) -> tuple[str, ...]:
        """All mappings that were made for a frontend and are still there, by id."""
        memory = self.wish.memory.get(frontend, Memory())
        known = _places(memory)
        return tuple(one.id for one in self.observed.mappings if one.id in known)

    def _is_there(self, place: str) -> bool:
        if place == TERMINATION:
            return self.observed.termination is not None
        return any(one.id == place for one in self.observed.mappings)


def mappings_of(wish: Wish) -> frozenset[str]:
    """The ids of all mappings that are remembered."""
    return frozenset(place for memory in wish.memory.values() for place in _places(memory))


def _places(memory: Memory) -> frozenset[str]:
    told = [memory.frontend_id, *(one.provider_id for one in memory.installed)]
    found = {place for text in told for place in text.split()}
    return frozenset(found - {TERMINATION, _MADE})


def _claimed(memory: Memory) -> frozenset[str]:
    """Fingerprints of what was to be made, and was never seen to be there."""
    return frozenset(one.fingerprint for one in memory.installed if not one.provider_id) - {""}
