"""What the answers of OVH's API mean, and what of them may be repeated to people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone, NotYet, Refused, Unavailable
from certfront.loadbalancers.exchange import Answer
from certfront.loadbalancers.ovh.client import Absent, Client


class _Exchange:
    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, bytes | None]] = []

    async def send(
        self, method: str, url: str, *, body: bytes | None = None, headers: Any = None
    ) -> Answer:
        del headers
        self.sent.append((method, url, body))
        return self.answers.pop(0)


class _Anyone:
    forgotten = 0

    async def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        del method, url, body
        return {}

    def forget(self) -> None:
        self.forgotten += 1


def _client(*answers: Answer) -> tuple[Client, _Exchange, _Anyone]:
    exchange, authentication = _Exchange(*answers), _Anyone()
    client = Client(
        base="https://api/1.0",
        service_name="lb/1",
        exchange=exchange,  # type: ignore[arg-type]  # the one method that is used
        authentication=authentication,
    )
    return client, exchange, authentication


def _error(status: int, message: str = "", code: str = "") -> Answer:
    body = {"class": "Client::X", "message": message} | ({"errorCode": code} if code else {})
    return Answer(status=status, headers={}, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (_error(403, code="NOT_GRANTED_CALL"), Denied, reasons.CREDENTIALS_REFUSED),
        (_error(400, code="INVALID_SIGNATURE"), Denied, reasons.CREDENTIALS_REFUSED),
        (_error(403, "the maximum of 10 is reached"), Refused, reasons.QUOTA_EXCEEDED),
        (_error(460), Gone, reasons.TARGET_NOT_FOUND),
        (_error(400, "no"), Refused, reasons.REFUSED_BY_PROVIDER),
        (_error(409), NotYet, reasons.WAITING_FOR_PROVIDER),
        (_error(500), Unavailable, reasons.PROVIDER_UNAVAILABLE),
        (
            Answer(status=200, headers={}, body=b"<html>"),
            Unavailable,
            reasons.PROVIDER_UNAVAILABLE,
        ),
        (Answer(status=302, headers={}, body=b""), Unavailable, reasons.PROVIDER_UNAVAILABLE),
    ],
    ids=["rights", "secret", "quota", "expired", "bad", "conflict", "down", "html", "redirect"],
)
async def test_each_status_says_what_to_do(answer: Answer, error: type[Any], reason: Any) -> None:
    client, _, _ = _client(answer)
    with pytest.raises(error) as caught:
        await client.refresh()
    assert caught.value.reason == reason


async def test_a_removal_that_comes_too_early_is_asked_again_and_one_that_is_done_is_done() -> None:
    client, _, _ = _client(_error(409, "in use"), _error(404))
    with pytest.raises(NotYet):
        await client.delete_certificate(7)
    await client.delete_certificate(7)


async def test_an_object_that_is_not_there_is_no_error_of_the_provider() -> None:
    client, _, _ = _client(_error(404), _error(404))
    with pytest.raises(Absent):
        await client.certificate(7)
    with pytest.raises(Gone):
        await client.service()


@pytest.mark.parametrize("answer", [_error(401), _error(400, code="QUERY_TIME_OUT")])
async def test_a_token_or_time_that_has_run_out_is_asked_for_once_more(answer: Answer) -> None:
    client, exchange, authentication = _client(
        answer, Answer(status=200, headers={}, body=b"[1,2]")
    )
    assert await client.certificates() == (1, 2)
    assert authentication.forgotten == 1
    assert [one[1] for one in exchange.sent] == ["https://api/1.0/ipLoadbalancing/lb%2F1/ssl"] * 2


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("The zone is unknown", True),
        ("bad value a-name-of-ours", False),
        ("-----BEGIN PRIVATE KEY-----", False),
        ("bell \u0007", False),
    ],
)
async def test_a_text_of_ovh_is_shown_only_if_it_repeats_nothing(message: str, shown: bool) -> None:
    client, _, _ = _client(_error(400, message))
    with pytest.raises(Refused) as caught:
        await client.rename_certificate(1, "a-name-of-ours")
    assert (message in str(caught.value)) is shown


async def test_a_refused_upload_shows_no_text_of_ovh_at_all() -> None:
    client, _, _ = _client(_error(400, "unreadable: MIIEvQIBADAN"))
    with pytest.raises(Refused) as caught:
        await client.upload(certificate="c", chain="", key="k", display_name="n")
    assert "MII" not in str(caught.value)


async def test_a_long_text_is_cut() -> None:
    client, _, _ = _client(_error(400, "word " * 200))
    with pytest.raises(Refused) as caught:
        await client.refresh()
    assert len(caught.value.message) < 260


async def test_what_is_not_set_is_left_out_of_a_new_frontend() -> None:
    """`defaultSslId: 0` is an error of OVH's (terraform-provider-ovh issue 297); null means none."""
    body = b'{"frontendId": 5, "port": "443", "zone": "all"}'
    client, exchange, _ = _client(Answer(status=200, headers={}, body=body))
    made = await client.create_frontend({"port": "443", "zone": "all", "defaultSslId": None})
    assert made.frontend_id == 5
    assert json.loads(exchange.sent[0][2] or b"") == {"port": "443", "zone": "all"}
