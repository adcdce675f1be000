"""Watches certificates and frontends until all are Ready, and tells every change once."""

import time
from collections.abc import Callable
from typing import Any

from sandbox.errors import SandboxError
from sandbox.kubectl import Kubectl

LOOK_AGAIN = 0.25


def until_ready(run: Kubectl, namespace: str, tell: Callable[[str], None], seconds: float) -> None:
    """Return once every Certificate and frontend of `namespace` is Ready; SandboxError if not in time."""
    told: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    while True:
        items = run.json("get", "lbcert,lbfe", "-n", namespace)["items"]
        for item in items:
            _tell_change(item, told, tell)
        if items and all(ready(item) for item in items):
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(_name(item) for item in items if not ready(item))
            raise SandboxError(f"not Ready within {seconds:.0f} s: {waiting}")
        time.sleep(LOOK_AGAIN)


def ready(item: dict[str, object]) -> bool:
    """Whether the object is Ready in its current generation."""
    condition, metadata = _condition(item, "Ready"), item["metadata"]
    generation = metadata.get("generation") if isinstance(metadata, dict) else None
    return condition.get("status") == "True" and condition.get("observedGeneration") == generation


def _tell_change(
    item: dict[str, object], told: dict[str, str], tell: Callable[[str], None]
) -> None:
    condition = _condition(item, "Ready")
    line = condition.get("reason", "")
    name = _name(item)
    if line and told.get(name) != line:
        told[name] = line
        mark = "✓" if condition.get("status") == "True" else "·"
        tell(f"  {mark} {name}: {line}. {condition.get('message', '').partition(' See http')[0]}")


def _condition(item: dict[str, object], kind: str) -> dict[str, Any]:
    status = item.get("status")
    conditions = status.get("conditions", []) if isinstance(status, dict) else []
    return next((c for c in conditions if c.get("type") == kind), {})


def _name(item: dict[str, object]) -> str:
    metadata = item["metadata"]
    name = metadata["name"] if isinstance(metadata, dict) else ""
    return f"{item['kind']} {name}"
