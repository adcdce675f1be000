"""What the status of frontends remembers of certificates at OpenScaler, and how it is written there.

OpenScaler documents no list, so this is what keeps a restart from doing things twice. Beside what
`status.installed` has, `status.frontendID` holds the load balancer and a word for each certificate that
may still be there: `<name>=<fingerprint>`, `<name>?<fingerprint>` where it is not known whether it ever
came to be, and `<name>@<begin>-<end>` (seconds since 1970; no end where it is unknown) for one that
OpenScaler issued. `plan` reads and writes it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import CertificateSource, Memory

MOST_REMEMBERED: Final = 12
"""Words of `status.frontendID`, which has room for 2048 characters: the newest are kept."""

_WORD: Final = re.compile(
    r"(?P<name>[a-z0-9-]{1,64})"
    r"(?:(?P<mark>[=?])(?P<fingerprint>[0-9A-Za-z]{0,64})|@(?P<begin>\d{1,12})-(?P<end>\d{0,12}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A certificate that is or may be at OpenScaler. `begin` and `end` are of one that it issued."""

    name: str
    fingerprint: str = ""
    certain: bool = True
    begin: datetime | None = None
    end: datetime | None = None

    def word(self) -> str:
        """As `status.frontendID` has it."""
        if self.begin is not None:
            end = "" if self.end is None else str(int(self.end.timestamp()))
            return f"{self.name}@{int(self.begin.timestamp())}-{end}"
        plain = self.fingerprint.replace(":", "")
        return f"{self.name}{'=' if self.certain else '?'}{plain}"


def remembered(memory: Memory, scope: Scope) -> dict[str, Holding]:
    """Everything of one frontend, by name, oldest first; what is not of our scope is passed over."""
    found: dict[str, Holding] = {}
    for one in (*_words(memory.frontend_id), *_installed(memory, scope)):
        if scope.mark(one.name) is None:
            continue
        before = found.get(one.name)
        if before is None or not before.certain:
            found[one.name] = one
    return found


def text(load_balancer_id: str, holdings: Iterable[Holding]) -> str:
    """The value of `status.frontendID`; never empty, since an empty one would leave the former."""
    words = [one.word() for one in holdings][-MOST_REMEMBERED:]
    return " ".join((load_balancer_id, *words))


def name_now(memory: Memory, source: CertificateSource) -> str:
    """The name at OpenScaler by which `status.installed` has a certificate, "" where it has none."""
    for one in memory.installed:
        if one.source == source and one.provider_id:
            return one.provider_id
    return ""


def _words(value: str) -> Iterator[Holding]:
    for word in value.split(" ")[1:]:
        read = _WORD.fullmatch(word)
        if read is None:
            continue
        if read["mark"]:
            certain = read["mark"] == "="
            yield Holding(name=read["name"], fingerprint=read["fingerprint"], certain=certain)
        else:
            begin, end = _moment(read["begin"]), _moment(read["end"])
            yield Holding(name=read["name"], begin=begin, end=end)


def _moment(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def _installed(memory: Memory, scope: Scope) -> Iterator[Holding]:
    for one in memory.installed:
        if one.provider_id:
            yield Holding(name=one.provider_id, fingerprint=one.fingerprint)
        elif one.fingerprint:
            name = scope.certificate_name(one.source, one.fingerprint)
            yield Holding(name=name, fingerprint=one.fingerprint, certain=False)
