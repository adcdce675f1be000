"""The environment that the sandbox's processes are given: nothing of the caller's but the basics."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The checkout this package belongs to."""

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME")


def basic() -> dict[str, str]:
    """Return what every process gets; a proxy or a KUBECONFIG of the caller is not among it."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def python() -> dict[str, str]:
    """Return the environment of certfront's own processes, which run from this checkout."""
    return {
        **basic(),
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "PYTHONUNBUFFERED": "1",
    }


def certfront(*arguments: str) -> tuple[str, ...]:
    """Return the command line of `certfront` with `arguments`, by this very Python."""
    return (sys.executable, "-m", "certfront", *arguments)
