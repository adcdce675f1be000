"""The first write is found in the audit log, whatever else is there."""

import json
from pathlib import Path

import pytest

from benchmarks.audit import AuditLog
from benchmarks.errors import BenchError

OPERATOR = "system:serviceaccount:certfront:certfront"


def line(
    second: int, *, verb: str = "patch", resource: str = "secrets", user: str = OPERATOR
) -> str:
    entry = {
        "verb": verb,
        "user": {"username": user},
        "objectRef": {"resource": resource},
        "requestReceivedTimestamp": f"2026-01-01T00:00:{second:02}.500000Z",
    }
    return json.dumps(entry) + "\n"


SEVENTH = 1767225607.5


def append(path: Path, text: str) -> None:
    with path.open("a") as log:
        log.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_text(line(1))
    return path


def test_the_first_write_after_the_opening_is_found(log: Path) -> None:
    with AuditLog(str(log)) as audit:
        append(log, line(2, verb="get"))
        append(log, line(3, resource="leases"))
        append(log, line(4, user="sandbox-admin"))
        append(log, line(7) + line(8))
        assert audit.first_write(OPERATOR) == SEVENTH


def test_a_line_that_is_half_written_is_left_alone(log: Path) -> None:
    with AuditLog(str(log)) as audit:
        append(log, line(7) + line(8)[:20])
        assert audit.first_write(OPERATOR) == SEVENTH


def test_a_rotated_log_is_followed(log: Path) -> None:
    with AuditLog(str(log)) as audit:
        log.rename(log.with_name("audit-1.log"))
        log.write_text(line(7))
        assert audit.first_write(OPERATOR) == SEVENTH


def test_a_log_without_a_write_is_told(log: Path) -> None:
    with AuditLog(str(log)) as audit, pytest.raises(BenchError, match="no write"):
        audit.first_write(OPERATOR)
