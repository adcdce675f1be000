from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certfront.issuance import needs
from certfront.issuance.needs import SpecHash
from certfront.model.errors import Refused
from tests.unit.issuance.samples import UID, certificate

NAMES = ("a.example.com", "b.example.com", "*.c.example.com", "xn--bcher-kva.example")


def _hash(**spec: Any) -> str:
    return needs.wanted(certificate(**spec)).hash


@given(st.permutations(NAMES), st.lists(st.sampled_from(NAMES), max_size=3), st.booleans())
def test_order_case_and_repetition_of_names_mean_nothing(
    names: list[str], again: list[str], upper: bool
) -> None:
    spelled = [name.upper() if upper else name for name in (*names, *again)]
    assert _hash(dnsNames=spelled) == _hash(dnsNames=list(NAMES))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(["bücher.example"], ["xn--bcher-kva.example"], id="IDN"),
        pytest.param(["BÜCHER.example"], ["bücher.example"], id="IDN in capitals"),
        pytest.param(["shop.example.com."], ["shop.example.com"], id="trailing dot"),
    ],
)
def test_spellings_of_one_name_are_one_need(one: list[str], other: list[str]) -> None:
    assert _hash(dnsNames=one) == _hash(dnsNames=other)


def test_spellings_of_one_address_are_one_need() -> None:
    assert _hash(ipAddresses=["2001:DB8:0::1"]) == _hash(ipAddresses=["2001:db8::1"])


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"dnsNames": ["other.example.com"]}, id="names"),
        pytest.param({"ipAddresses": ["192.0.2.1"]}, id="addresses"),
        pytest.param({"commonName": "shop.example.com"}, id="common name"),
        pytest.param({"subject": {"organizations": ["Shop"]}}, id="subject"),
        pytest.param({"duration": "720h"}, id="duration"),
        pytest.param({"usages": ["client auth"]}, id="usages"),
        pytest.param({"isCA": True}, id="isCA"),
        pytest.param({"privateKey": {"algorithm": "RSA"}}, id="algorithm"),
        pytest.param({"privateKey": {"size": 384}}, id="size"),
        pytest.param({"type": "ACME"}, id="type"),
        pytest.param({"acme": {"profile": "shortlived"}}, id="profile"),
    ],
)
def test_what_the_certificate_would_show_is_another_need(spec: dict[str, Any]) -> None:
    assert _hash(**spec) != _hash()


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"privateKey": {"rotation": "Never"}}, id="rotation"),
        pytest.param({"privateKey": {"encoding": "PKCS1"}}, id="encoding"),
        pytest.param({"privateKey": {"algorithm": "ECDSA", "size": 256}}, id="the defaults"),
        pytest.param({"renewal": {"before": "24h", "suspend": True}}, id="renewal"),
        pytest.param({"secret": {"name": "other", "labels": {"a": "b"}}}, id="secret"),
        pytest.param({"duration": "2159h60m"}, id="the same duration"),
    ],
)
def test_what_the_certificate_does_not_show_is_the_same_need(spec: dict[str, Any]) -> None:
    assert _hash(**spec) == _hash()


def test_a_need_is_of_one_object_one_spec_one_issuer_and_one_revision() -> None:
    wanted = needs.wanted(certificate())
    spec_hash = SpecHash.of(wanted, "ca")
    found = {
        needs.need(UID, spec_hash, 1),
        needs.need("another", spec_hash, 1),
        needs.need(UID, spec_hash, 2),
        needs.need(UID, SpecHash.of(wanted, "another ca"), 1),
    }
    assert len(found) == 4
    assert needs.need(UID, spec_hash, 1) in found


def test_a_spec_hash_reads_back_as_it_was_written() -> None:
    spec_hash = SpecHash.of(needs.wanted(certificate()), "ca")
    assert SpecHash.parse(str(spec_hash)) == spec_hash


@pytest.mark.parametrize("text", ["", "-", "abc", "abc-", "-abc"])
def test_anything_else_is_no_spec_hash(text: str) -> None:
    assert SpecHash.parse(text) is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"dnsNames": []}, "NoNames", id="no name"),
        pytest.param({"dnsNames": ["-bad.example"]}, "InvalidName", id="a hyphen first"),
        pytest.param({"dnsNames": ["a..example"]}, "InvalidName", id="an empty label"),
        pytest.param({"ipAddresses": ["10.0.0.999"]}, "InvalidName", id="no address"),
    ],
)
def test_what_names_nothing_is_refused(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        needs.wanted(certificate(**spec))
    assert refused.value.reason == reason


def test_an_uploaded_one_may_name_nothing() -> None:
    uploaded = {"secretRef": {"name": "given"}}
    assert needs.wanted(certificate(type="Uploaded", dnsNames=[], uploaded=uploaded)).names == ()
