from typing import Any

import pytest

from certfront.issuance import needs, supply
from certfront.model.errors import Refused
from certfront.model.issuer import CAIssuer
from certfront.model.references import LocalReference
from tests.unit.issuance.samples import certificate


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"secret": {"formats": [{"type": "DER"}]}}, "spec.secret.formats"),
        ({"secret": {"deletionPolicy": "RevokeAndDelete"}}, "RevokeAndDelete"),
        ({"type": "ACME", "acme": {"preferredChain": "X"}}, "preferredChain"),
    ],
)
def test_what_comes_later_is_refused_and_named(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match=field) as refused:
        supply.check_supported(certificate(**spec))
    assert refused.value.reason == "UnsupportedField"


@pytest.mark.parametrize("kind", ["SelfSigned", "CA", "ACME", "Uploaded"])
def test_what_there_is_is_not_refused(kind: str) -> None:
    spec: dict[str, Any] = {"type": kind}
    if kind == "Uploaded":
        spec["uploaded"] = {"secretRef": {"name": "given"}}
    supply.check_supported(certificate(**spec))


def _issuer(**settings: Any) -> CAIssuer:
    return CAIssuer(secret_ref=LocalReference(name="ca"), **settings)


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        pytest.param({}, {}, id="by default"),
        pytest.param({}, {"usages": ["server auth", "digital signature"]}, id="a server's"),
        pytest.param({"allow_ca": True}, {"isCA": True}, id="a CA, allowed"),
        pytest.param({"allow_ca": True}, {"isCA": True, "usages": ["cert sign"]}, id="its usage"),
        pytest.param(
            {"allowed_usages": ("client auth",)}, {"usages": ["client auth"]}, id="a client's"
        ),
        pytest.param({"max_duration": "2160h"}, {}, id="just long enough"),
    ],
)
def test_what_an_issuer_signs(settings: dict[str, Any], spec: dict[str, Any]) -> None:
    supply.check_allowed(_issuer(**settings), needs.wanted(certificate(**spec)))


@pytest.mark.parametrize(
    ("settings", "spec", "said"),
    [
        pytest.param({}, {"isCA": True}, "does not sign CAs", id="a CA"),
        pytest.param({}, {"usages": ["client auth"]}, "client auth", id="a client's"),
        pytest.param({"max_duration": "24h"}, {}, "24h at most", id="too long"),
    ],
)
def test_what_an_issuer_does_not_sign(
    settings: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said) as refused:
        supply.check_allowed(_issuer(**settings), needs.wanted(certificate(**spec)))
    assert refused.value.reason == "NotAllowedByIssuer"
