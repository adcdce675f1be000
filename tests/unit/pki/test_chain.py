"""Paths are built whatever the order, and what an authority returned is checked before use."""

from __future__ import annotations

import datetime as dt
import itertools
from functools import partial

import pytest

from certfront.model.keys import KeyEncoding
from certfront.pki import certificates, chain
from certfront.pki.chain import IssuedFault, IssuedMismatch
from tests.unit.pki import builders as b

verify_issued = partial(chain.verify_issued, encoding=KeyEncoding.PKCS8)

ROOT = b.authority("Example Root")
UPPER = b.authority("Example Upper", issuer=ROOT)
LOWER = b.authority("Example Lower", issuer=UPPER)
LEAF = b.certificate(issuer=LOWER, names=("shop.example.com", "192.0.2.1"))
NAMES = ("192.0.2.1", "shop.example.com")
WHOLE = (LEAF, LOWER, UPPER, ROOT)


def text(*issued: b.Issued) -> bytes:
    return b"".join(one.pem for one in issued)


def issued(*given: b.Issued, names: tuple[str, ...] = NAMES, now: dt.datetime = b.NOW) -> object:
    return verify_issued(text(*given), given[0].key, names, now)  # type: ignore[arg-type]


@pytest.mark.parametrize("arrangement", list(itertools.permutations(range(4))))
def test_o25_a_chain_in_any_order_is_repaired(arrangement: tuple[int, ...]) -> None:
    given = text(*(WHOLE[position] for position in arrangement))
    pair = verify_issued(given, LEAF.key, NAMES, b.NOW)  # type: ignore[arg-type]
    assert pair.chain == (LEAF.certificate, LOWER.certificate, UPPER.certificate)
    assert pair.private_key_pem == LEAF.key_pem
    assert pair.ca is None


def fault(given: bytes, names: tuple[str, ...] = NAMES, now: dt.datetime = b.NOW) -> IssuedFault:
    with pytest.raises(IssuedMismatch) as caught:
        verify_issued(given, LEAF.key, names, now)  # type: ignore[arg-type]
    return caught.value.reason


def test_o25_what_was_not_asked_for_is_refused() -> None:
    whole = text(*WHOLE)
    tolerance = dt.timedelta(minutes=5, seconds=1)
    start, end = LEAF.certificate.not_valid_before_utc, LEAF.certificate.not_valid_after_utc
    assert fault(b"<html>") is IssuedFault.UNREADABLE
    assert fault(text(b.certificate())) is IssuedFault.KEY_MISMATCH
    assert fault(whole, ("shop.example.com",)) is IssuedFault.NAMES_MISMATCH
    assert fault(whole, (*NAMES, "more.example")) is IssuedFault.NAMES_MISMATCH
    assert fault(whole, now=start - tolerance) is IssuedFault.NOT_VALID_NOW
    assert fault(whole, now=end) is IssuedFault.NOT_VALID_NOW
    assert fault(text(LEAF, UPPER)) is IssuedFault.CHAIN_BROKEN
    assert fault(text(LEAF, LOWER, b.authority("Stranger"))) is IssuedFault.CHAIN_BROKEN
    assert fault(text(LEAF, *[b.authority(f"{n}") for n in range(10)])) is IssuedFault.CHAIN_BROKEN


def test_o25_a_clock_a_few_minutes_slow_is_tolerated() -> None:
    start = LEAF.certificate.not_valid_before_utc
    assert verify_issued(text(*WHOLE), LEAF.key, NAMES, start - dt.timedelta(minutes=4))  # type: ignore[arg-type]


def test_o25_the_order_of_names_does_not_matter() -> None:
    assert verify_issued(text(*WHOLE), LEAF.key, tuple(reversed(NAMES)), b.NOW)  # type: ignore[arg-type]


def test_an_issuer_is_known_by_its_signature_not_by_its_name() -> None:
    impostor = b.authority("Example Lower", issuer=UPPER)
    path = chain.order(LEAF.certificate, [impostor.certificate, LOWER.certificate])
    assert path.served == (LEAF.certificate, LOWER.certificate)
    assert path.extras == (impostor.certificate,)
    assert not certificates.is_issued_by(LEAF.certificate, impostor.certificate)
    assert certificates.is_issued_by(LEAF.certificate, LOWER.certificate)


def test_authorities_that_sign_each_other_do_not_loop() -> None:
    left = b.authority("Left", issuer=b.authority("Right"))
    right_key = b.ec_key()
    right = b.authority("Right", issuer=left, key=right_key)
    left_again = b.authority("Left", issuer=right, key=left.key)
    leaf = b.certificate(issuer=left_again)
    path = chain.order(leaf.certificate, [left_again.certificate, right.certificate])
    assert path.served == (leaf.certificate, left_again.certificate, right.certificate)
    assert path.root is None


def test_a_self_signed_leaf_is_its_own_root() -> None:
    own = b.certificate()
    path = chain.order(own.certificate, [own.certificate, ROOT.certificate])
    assert path.served == (own.certificate,)
    assert path.root == own.certificate
    assert path.extras == (ROOT.certificate,)
