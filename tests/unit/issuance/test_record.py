import base64
import copy
from typing import Any

import pytest

from certfront.issuance import needs, record
from tests.unit.issuance.samples import NOW, certificate, pair_for, secret

OWNER = certificate(secret={"labels": {"team": "web"}, "annotations": {"note": "x"}})


def _with(**parts: Any) -> dict[str, Any]:
    """Our Secret, with other metadata, type or data; None takes an entry out."""
    body = copy.deepcopy(secret(OWNER))
    for part, change in parts.items():
        if not isinstance(change, dict):
            body[part] = change
            continue
        target = body["data"] if part == "data" else body["metadata"].setdefault(part, {})
        for key, value in change.items():
            target.pop(key, None) if value is None else target.update({key: value})
    return body


@pytest.mark.parametrize(
    ("body", "ownership"),
    [
        pytest.param(None, "Absent", id="absent"),
        pytest.param(_with(), "Ours", id="ours"),
        pytest.param(_with(labels={record.ROLE_LABEL: None}), "Ours", id="our label stripped"),
        pytest.param(_with(type="Opaque"), "Foreign", id="another type"),
        pytest.param(
            _with(annotations={record.MARKER: "shop/other"}), "Foreign", id="another's marker"
        ),
        pytest.param(_with(annotations={record.MARKER: None}), "Foreign", id="no marker"),
        pytest.param(
            _with(annotations={record.MARKER: None, record.ADOPT: "true"}),
            "Adoptable",
            id="handed over",
        ),
        pytest.param(
            _with(annotations={record.MARKER: "shop/other", record.ADOPT: "shop/shop"}),
            "Adoptable",
            id="handed over by name",
        ),
        pytest.param(
            _with(annotations={record.MARKER: None, record.ADOPT: "shop/other"}),
            "Foreign",
            id="handed over to another",
        ),
        pytest.param(
            _with(annotations={record.MARKER: None, record.ADOPT: "false"}),
            "Foreign",
            id="not handed over",
        ),
        pytest.param(
            _with(type="Opaque", annotations={record.ADOPT: "true"}),
            "Foreign",
            id="handed over, of another type",
        ),
    ],
)
def test_whose_a_secret_is(body: dict[str, Any] | None, ownership: str) -> None:
    assert record.observe(OWNER, body).ownership == ownership


def test_what_is_foreign_is_not_even_read() -> None:
    found = record.observe(OWNER, _with(annotations={record.MARKER: "shop/other"}))
    assert found.pair is None
    assert not found.held


def test_a_record_reads_back_as_it_was_written() -> None:
    found = record.observe(OWNER, secret(OWNER, identity="ca", revision=3, renewed_for="v"))
    assert found.pair == pair_for()
    assert (found.revision, found.renewed_for, found.issued_at) == (3, "v", NOW)
    assert found.spec_hash == needs.SpecHash.of(needs.wanted(OWNER), "ca")
    assert (found.uid, found.resource_version) == ("secret-uid", "7")
    assert record.template_applied(OWNER, secret(OWNER))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"tls.crt": None}, id="no certificate"),
        pytest.param({"tls.key": None}, id="no key"),
        pytest.param({"tls.crt": "%%%"}, id="no base64"),
        pytest.param({"tls.key": base64.b64encode(b"rubbish").decode()}, id="rubbish"),
        pytest.param(
            {"tls.key": base64.b64encode(pair_for("x.example").private_key_pem).decode()},
            id="another's key",
        ),
    ],
)
def test_a_damaged_pair_is_told_and_stays_ours(data: dict[str, Any]) -> None:
    found = record.observe(OWNER, _with(data=data))
    assert found.ownership == "Ours"
    assert found.pair is None
    assert found.damage
    assert "rubbish" not in found.damage


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({record.REVISION: "-1"}, id="negative revision"),
        pytest.param({record.REVISION: "٣"}, id="a digit of another script"),
        pytest.param({record.REVISION: "9" * 40}, id="endless revision"),
        pytest.param({record.ISSUED_AT: "yesterday"}, id="no time"),
        pytest.param({record.SPEC_HASH: "zzz"}, id="no hash"),
    ],
)
def test_nonsense_in_annotations_is_as_if_absent(annotations: dict[str, str]) -> None:
    found = record.observe(OWNER, _with(annotations=annotations))
    plain = record.observe(OWNER, _with(annotations=dict.fromkeys(annotations)))
    assert (found.revision, found.issued_at, found.spec_hash) == (
        plain.revision,
        plain.issued_at,
        plain.spec_hash,
    )


@pytest.mark.parametrize(
    ("body", "applied"),
    [
        pytest.param(_with(labels={"theirs": "x"}), True, id="more labels"),
        pytest.param(_with(annotations={"theirs": "x"}), True, id="more annotations"),
        pytest.param(_with(labels={"team": None}), False, id="a label gone"),
        pytest.param(_with(labels={"team": "other"}), False, id="a label changed"),
        pytest.param(_with(annotations={"note": None}), False, id="an annotation gone"),
        pytest.param(_with(labels={record.ROLE_LABEL: None}), False, id="our label gone"),
    ],
)
def test_whether_the_template_is_applied(body: dict[str, Any], *, applied: bool) -> None:
    assert record.template_applied(OWNER, body) is applied


def test_a_secret_is_owned_exactly_where_it_is_to_be_deleted() -> None:
    deleting = certificate(secret={"deletionPolicy": "Delete"})
    owned, free = secret(deleting), secret(certificate())
    assert owned["metadata"]["ownerReferences"][0]["uid"] == deleting.metadata.uid
    assert "ownerReferences" not in free["metadata"]
    assert record.template_applied(deleting, owned)
    assert not record.template_applied(deleting, free)
    assert not record.template_applied(certificate(), owned)


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        pytest.param({}, True, id="as it is"),
        pytest.param({"dnsNames": ["SHOP.example.com."]}, True, id="spelled otherwise"),
        pytest.param({"dnsNames": ["shop.example.com", "b.example"]}, False, id="one more name"),
        pytest.param({"isCA": True}, False, id="a CA"),
        pytest.param({"privateKey": {"algorithm": "RSA"}}, False, id="another algorithm"),
        pytest.param({"privateKey": {"size": 384}}, False, id="another size"),
        pytest.param({"duration": "24h"}, True, id="a duration is not told by the pair"),
    ],
)
def test_whether_a_pair_without_a_hash_satisfies_the_spec(
    spec: dict[str, Any], *, fits: bool
) -> None:
    held = record.observe(OWNER, secret(OWNER))
    assert record.satisfies(held, needs.wanted(certificate(**spec))) is fits


@pytest.mark.parametrize(
    ("names", "covered"),
    [
        pytest.param([], True, id="none asked for"),
        pytest.param(["a.example.com"], True, id="under the wildcard"),
        pytest.param(["example.com", "a.example.com"], True, id="both"),
        pytest.param(["b.a.example.com"], False, id="two labels under it"),
        pytest.param(["example.org"], False, id="another"),
    ],
)
def test_an_uploaded_pair_may_cover_more(names: list[str], *, covered: bool) -> None:
    uploaded = {"secretRef": {"name": "given"}}
    owner = certificate(type="Uploaded", uploaded=uploaded, dnsNames=names)
    held = record.observe(owner, secret(owner, pair_for("example.com", "*.example.com")))
    assert record.covers(held, needs.wanted(owner)) is covered
