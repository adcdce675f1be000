"""OpenScaler's certificate API: one method for each call, with typed answers and classed errors.

Source: OpenScaler's page "Create a certificate", the only public one: `POST /v1/lbs/{lb_id}/certificates`
with its fields, and the ten fields of the answer. It tells neither the status of success nor the form
of errors, and documents neither a list nor deletion. So 200, 201 and 202 are success, 409 is taken for
"there is one of that name", and 404, 405 and 501 for a call that is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import (
    Denied,
    Gone,
    NotYet,
    ProviderError,
    Refused,
    Unavailable,
)
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.loadbalancers.openscaler.state import Facts
from certfront.pki.pair import KeyPair

ISSUING_SECONDS: Final = 90.0
"""A certificate of Let's Encrypt is answered when it is there."""

BETWEEN_ORDERS: Final = 1800.0
"""Seconds from a refused order to the next: Let's Encrypt counts failed validations by the hour."""

_SUCCESS: Final = frozenset({200, 201, 202})
_NOT_OFFERED: Final = frozenset({404, 405, 501})


class CertificateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an answer that are used. `domains` is one string with commas and spaces."""

    name: str = ""
    common_name: str = ""
    subject: str = ""
    domains: str = ""
    issuers: str = ""
    not_before: str = ""
    not_after: str = ""
    serial: str = ""
    size: int = 0


class NotOffered(Exception):
    """The call is one that this API does not have, or the object is not there: it cannot be told."""


class Client:
    """The certificates of one load balancer. Every method raises what `loadbalancers.errors` has."""

    def __init__(
        self, exchange: Exchange, *, endpoint: str, load_balancer_id: str, token: str
    ) -> None:
        base = endpoint.rstrip("/")
        base = base if base.endswith("/v1") else f"{base}/v1"
        self._url = f"{base}/lbs/{quote(load_balancer_id, safe='')}/certificates"
        self._exchange = exchange
        self._id = load_balancer_id
        self._headers = {"Authorization": f"Bearer {token}"}

    async def upload(self, name: str, pair: KeyPair) -> Facts | None:
        """POST of kind `upload`: leaf, chain and key as one PEM. None where the name is taken."""
        content = (pair.tls_crt + pair.private_key_pem).decode("ascii")
        return await self._create({"name": name, "cert_type": "upload", "cert_content": content})

    async def order_public(self, name: str, domain: str, email: str) -> Facts | None:
        """POST of kind `let_encrypt`. None where the name is taken: done, or being done."""
        fields = {"cert_type": "let_encrypt", "cn_name": domain, "let_encrypt_email": email}
        return await self._create({"name": name, **fields}, seconds=ISSUING_SECONDS)

    async def order_self_signed(self, name: str, domain: str) -> Facts | None:
        """POST of kind `self_signed`. None where the name is taken."""
        return await self._create({"name": name, "cert_type": "self_signed", "cn_name": domain})

    async def certificates(self) -> tuple[Facts, ...]:
        """GET of all certificates, which is not documented; raises NotOffered."""
        answer = await self._exchange.send("GET", self._url, headers=self._headers)
        if answer.status in _NOT_OFFERED or answer.status == 403:
            raise NotOffered
        if answer.status != 200:
            raise self._error(answer)
        try:
            found = msgspec.json.decode(answer.body, type=tuple[CertificateRecord, ...])
        except (msgspec.MsgspecError, RecursionError):
            # Not in the form of the documented answer: nothing can be concluded from it.
            raise NotOffered from None
        return tuple(_facts(record, record.name) for record in found if record.name)

    async def delete(self, name: str) -> None:
        """DELETE of one, which is not documented; raises NotOffered."""
        url = f"{self._url}/{quote(name, safe='')}"
        answer = await self._exchange.send("DELETE", url, headers=self._headers)
        if answer.status in _NOT_OFFERED:
            raise NotOffered
        if answer.status == 409:
            raise NotYet(reasons.IN_USE, "OpenScaler says that the certificate is in use.")
        if not 200 <= answer.status < 300:
            raise self._error(answer)

    async def close(self) -> None:
        """Let connections go."""
        await self._exchange.close()

    async def _create(self, body: Mapping[str, Any], *, seconds: float = 20.0) -> Facts | None:
        answer = await self._exchange.send(
            "POST",
            self._url,
            body=msgspec.json.encode(body),
            headers=self._headers,
            seconds=seconds,
        )
        if answer.status == 409:
            return None
        if answer.status in _SUCCESS:
            return _facts(_record(answer), str(body["name"]))
        if answer.status == 422 and body["cert_type"] == "let_encrypt":
            raise NotYet(
                reasons.MANAGED_ORDER_FAILED,
                _told("OpenScaler could not obtain the certificate", answer),
                retry_after=BETWEEN_ORDERS,
            )
        raise self._error(answer)

    def _error(self, answer: Answer) -> ProviderError:
        status = answer.status
        if status == 401:
            return Denied(reasons.CREDENTIALS_REFUSED, "OpenScaler does not accept the token.")
        if status == 404:
            return Gone(reasons.TARGET_NOT_FOUND, f"OpenScaler has no load balancer {self._id}.")
        if 400 <= status < 500:
            return Refused(
                reasons.REFUSED_BY_PROVIDER, _told(f"OpenScaler answers {status}", answer)
            )
        return Unavailable(reasons.PROVIDER_UNAVAILABLE, f"OpenScaler answers {status}.")


def _record(answer: Answer) -> CertificateRecord:
    """The answer to what was done; one that cannot be read does not undo it."""
    try:
        return msgspec.json.decode(answer.body, type=CertificateRecord)
    except (msgspec.MsgspecError, RecursionError):
        return CertificateRecord()


def _facts(record: CertificateRecord, name: str) -> Facts:
    return Facts(
        name=name,
        common_name=record.common_name,
        subject=record.subject,
        domains=tuple(part for part in re.split(r"[,\s]+", record.domains) if part),
        issuers=record.issuers,
        not_before=_moment(record.not_before),
        not_after=_moment(record.not_after),
        serial=record.serial,
        size=record.size,
    )


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def _told(what: str, answer: Answer) -> str:
    """`what`, and the message of the answer where it is short and printable and holds no material."""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError):
        body = None
    said = body.get("message") if isinstance(body, dict) else None
    if not isinstance(said, str):
        return f"{what}."
    text = answer.quotable(said).rstrip(".")
    return f"{what}: {text}." if text else f"{what}."
