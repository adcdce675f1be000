"""Kong's Admin API: one method for each call that is needed, with typed answers and classed errors.

Sources: Kong Gateway 3.9 Admin API reference (Certificate Object, SNI Object, Route Object, Error
handling); kong/db/dao/certificates.lua and kong/db/errors.lua of Kong 3.9; recorded answers of 3.9.3.
A GET of a certificate returns its private key. The answers are decoded into types that have no
field for it, so it is dropped while it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, Gone, NotYet, Refused, Unavailable
from certfront.loadbalancers.exchange import Answer, Exchange
from certfront.loadbalancers.kong.reasons import DATABASE_REQUIRED

Body = Mapping[str, Any]
T = TypeVar("T")

_CERTIFICATES_A_PAGE: Final = 200
"""Each comes with two chains and two keys: a page stays far below the bound of an answer."""

_OTHERS_A_PAGE: Final = 1000
_MOST_PAGES: Final = 1000


class CertificateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate as Kong returns it, without its keys."""

    id: str
    cert: str | None = None
    cert_alt: str | None = None
    tags: tuple[str, ...] | None = None
    snis: tuple[str, ...] | None = None


class Holder(msgspec.Struct, frozen=True):
    """A reference to another entity."""

    id: str


class NameRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An SNI."""

    name: str
    certificate: Holder


class RouteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A route, as far as it matters here."""

    id: str
    name: str | None = None
    protocols: tuple[str, ...] | None = None
    https_redirect_status_code: int | None = None
    tags: tuple[str, ...] | None = None


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"[]")
    next: str | None = None


class _Configuration(msgspec.Struct, frozen=True, kw_only=True):
    database: str = ""


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    configuration: _Configuration = _Configuration()


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    code: int | None = None
    name: str | None = None
    message: str | None = None
    fields: dict[str, Any] | None = None


class NameInUse(Exception):
    """Kong has refused to give SNIs to a certificate, because another one has `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__("an SNI belongs to another certificate")


class AdminAPI:
    """The Admin API at `url`; a workspace is a path in it. Not found is None, else errors are raised."""

    def __init__(self, exchange: Exchange, url: str, token: str = "") -> None:
        self._exchange = exchange
        self._url = url.partition("?")[0].rstrip("/")
        self._headers = {"Kong-Admin-Token": token} if token else {}

    async def check_database(self) -> None:
        """Raises Denied where Kong has no database; whoever may not read `/` finds out by writing."""
        answer = await self._send("GET", "/")
        if answer.status == 200 and _decoded(answer, _Node).configuration.database == "off":
            raise _without_database()
        if answer.status not in (200, 403, 404):
            _fail_reading(answer, "GET /")

    async def certificates(self, tag: str) -> list[CertificateRecord]:
        """All certificates with a tag."""
        query = {"tags": tag, "size": str(_CERTIFICATES_A_PAGE)}
        return await self._list("/certificates", query, CertificateRecord)

    async def certificate(self, key: str) -> CertificateRecord | None:
        """One certificate by its id."""
        return await self._get(f"/certificates/{_path(key)}", CertificateRecord)

    async def put_certificate(self, key: str, body: Body) -> None:
        """Create or replace a certificate; `body` has its full list of `snis`. Raises NameInUse."""
        await self._write("PUT", f"/certificates/{_path(key)}", body)

    async def patch_certificate(self, key: str, body: Body) -> None:
        """Change the fields in `body` and no others. Raises NameInUse."""
        await self._write("PATCH", f"/certificates/{_path(key)}", body)

    async def delete_certificate(self, key: str) -> None:
        """Delete a certificate and its SNIs; one that is not there is none either."""
        answer = await self._send("DELETE", f"/certificates/{_path(key)}")
        if answer.status == 400 and _error(answer).code == 4:
            raise NotYet(reasons.IN_USE, "A service of Kong uses the certificate as a client.")
        if answer.status not in (200, 204, 404):
            _fail(answer, "DELETE /certificates")

    async def names(self) -> list[NameRecord]:
        """All SNIs of the workspace, those of others too: a name is never taken from them."""
        return await self._list("/snis", {"size": str(_OTHERS_A_PAGE)}, NameRecord)

    async def name(self, name: str) -> NameRecord | None:
        """One SNI by its name."""
        return await self._get(f"/snis/{_path(name)}", NameRecord)

    async def put_name(self, name: str, certificate_id: str) -> None:
        """Let an SNI lead to a certificate, from now on and in one step, wherever it led before."""
        body = {"certificate": {"id": certificate_id}}
        await self._write("PUT", f"/snis/{_path(name)}", body)

    async def routes(self, tag: str) -> list[RouteRecord]:
        """All routes with a tag."""
        return await self._list("/routes", {"tags": tag, "size": str(_OTHERS_A_PAGE)}, RouteRecord)

    async def route(self, key: str) -> RouteRecord | None:
        """One route by its id or name."""
        return await self._get(f"/routes/{_path(key)}", RouteRecord)

    async def patch_route(self, key: str, body: Body) -> None:
        """Change the fields in `body` and no others."""
        await self._write("PATCH", f"/routes/{_path(key)}", body)

    async def close(self) -> None:
        """Let the connections go."""
        await self._exchange.close()

    async def _get(self, path: str, kind: type[T]) -> T | None:
        answer = await self._send("GET", path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            _fail_reading(answer, f"GET {_collection(path)}")
        return _decoded(answer, kind)

    async def _list(self, path: str, query: Mapping[str, str], kind: type[T]) -> list[T]:
        """Every page; the list of a workspace that is not there is the load balancer's absence."""
        found: list[T] = []
        asked = dict(query)
        for _ in range(_MOST_PAGES):
            answer = await self._send("GET", f"{path}?{urlencode(asked)}")
            if answer.status == 404:
                raise Gone(
                    reasons.TARGET_NOT_FOUND,
                    f"There is no {path} below adminURL: its address or workspace is not right.",
                )
            if answer.status != 200:
                _fail_reading(answer, f"GET {path}")
            page = _decoded(answer, _Page)
            found += _converted(page.data, list[kind])  # type: ignore[valid-type]  # built at run time
            offset = dict(parse_qsl(urlsplit(page.next or "").query)).get("offset")
            if not offset:
                return found
            asked["offset"] = offset
        raise Unavailable(reasons.PROVIDER_UNAVAILABLE, f"The list of {path} has no end.")

    async def _write(self, method: str, path: str, body: Body) -> None:
        """A change. Conditional headers are never sent: Kong answers 412 and writes all the same."""
        answer = await self._send(method, path, msgspec.json.encode(body))
        if answer.status in (200, 201):
            return
        if answer.status == 404 and method == "PATCH":
            raise NotYet(
                reasons.APPLYING, f"What was to be changed in {_collection(path)} is gone."
            )
        _fail(answer, f"{method} {_collection(path)}")

    async def _send(self, method: str, path: str, body: bytes | None = None) -> Answer:
        answer = await self._exchange.send(
            method, self._url + path, body=body, headers=self._headers
        )
        if answer.status == 503 and "retry-after" in answer.headers:
            raise self._exchange.throttled(answer)
        return answer


def _fail_reading(answer: Answer, call: str) -> NoReturn:
    """Class an answer to a question that is none."""
    if answer.status in (401, 403):
        raise Denied(
            reasons.CREDENTIALS_REFUSED,
            f"Kong refuses the admin token, or it does not permit {call} ({answer.status}).",
        )
    raise Unavailable(reasons.PROVIDER_UNAVAILABLE, f"Kong answers {answer.status} to {call}.")


def _fail(answer: Answer, call: str) -> NoReturn:
    """Class an answer to a change that is no success by what is to be done about it."""
    if answer.status >= 500 or answer.status < 400 or answer.status in (401, 403, 404, 408):
        _fail_reading(answer, call)
    error = _error(answer)
    if error.code == 12:
        raise _without_database()
    taken = _taken(error)
    if taken:
        raise NameInUse(taken)
    if error.code == 4:
        raise NotYet(reasons.APPLYING, f"What {call} refers to in Kong is gone.")
    raise Refused(reasons.REFUSED_BY_PROVIDER, f"Kong refuses {call}: {_explained(error, answer)}.")


def _without_database() -> Denied:
    return Denied(
        DATABASE_REQUIRED,
        "Kong runs without a database (database = off), so single certificates cannot be changed "
        "through its Admin API. In hybrid mode adminURL must be the control plane's.",
    )


_TAKEN: Final = re.compile(r"(\S{1,253}) already associated with existing certificate ")
_NOT_UNIQUE: Final = re.compile(r"""UNIQUE violation detected on '\{name="([^"\s]{1,253})"\}'""")


def _taken(error: _Error) -> str:
    """The SNI that another certificate has, if that is what the error is about."""
    text = (error.fields or {}).get("snis")
    found = _TAKEN.match(text) if isinstance(text, str) else None
    if found is None and error.code == 5:
        found = _NOT_UNIQUE.match(error.message or "")
    return found.group(1) if found else ""


_QUOTABLE: Final = (
    "certificate does not match key",
    "alternative certificate does not match key",
    "certificate and alternative certificate need to have different type",
    "must not be an IP",
    "only one wildcard must be specified",
    "wildcard must be leftmost or rightmost character",
    "required field missing",
    "value must be one of",
)
"""What Kong says that holds nothing of what was sent."""


def _explained(error: _Error, answer: Answer) -> str:
    """The error in words of which none can be something that was sent."""
    if answer.status == 413:
        return "it is too long for the Admin API (413)"
    said = [phrase for phrase in _QUOTABLE if phrase in (error.message or "")]
    fields = sorted(name for name in (error.fields or {}) if re.fullmatch(r"[a-z_]{1,40}", name))
    name = error.name if error.name and re.fullmatch(r"[A-Za-z ]{1,60}", error.name) else ""
    parts = [name or f"status {answer.status}", *said[:1]]
    return ", ".join(parts) + (f" (in {', '.join(fields)})" if fields else "")


def _error(answer: Answer) -> _Error:
    try:
        return msgspec.json.decode(answer.body, type=_Error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Error()


def _decoded(answer: Answer, kind: type[T]) -> T:
    return _converted(answer.body, kind)


def _converted(text: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unavailable(
            reasons.PROVIDER_UNAVAILABLE,
            "The answer is none of Kong's Admin API: adminURL leads somewhere else.",
        ) from None


def _path(part: str) -> str:
    """One segment of a path; Kong takes `*` as it is and percent-encoded."""
    return quote(part, safe="")


def _collection(path: str) -> str:
    return "/" + path.lstrip("/").partition("/")[0].partition("?")[0]
