"""What is stored in a Secret is read back exactly, and what is broken there is noticed."""

from __future__ import annotations

import pytest

from certfront.pki.faults import InvalidPair, UploadFault
from certfront.pki.pair import bundle_pem, parse_pair
from tests.unit.pki import builders as b

ROOT = b.authority("Example Root")
INTERMEDIATE = b.authority("Example Intermediate", issuer=ROOT)
LEAF = b.certificate(issuer=INTERMEDIATE)
CHAIN = LEAF.pem + INTERMEDIATE.pem


def test_a_pair_is_read_as_it_was_written() -> None:
    pair = parse_pair(CHAIN, LEAF.key_pem)
    assert pair.leaf == LEAF.certificate
    assert pair.tls_crt == CHAIN
    assert pair.private_key_pem == LEAF.key_pem
    assert pair.ca_crt is None


def test_the_encoding_of_the_key_is_kept() -> None:
    sec1 = b.traditional(LEAF.key)
    assert parse_pair(CHAIN, sec1).private_key_pem == sec1


def test_a_root_at_the_end_becomes_ca() -> None:
    pair = parse_pair(CHAIN + ROOT.pem, LEAF.key_pem)
    assert pair.tls_crt == CHAIN
    assert pair.ca_crt == ROOT.pem


def test_a_self_signed_certificate_is_its_own_ca() -> None:
    own = b.certificate()
    pair = parse_pair(own.pem, own.key_pem)
    assert pair.ca == own.certificate
    assert pair.tls_crt == own.pem


def test_a_bundle_has_no_blank_line_and_no_comment() -> None:
    """HAProxy's runtime API ends a payload at the first blank line."""
    commented = b"# shop\n\n" + LEAF.pem + b"\n\nintermediate:\n" + INTERMEDIATE.pem + b"\n\n"
    bundle = bundle_pem(parse_pair(commented, b.traditional(LEAF.key)))
    assert bundle == LEAF.key_pem + CHAIN
    assert b"\n\n" not in bundle


@pytest.mark.parametrize(
    ("tls_crt", "tls_key", "fault"),
    [
        (CHAIN, b.pkcs8(b.ec_key()), UploadFault.KEY_MISMATCH),
        (INTERMEDIATE.pem + LEAF.pem, LEAF.key_pem, UploadFault.CHAIN_DISCONNECTED),
        (LEAF.pem + ROOT.pem, LEAF.key_pem, UploadFault.CHAIN_DISCONNECTED),
        (CHAIN + ROOT.pem * 9, LEAF.key_pem, UploadFault.CHAIN_TOO_LONG),
        (b"", LEAF.key_pem, UploadFault.NOT_PEM),
        (CHAIN[:-40], LEAF.key_pem, UploadFault.DAMAGED_PEM),
        (CHAIN, LEAF.key_pem[:-40], UploadFault.DAMAGED_PEM),
        (CHAIN + LEAF.key_pem, LEAF.key_pem, UploadFault.PRIVATE_KEY_IN_CERTIFICATE),
    ],
    ids=["key", "order", "gap", "long", "empty", "cut", "cut key", "leak"],
)
def test_a_broken_pair_is_refused(tls_crt: bytes, tls_key: bytes, fault: UploadFault) -> None:
    with pytest.raises(InvalidPair) as caught:
        parse_pair(tls_crt, tls_key)
    assert caught.value.fault is fault


def test_the_key_is_not_represented() -> None:
    pair = parse_pair(CHAIN, LEAF.key_pem)
    assert LEAF.key_pem.splitlines()[1].decode() not in repr(pair)
    assert "private_key_pem" not in repr(pair)
