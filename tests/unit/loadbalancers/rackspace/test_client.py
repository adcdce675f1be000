"""What is read from Rackspace's answers, and what of them may be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certfront.loadbalancers.exchange import Answer
from certfront.loadbalancers.rackspace.client import fault_text
from certfront.loadbalancers.rackspace.identity import _end
from certfront.loadbalancers.rackspace.kind import KIND
from certfront.loadbalancers.rackspace.material import (
    chain_of,
    fingerprint,
    fingerprints,
    material_of,
)
from certfront.model.loadbalancer import LoadBalancerSpec, RackspaceSettings
from certfront.model.references import LocalReference
from tests.unit.loadbalancers.rackspace import builders

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"message": "Bad  port", "code": 400}', "Bad port"),
        (b'{"badRequest": {"message": "Bad port", "code": 400}}', "Bad port"),
        (
            b'{"message": "Validation Failure", "validationErrors": {"messages": ["one", "two"]}}',
            "Validation Failure one two",
        ),
        (b'{"message": "' + b"word " * 100 + b'"}', ("word " * 100)[:199] + "\u2026"),
        (b'{"message": "-----BEGIN RSA PRIVATE KEY-----"}', ""),
        (b'{"message": "' + b"A" * 65 + b'"}', ""),
        (b'{"message": "a\\u0000b"}', ""),
        (b'{"message": 7}', ""),
        (b'["message"]', ""),
        (b"<html>no</html>", ""),
        (b"", ""),
    ],
    ids=[
        "bare", "wrapped", "with details", "cut", "key", "long word", "not printable", "no text",
        "no object", "no json", "empty",
    ],
)  # fmt: skip
def test_a_fault_is_quoted_only_where_it_can_hold_nothing_that_was_sent(
    body: bytes, text: str
) -> None:
    assert fault_text(Answer(status=400, headers={}, body=body)) == text


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-25T01:30:36.000-05:00", datetime(2026, 11, 25, 6, 30, 36, tzinfo=UTC)),
        ("2026-11-25T06:30:36Z", datetime(2026, 11, 25, 6, 30, 36, tzinfo=UTC)),
        ("2026-11-25T06:30:36", datetime(2026, 11, 25, 6, 30, 36, tzinfo=UTC)),
        ("", NOW + timedelta(hours=1)),
        ("soon", NOW + timedelta(hours=1)),
    ],
)
def test_the_end_of_a_token_is_read_in_any_zone(text: str, end: datetime) -> None:
    assert _end(text, NOW) == end


@pytest.mark.parametrize("change", ["{}", "\n\n{}\n\n", "  {}", "{}\r\n"])
def test_certificates_compare_equal_however_their_lines_are_returned(change: str) -> None:
    sent = material_of(builders.pair("a", chained=True))
    back = change.format(sent.certificate.strip().replace("\n", "\r\n"))
    assert fingerprint(back) == builders.fingerprint("a", chained=True)
    assert fingerprints(sent.intermediates) == chain_of(builders.pair("a", chained=True))


@pytest.mark.parametrize(
    "text",
    ["", "none", "-----BEGIN CERTIFICATE-----\n=\n-----END CERTIFICATE-----", "A" * 1_000_000],
)
def test_what_is_no_certificate_has_no_fingerprint(text: str) -> None:
    assert fingerprint(text) == ""


def test_the_key_is_sent_in_pkcs1_and_the_leaf_alone() -> None:
    sent = material_of(builders.pair("a", chained=True))
    assert sent.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert sent.certificate.count("BEGIN CERTIFICATE") == 1
    assert sent.intermediates.count("BEGIN CERTIFICATE") == 1
    assert "PRIVATE" not in repr(sent)


def test_a_region_is_one_target_however_it_is_spelled() -> None:
    def spec(region: str) -> LoadBalancerSpec:
        return LoadBalancerSpec(
            type="Rackspace",
            rackspace=RackspaceSettings(
                region=region,
                load_balancer_id="71",
                credentials_secret_ref=LocalReference(name="rackspace"),
            ),
        )

    assert KIND.target(spec("DFW")) == KIND.target(spec("dfw"))
    assert KIND.target(spec("DFW")) != KIND.target(spec("ORD"))
    assert KIND.secret(spec("DFW")) == "rackspace"
