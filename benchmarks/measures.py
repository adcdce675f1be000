"""The arithmetic of the benchmarks: rates, differences of counters, medians. Pure."""

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_REQUESTS = re.compile(r"apiserver_request_total\{(?P<labels>.*)\} (?P<value>[0-9.e+-]+)\Z")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_WRITES = frozenset({"APPLY", "PATCH", "POST", "PUT", "DELETE", "DELETECOLLECTION"})
_REVIEWS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_MIB = 2**20


class Series(NamedTuple):
    """What the API server counts requests by, as far as it matters here."""

    verb: str
    group: str
    resource: str
    subresource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """Requests that change something in etcd; Leases and Events apart."""

    objects: int = 0
    leases: int = 0
    events: int = 0


@dataclass(slots=True, kw_only=True)
class Quiet:
    """Tells from looks at a queue since when nothing is left to be done.

    `at_least` passes must have been made, and the queue seen empty twice without one in between: a
    key that a worker holds is in the queue no more.
    """

    at_least: int
    _since: float | None = None
    _passes: float = -1.0

    def look(self, at: float, *, passes: float, depth: float) -> float | None:
        """Take what was seen at the moment `at`; since when it is quiet, None while it is not."""
        before, self._passes = self._passes, passes
        if depth or passes < self.at_least:
            self._since = None
        elif self._since is None or passes != before:
            self._since = at
        else:
            return self._since
        return None


def requests(exposition: str) -> Counter[Series]:
    """`apiserver_request_total` out of the API server's metrics, summed over all other labels."""
    found: Counter[Series] = Counter()
    for line in exposition.splitlines():
        matched = _REQUESTS.match(line)
        if matched is None:
            continue
        labels = dict(_LABEL.findall(matched["labels"]))
        series = Series(*(labels.get(name, "") for name in Series._fields))
        found[series] += int(float(matched["value"]))
    return found


def writes(before: Counter[Series], after: Counter[Series]) -> Writes:
    """What was written between two readings. Reviews and tokens store nothing and do not count."""
    found: Counter[str] = Counter()
    for series, count in (after - before).items():
        if series.verb in _WRITES and _is_stored(series):
            kind = series.resource if series.resource in ("leases", "events") else "objects"
            found[kind] += count
    return Writes(objects=found["objects"], leases=found["leases"], events=found["events"])


def gets(before: Counter[Series], after: Counter[Series], resource: str) -> int:
    """How many single objects of `resource` (its plural) were read between two readings."""
    return sum(
        count
        for series, count in (after - before).items()
        if series.verb == "GET" and series.resource == resource
    )


def sample(exposition: str, name: str, **labels: str) -> float:
    """The sum of all samples called `name` that carry `labels`; 0 where there is none."""
    total = 0.0
    for line in exposition.splitlines():
        head, _, value = line.rpartition(" ")
        found, _, rest = head.partition("{")
        if found == name and labels.items() <= dict(_LABEL.findall(rest)).items():
            total += float(value)
    return total


def per_second(count: int, seconds: float) -> float:
    """A rate. Raises ValueError for a time that is none."""
    if seconds <= 0:
        raise ValueError("a rate needs a time above zero")
    return count / seconds


def per_minute(count: int, seconds: float) -> float:
    """A rate. Raises ValueError for a time that is none."""
    return per_second(count, seconds) * 60


def milliseconds_each(seconds: float, count: int) -> float:
    """`seconds` divided among `count`, in milliseconds; never below zero."""
    return max(0.0, seconds) * 1000 / count


def mib(size: int) -> float:
    """Bytes in MiB."""
    return size / _MIB


def median(values: Sequence[float]) -> float:
    """The median. Raises ValueError (StatisticsError) where there are no values."""
    return statistics.median(values)


def span(intervals: Sequence[tuple[float, float]]) -> float:
    """Seconds from the first start to the last end of several (start, end)."""
    return max(end for _, end in intervals) - min(start for start, _ in intervals)


def shares(items: int, parts: int) -> list[range]:
    """`range(items)` in `parts` pieces that differ by one at most."""
    edges = [items * part // parts for part in range(parts + 1)]
    return [range(start, end) for start, end in itertools.pairwise(edges)]


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Values with four significant digits, which is more than such measurements carry."""
    return {key: float(f"{value:.4g}") for key, value in values.items()}


def _is_stored(series: Series) -> bool:
    return series.group not in _REVIEWS and series.subresource != "token"
