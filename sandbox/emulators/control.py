"""Steers an emulator from another process: the control API of :mod:`.server` as blocking methods.

For tests and the demo. Every method raises requests.RequestException when the emulator is not
reached or refuses.
"""

import dataclasses
from typing import Any

import requests

from sandbox.emulators.server import Call, Fault

_SECONDS = 10


class Control:
    """The control API of the emulator whose API is at `url`."""

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/") + "/_control/"

    def ready(self) -> dict[str, Any]:
        """Its name, time, open fronts, ports that could not be opened, and its own failures."""
        return dict(self._ask("GET", "ready"))

    def calls(self) -> list[Call]:
        """The journal, oldest first."""
        return [Call(**call) for call in self._ask("GET", "calls")]

    def clear_calls(self) -> None:
        """Empty the journal."""
        self._ask("DELETE", "calls")

    def arm(self, fault: Fault) -> None:
        """Arm a fault."""
        self._ask("POST", "faults", dataclasses.asdict(fault))

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self._ask("DELETE", "faults")

    def advance(self, seconds: float) -> None:
        """Move its clock on."""
        self._ask("POST", "clock", {"advance": seconds})

    def steer(self, what: str, value: Any = None) -> None:
        """Do what no API call does; what there is, is in the emulator's `steer`."""
        self._ask("POST", "steer", {"what": what, "value": value})

    def state(self) -> Any:
        """Its state, without private keys."""
        return self._ask("GET", "state")

    def _ask(self, method: str, what: str, body: object = None) -> Any:
        answer = requests.request(method, self._base + what, json=body, timeout=_SECONDS)
        if not answer.ok:
            raise requests.HTTPError(f"{what}: {answer.status_code} {answer.text.strip()}")
        return answer.json()
