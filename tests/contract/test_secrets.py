"""Keys and credentials are shown nowhere, whatever the provider answers.

Every other test reads all errors, representations and log lines, too; here the provider repeats what
it was sent.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from itertools import product

from certfront.loadbalancers.errors import ProviderError
from sandbox.emulators.server import Fault
from tests.contract.driver import NotSettled
from tests.contract.material import binding
from tests.contract.stage import Adapter, Arrival, key_lines, secret_values, staged

A = binding("a")


STATUSES = (200, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503)


async def test_what_a_provider_repeats_is_not_passed_on(adapter: Adapter) -> None:
    """Any status, in the forms of errors that there are, at every call and at changes only."""
    echo = " ".join([*(one.decode().strip() for one in secret_values(adapter)), *key_lines()])
    async with staged(adapter) as stage:
        for status, body, changes in product(STATUSES, _bodies(echo), (False, True)):
            answer = Fault(status=status, body=body)
            stage.start()
            stage.gate.reset()
            stage.gate.decide = partial(_answer, answer, changes)
            with contextlib.suppress(ProviderError, NotSettled):
                await stage.want(
                    adapter.listener("web", A),
                    until=lambda _: len(stage.driver.errors) > 2,
                    rounds=8,
                )
        stage.gate.reset()


def _bodies(echo: str) -> list[str]:
    return [
        echo,
        json.dumps({"message": echo, "error": echo, "details": echo, "code": 1}),
        json.dumps({"message": echo, "name": echo, "fields": {"key": echo, echo: echo}, "code": 2}),
        json.dumps({"__type": echo, "Message": echo}),
        f"<ErrorResponse><Error><Code>Odd</Code><Message>{echo}</Message></Error></ErrorResponse>",
        f"<ErrorResponse><Error><Code>{echo}</Code></Error></ErrorResponse>",
    ]


def _answer(answer: Fault, changes: bool, arrival: Arrival) -> Fault | None:
    return None if changes and arrival.change is None else answer
