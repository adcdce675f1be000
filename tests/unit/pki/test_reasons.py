"""Every reason that this package gives is explained once."""

from __future__ import annotations

import re

from certfront.pki.chain import IssuedFault
from certfront.pki.faults import UploadFault
from certfront.pki.issue import AuthorityFault
from certfront.pki.reasons import REASONS


def test_every_reason_is_explained_once() -> None:
    given = [*UploadFault, *AuthorityFault, *IssuedFault]
    assert sorted(one.name for one in REASONS) == sorted(one.value for one in given)


def test_a_reason_is_in_camel_case_and_its_texts_are_sentences() -> None:
    for reason in REASONS:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", reason.name)
        assert reason.meaning.endswith(".")
        assert reason.remedy.endswith(".")
