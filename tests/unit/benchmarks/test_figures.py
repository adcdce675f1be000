"""What comes out: the keys that tools read, and figures out of what the phases found."""

import io
import json
from pathlib import Path

import pytest
import rich.console

from benchmarks.ceiling import Replayed
from benchmarks.errors import BenchError
from benchmarks.figures import save, table
from benchmarks.measures import Writes
from benchmarks.plan import Drained, Notes, Options, Started, figures
from benchmarks.subject import Usage

KEYS = {
    "n",
    "drain_per_second",
    "live_per_second",
    "ceiling_per_second",
    "drain_ratio",
    "cpu_ms_per_certificate",
    "writes_per_certificate",
    "rss_mib",
    "cold_start_seconds",
    "cold_start_writes",
    "rest_writes_per_minute",
    "served_seconds_self_signed",
    "served_seconds_acme",
}
OPTIONS = Options(certificates=100, rest_seconds=30.0)


def notes() -> Notes:
    def drained(seconds: float) -> Drained:
        return Drained(
            seconds=seconds,
            writes=Writes(objects=200, leases=5),
            usage=Usage(cpu_seconds=1.2, rss=100 * 2**20),
        )

    return Notes(
        idle=Usage(cpu_seconds=1.0, rss=80 * 2**20),
        drains=[drained(1.0), drained(0.5), drained(10.0)],
        ceilings=[Replayed(seconds=each, cpu_seconds=0.1) for each in (0.5, 0.4, 20.0)],
        cold=Started(
            seconds=2.0, writes=Writes(events=1, leases=2), usage=Usage(cpu_seconds=1.0, rss=2**20)
        ),
        rest=Writes(objects=2, leases=40),
        self_signed=[0.1, 0.3, 0.2],
        acme=3.0,
        live_seconds=4.0,
        live_cpu_seconds=0.3,
    )


def test_figures_follow_from_what_was_found() -> None:
    found = figures(OPTIONS, notes())
    assert found.n == 100
    assert found.drain_per_second == 100, "the median of three rounds"
    assert found.ceiling_per_second == 200
    assert found.drain_ratio == 0.5
    assert found.live_per_second == 25
    assert found.cpu_ms_per_certificate == 2.0, "an idle start is taken off"
    assert found.writes_per_certificate == 2.0, "Leases do not count"
    assert found.rss_mib == 100
    assert found.cold_start_writes == 1, "an Event is a write"
    assert found.rest_writes_per_minute == 4
    assert found.served_seconds_self_signed == 0.2
    assert found.more["lease_writes_per_minute"] == 80
    assert "upload_gets_per_second" not in found.more


def test_uploads_are_told_where_they_were_watched() -> None:
    seen = notes()
    seen.upload_gets = 600
    assert figures(OPTIONS, seen).more["upload_gets_per_second"] == 2.0


def test_a_phase_that_is_missing_is_told() -> None:
    seen = notes()
    seen.cold = None
    with pytest.raises(BenchError, match="cold start"):
        figures(OPTIONS, seen)


def test_the_file_has_the_keys_that_tools_read(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    save(figures(OPTIONS, notes()), path)
    written = json.loads(path.read_text())
    assert set(written) - {"more"} == KEYS
    assert all(isinstance(written[key], (int, float)) for key in KEYS)


def test_the_table_shows_every_figure() -> None:
    console = rich.console.Console(file=io.StringIO(), width=120)
    found = figures(OPTIONS, notes())
    console.print(table(found))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO, as given above
    rows = [row for row in shown.splitlines() if row.strip() and "─" not in row]
    assert len(rows) == 2 + len(KEYS - {"n"}) + len(found.more)
