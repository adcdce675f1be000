"""What was measured: for machines (build/bench.json) and, as a table, for people."""

from pathlib import Path

import msgspec
import rich.box
from rich.table import Table


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of build/bench.json; `more` holds what is not compared between runs."""

    n: int
    drain_per_second: float
    live_per_second: float
    ceiling_per_second: float
    drain_ratio: float
    cpu_ms_per_certificate: float
    writes_per_certificate: float
    rss_mib: float
    cold_start_seconds: float
    cold_start_writes: int
    rest_writes_per_minute: float
    served_seconds_self_signed: float
    served_seconds_acme: float
    more: dict[str, float] = {}


_ROWS = (
    ("drain_per_second", "backlog drained, certificates a second", ""),
    ("ceiling_per_second", "bare clients making the same writes, certificates a second", ""),
    ("drain_ratio", "drain to ceiling", "0.75 or more"),
    ("live_per_second", "from first apply to all Ready, certificates a second", ""),
    ("cpu_ms_per_certificate", "processor time of the operator for each, ms", ""),
    ("writes_per_certificate", "API writes for each, Leases apart", "2.0"),
    ("rss_mib", "resident memory of the operator, MiB", "120 + 0.0195 n"),
    ("cold_start_seconds", "cold start over converged certificates, s", ""),
    ("cold_start_writes", "API writes of a cold start, Leases apart", "0"),
    ("rest_writes_per_minute", "API writes a minute at rest, Leases apart", "0"),
    ("served_seconds_self_signed", "apply to served on every node, self-signed, s", "0.3 or less"),
    ("served_seconds_acme", "apply to served on every node, ACME, s", ""),
)


def table(figures: Figures) -> Table:
    """The figures beside what is aimed at on an idle machine of two cores."""
    built = Table(
        "measured",
        "value",
        "aim",
        box=rich.box.SIMPLE,
        title=f"certfront with {figures.n} self-signed certificates",
    )
    for name, words, aim in _ROWS:
        built.add_row(words, f"{getattr(figures, name):g}", aim)
    for name, value in figures.more.items():
        built.add_row(name.replace("_", " "), f"{value:g}", "")
    return built


def save(figures: Figures, path: Path) -> None:
    """Write them as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
