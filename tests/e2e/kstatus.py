"""What kstatus says of the statuses that were really written, held against what they mean."""

import json
import subprocess
from collections.abc import Iterable

from sandbox import binaries
from tests.e2e.api import Object
from tests.e2e.journal import OWN, Journal
from tests.e2e.world import condition, current


def verdicts(bodies: Iterable[Object]) -> list[str]:
    """What kstatus says of each object."""
    program = binaries.ensure(("kstatus",), print)["kstatus"]
    text = "\n".join(json.dumps(body) for body in bodies)
    result = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line)["status"] for line in result.stdout.splitlines()]


def meant(body: Object) -> str:
    """The verdict that a status is written for."""
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if not current(body):
        return "InProgress"
    stalled, ready = condition(body, "Stalled"), condition(body, "Ready")
    if stalled is not None and stalled["status"] == "True":
        return "Failed"
    return "Current" if ready is not None and ready["status"] == "True" else "InProgress"


def judge(journal: Journal) -> set[str]:
    """Hold every status that was written so far to what it means; returns the verdicts there were."""
    bodies = [e.body for e in journal.entries if e.kind in OWN and not e.gone]
    found = verdicts(bodies)
    assert len(found) == len(bodies)
    for body, verdict in zip(bodies, found, strict=True):
        _judge_one(body, verdict)
    return set(found)


def _judge_one(body: Object, verdict: str) -> None:
    told = json.dumps({"metadata": body["metadata"], "status": body.get("status")})
    assert verdict == meant(body), told
    ready = condition(body, "Ready")
    assert ready is not None or not current(body), told
    both = [condition(body, kind) for kind in ("Reconciling", "Stalled")]
    assert None in both, told
    if ready is not None and ready["status"] == "True":
        assert both == [None, None], told
    for each in body["status"].get("conditions", ()):
        assert isinstance(each["observedGeneration"], int), told
