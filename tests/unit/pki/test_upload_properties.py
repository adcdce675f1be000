"""Whatever bytes arrive, an upload is accepted or refused: there is no third outcome."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from certfront.pki import der
from certfront.pki.upload import Accepted, Refused, UploadMaterial, check
from tests.unit.pki import builders as b

# Mutated certificates make the parser warn; a warning is no outcome of a check.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = b.authority("Example Root")
LEAF = b.certificate(issuer=ROOT)
CHAIN = LEAF.pem + ROOT.pem
STORE = pkcs12.serialize_key_and_certificates(
    b"shop",
    LEAF.key,  # type: ignore[arg-type]
    LEAF.certificate,
    [ROOT.certificate],
    serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(50).build(b"secret"),
)

edits = st.lists(
    st.tuples(st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 6)), max_size=6
)


def mutated(data: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    for position, new, removed in changes:
        start = position % (len(data) + 1)
        data = data[:start] + new + data[start + removed :]
    return data


def is_decided(material: UploadMaterial) -> bool:
    try:
        outcome = check(material, names_required=(), policy="Lenient", now=b.NOW)
    except Refused as refused:
        return bool(refused.fault and refused.message)
    return isinstance(outcome, Accepted)


@settings(max_examples=200, deadline=None)
@given(edits, edits)
def test_mutated_text_is_accepted_or_refused(
    of_chain: list[tuple[int, bytes, int]], of_key: list[tuple[int, bytes, int]]
) -> None:
    assert is_decided(
        UploadMaterial(
            certificate=mutated(CHAIN, of_chain), private_key=mutated(LEAF.key_pem, of_key)
        )
    )


@settings(max_examples=300, deadline=None)
@given(edits)
def test_mutated_certificates_are_accepted_or_refused(
    changes: list[tuple[int, bytes, int]],
) -> None:
    """The base64 stays good, so the mutation reaches the parser of X.509."""
    text = b.pem_block("CERTIFICATE", mutated(LEAF.der, changes) or b"0")
    assert is_decided(UploadMaterial(certificate=text, private_key=LEAF.key_pem))


@settings(max_examples=200, deadline=None)
@given(edits)
def test_mutated_keys_are_accepted_or_refused(changes: list[tuple[int, bytes, int]]) -> None:
    encoded = LEAF.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    text = b.pem_block("PRIVATE KEY", mutated(encoded, changes) or b"0")
    assert is_decided(UploadMaterial(certificate=CHAIN, private_key=text))


@settings(max_examples=150, deadline=None)
@given(edits)
def test_mutated_stores_are_accepted_or_refused(changes: list[tuple[int, bytes, int]]) -> None:
    assert is_decided(UploadMaterial(pkcs12=mutated(STORE, changes), password=b"secret"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_refused(first: bytes, second: bytes, labelled: bool) -> None:
    if labelled and first:
        first = b.pem_block("CERTIFICATE", first)
    assert is_decided(UploadMaterial(certificate=first, private_key=second))
    assert is_decided(UploadMaterial(pkcs12=first))


@settings(max_examples=300, deadline=None)
@given(edits)
def test_the_reader_of_der_ends_on_any_input(changes: list[tuple[int, bytes, int]]) -> None:
    for read in (
        der.serial_number,
        der.signature_algorithms,
        der.derivation_is_excessive,
        der.largest_wrapped_key,
        der.is_indefinite,
    ):
        for data in (mutated(LEAF.der, changes), mutated(STORE, changes)):
            try:
                read(data)
            except der.Malformed:
                continue
    assert isinstance(der.has_explicit_curve(mutated(LEAF.der, changes)), bool)


def test_the_reader_of_der_does_not_recurse_without_bound() -> None:
    deep = b"\x30\x80" * 100_000
    with pytest.raises(der.Malformed):
        der.is_indefinite(deep)
    nested = b""
    for _ in range(200):
        nested = b.tlv(0x30, nested)
    with pytest.raises(der.Malformed):
        der.is_indefinite(nested)


def test_no_input_reaches_the_parser_over_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood costs no parse: the first look is at its size."""

    def parse(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("certfront.pki.certificates.load", parse)
    monkeypatch.setattr("certfront.pki.pem._MARKER", None)
    flood = b"-----BEGIN CERTIFICATE-----\n" * 32_000
    for material in (
        UploadMaterial(certificate=flood, private_key=LEAF.key_pem),
        UploadMaterial(certificate=CHAIN, private_key=flood),
        UploadMaterial(certificate=CHAIN, private_key=LEAF.key_pem, chain=flood),
        UploadMaterial(pkcs12=flood),
    ):
        with pytest.raises(Refused) as caught:
            check(material, names_required=(), policy="Strict", now=b.NOW)
        assert caught.value.reason == "TooLarge"
