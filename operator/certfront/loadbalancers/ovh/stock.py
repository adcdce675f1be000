"""Which certificate of the service is which of ours: found by fingerprint, else by the mark in its name.

OVH does not document the form of `fingerprint`; SHA-256 and SHA-1 are told apart by their length.
Pure; used by `plan`, `places` and `orders`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes

from certfront.loadbalancers.identity import Mark, Scope, same_fingerprint
from certfront.loadbalancers.ovh.client import Ssl
from certfront.loadbalancers.protocol import Binding, Listener, Wish

BUILT: Final = frozenset({"built", "built_not_routed"})
"""The types of certificates that OVH issues, keeps and renews."""

_SHA256_DIGITS: Final = 64
_SHA1_DIGITS: Final = 40


@dataclass(frozen=True, slots=True)
class Stock:
    """The certificates of a service, by what they are found with."""

    scope: Scope
    certificates: Mapping[int, Ssl]
    marks: Mapping[int, Mark]
    by_fingerprint: Mapping[str, tuple[int, ...]]
    by_mark: Mapping[tuple[str, str], tuple[int, ...]]
    by_names: Mapping[frozenset[str], tuple[int, ...]]
    by_name: Mapping[str, tuple[int, ...]]
    has_sha1: bool

    @classmethod
    def of(cls, certificates: Mapping[int, Ssl], scope: Scope) -> Stock:
        """Sort the certificates once, for many questions."""
        by_fingerprint: dict[str, list[int]] = defaultdict(list)
        by_mark: dict[tuple[str, str], list[int]] = defaultdict(list)
        by_names: dict[frozenset[str], list[int]] = defaultdict(list)
        by_name: dict[str, list[int]] = defaultdict(list)
        marks: dict[int, Mark] = {}
        for ssl_id, ssl in sorted(certificates.items()):
            by_fingerprint[plain(ssl.fingerprint)].append(ssl_id)
            mark = scope.mark(ssl.display_name or "")
            if mark is not None:
                marks[ssl_id] = mark
                by_mark[mark.owner, mark.fingerprint].append(ssl_id)
            names = names_of(ssl)
            by_names[names].append(ssl_id)
            for name in names:
                by_name[name].append(ssl_id)
        return cls(
            scope,
            certificates,
            marks,
            _tuples(by_fingerprint),
            _tuples(by_mark),
            _tuples(by_names),
            _tuples(by_name),
            any(len(one) == _SHA1_DIGITS for one in by_fingerprint),
        )

    def is_ours(self, ssl_id: int) -> bool:
        """Whether its name has the mark of this scope for a certificate."""
        mark = self.marks.get(ssl_id)
        return mark is not None and bool(mark.fingerprint)

    def owner(self, ssl_id: int) -> str:
        """The owner's digits in its mark; "" where it has none."""
        mark = self.marks.get(ssl_id)
        return mark.owner if mark is not None else ""

    def holding(self, binding: Binding) -> Ssl | None:
        """What is stored of a binding that is not managed: ours before what else is the same."""
        found = self._same(binding)
        if not found:
            return None
        return self.certificates[min(found, key=lambda one: (not self.is_ours(one), one))]

    def issued(self, names: frozenset[str]) -> Ssl | None:
        """OVH's own certificate for exactly these names; the one that lasts longest."""
        found = [
            self.certificates[one]
            for one in self.by_names.get(names, ())
            if self.certificates[one].type in BUILT
        ]
        if not found:
            return None
        return max(found, key=lambda ssl: (ssl.expire_date is not None, ssl.expire_date, -ssl.id))

    def alike(self, ssl: Ssl, known: Mapping[str, str]) -> frozenset[str]:
        """Fingerprints of other certificates that share a name with it, in our spelling.

        OVH offers all certificates to all TLS frontends, so it may answer with any of them. `known`
        are SHA-256 fingerprints by provider id, for where OVH tells another digest.
        """
        others = {one for name in names_of(ssl) for one in self.by_name[name]} - {ssl.id}
        return frozenset(
            known.get(str(one)) or spelled(self.certificates[one].fingerprint) for one in others
        )

    def _same(self, binding: Binding) -> tuple[int, ...]:
        digits = plain(binding.fingerprint)
        if not digits:
            return ()
        exact = self.by_fingerprint.get(digits, ())
        if exact:
            return exact
        if self.has_sha1 and binding.pair is not None:
            sha1 = binding.pair.leaf.fingerprint(hashes.SHA1()).hex()  # noqa: S303
            found = self.by_fingerprint.get(sha1, ())
            if found:
                return found
        mark = self.scope.mark(self.scope.certificate_name(binding.source, binding.fingerprint))
        key = (mark.owner, mark.fingerprint) if mark is not None else ("", "")
        return tuple(one for one in self.by_mark.get(key, ()) if self._may_be(one, digits))

    def _may_be(self, ssl_id: int, digits: str) -> bool:
        """Whether the fingerprint that OVH tells does not say that it is another certificate."""
        told = plain(self.certificates[ssl_id].fingerprint)
        return len(told) != _SHA256_DIGITS or told == digits


def names_of(ssl: Ssl) -> frozenset[str]:
    """The names that it is valid for, in lower case."""
    return frozenset(name.lower() for name in ssl.san)


def plain(fingerprint: str) -> str:
    """A fingerprint without colons, in lower case."""
    return fingerprint.replace(":", "").replace(" ", "").lower()


def spelled(fingerprint: str) -> str:
    """A fingerprint as certfront writes it: upper-case hex with colons."""
    digits = plain(fingerprint).upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def fingerprints_remembered(wish: Wish) -> Mapping[str, str]:
    """The fingerprints that status remembers, by provider id, over all frontends."""
    return {
        one.provider_id: one.fingerprint
        for memory in wish.memory.values()
        for one in memory.installed
        if one.provider_id and one.fingerprint
    }


def is_default_of(listener: Listener, binding: Binding) -> bool:
    """Whether it is the certificate for handshakes that name nothing known."""
    return listener.default_certificate == binding.source


def remembered(ssl: Ssl, fingerprint: str, provider_id: str) -> bool:
    """Whether an installation that status remembers is this certificate."""
    return provider_id == str(ssl.id) or same_fingerprint(ssl.fingerprint, fingerprint)


def _tuples(found: Mapping) -> Mapping:  # type: ignore[type-arg]  # any key, kept as it is
    return {key: tuple(values) for key, values in found.items()}
