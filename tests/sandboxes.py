"""Sandboxes of test processes: their names, and the end of those whose process was killed.

Used by the fixtures of tests/integration and tests/e2e. The name holds the worker and the pid, so
that test runs side by side do not meet.
"""

import os
import re

import psutil

from sandbox import lifecycle, state


def own_name(kind: str) -> str:
    """The name of this process's sandbox of one kind (a letter)."""
    return f"{kind}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"


def remove_leftovers(kind: str) -> None:
    """Remove the sandboxes of test processes that were killed before they could do it."""
    for each in state.all_states():
        found = re.fullmatch(rf"{kind}-\w+-(\d+)", each.name)
        if found and not psutil.pid_exists(int(found[1])):
            lifecycle.remove(each, keep_logs=False)
