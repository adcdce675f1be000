"""Every reason is a CamelCase word with a meaning and a remedy, and is there once."""

import re

from certfront.loadbalancers.reasons import REASONS


def test_every_reason_is_documented_once() -> None:
    names = [reason.name for reason in REASONS]
    assert len(names) == len(set(names)) > 30
    for reason in REASONS:
        assert re.fullmatch(r"([A-Z][a-z]*)+", reason.name)
        assert reason.meaning.endswith(".")
        assert reason.remedy.endswith(".")
