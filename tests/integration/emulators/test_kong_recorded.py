"""Replays what a real Kong 3.9.3 was asked, and compares every answer of the emulator with its own.

The recording is no part of the repository: where it is not there, everything here is skipped. Ids
that Kong chose and times are compared by their form, PEM errors by what comes before OpenSSL's own
text, and statements about the node itself by their shape.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from sandbox.emulators.kong import Kong
from sandbox.emulators.server import SteppedClock, serving

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "specs" / "kong-3.9.3"
RECORDED = Path(os.environ.get("KONG_RECORDING", _BESIDE))

pytestmark = pytest.mark.skipif(
    not (RECORDED / "recorded.jsonl").is_file(), reason="the recording of a Kong is not here"
)

_DATABASE = ("t1", "t2", "t3", "t5", "t6", "t7")
_NOT_EMULATED = re.compile(
    r"GET (/timers|/endpoints|/debug/\S+|/schemas/certificates|/tags\?\S+)"
    r"|POST /config\?flatten_errors=1|FOO /certificates"
)
_ABOUT_THE_NODE = ("/", "/status", "/plugins/enabled")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHOSEN = re.compile(r"(11111111|22222222|33333333|aaaaaaaa|0{8}|01920000)-")
_OPENSSL = re.compile(r"(invalid (?:certificate|key): )[^;)]*")
_BROKEN = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"


@dataclass
class Exchange:
    """One request of the recording and what was answered."""

    number: int
    sequence: str
    node: str
    method: str
    path: str
    headers: dict[str, str]
    request: Any
    status: int
    answer: Any

    def __str__(self) -> str:
        return f"{self.number}: {self.method} {self.path}"


def exchanges() -> Iterator[Exchange]:
    for number, line in enumerate((RECORDED / "recorded.jsonl").read_text().splitlines()):
        entry = json.loads(line)
        yield Exchange(
            number=number,
            sequence=entry["sequence"],
            node=entry["node"],
            method=entry["method"],
            path=entry["path"],
            headers=entry["req_headers"],
            request=entry["req"],
            status=entry["status"],
            answer=entry["body"],
        )


def pem(text: str) -> str:
    """A recorded text with the files that it names put in."""
    if "<CERTIFICATE>\r\n" in text or "<PRIVATE KEY>\r\n" in text:
        name = "a.crt" if "CERTIFICATE" in text else "a.key"
        return (RECORDED / "pki" / name).read_text().replace("\n", "\r\n")
    if text.startswith('{"_format_version"'):  # JSON within JSON
        for mark, name in (("<CERTIFICATE>", "a.crt"), ("<PRIVATE KEY>", "a.key")):
            content = (RECORDED / "pki" / name).read_text().strip()
            text = text.replace(mark, json.dumps(content)[1:-1])
        return text
    text = text.replace("<CERTIFICATE>", _BROKEN)

    def put_in(found: re.Match[str]) -> str:
        content = (RECORDED / "pki" / found.group(1)).read_text()
        return content.strip() if found.group(2) else content

    return re.sub(r"@([a-z0-9.]+?\.(?:crt|key))(\(stripped\))?", put_in, text)


def filled(value: Any) -> Any:
    if isinstance(value, str):
        return pem(value)
    if isinstance(value, dict):
        return {name: filled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    return value


@dataclass
class Ids:
    """The ids that Kong chose, each with the one that the emulator chose instead."""

    ours: dict[str, str] = field(default_factory=dict)

    def translated(self, text: str) -> str:
        return _UUID.sub(lambda found: self.ours.get(found.group(), found.group()), text)

    def learn(self, theirs: Any, ours: Any) -> None:
        """Pair the ids of two answers of the same shape."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for name in theirs.keys() & ours.keys():
                self.learn(theirs[name], ours[name])
        elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
            for one, other in zip(_by_name(theirs), _by_name(ours), strict=True):
                self.learn(one, other)
        elif isinstance(theirs, str) and _UUID.fullmatch(theirs) and not _CHOSEN.match(theirs):
            self.ours.setdefault(theirs, ours)


def _by_name(items: list[Any]) -> list[Any]:
    """Entities in an order that does not depend on ids that nobody gave."""
    if not all(isinstance(item, dict) and "id" in item for item in items):
        return items
    if not all(_CHOSEN.match(item["id"]) for item in items):
        return sorted(items, key=lambda item: _order(item))
    return items


def _order(item: dict[str, Any]) -> str:
    chosen = item["id"] if _CHOSEN.match(item["id"]) else ""
    rest = {name: item[name] for name in item if name not in ("id", "created_at", "updated_at")}
    return json.dumps([chosen, item.get("name"), rest], sort_keys=True)


def comparable(value: Any) -> Any:
    """An answer without what differs between two runs of the same Kong."""
    if isinstance(value, dict):
        kept = {name: comparable(item) for name, item in value.items()}
        for name in ("created_at", "updated_at"):
            if name in kept:
                assert isinstance(kept[name], int)
                kept[name] = kept[name] if kept[name] < 1000 else "a time"
        return kept
    if isinstance(value, list):
        return [comparable(item) for item in _by_name(value)]
    if isinstance(value, str):
        value = _OPENSSL.sub(r"\1…", value)
        return _UUID.sub(
            lambda found: found.group() if _CHOSEN.match(found.group()) else "id", value
        )
    return value


class Replay:
    """Sends recorded requests to an emulator."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.ids = Ids()

    async def ask(self, exchange: Exchange) -> tuple[int, Any]:
        path = self.ids.translated(exchange.path)
        headers = dict(exchange.headers)
        body = body_of(exchange)
        if body is not None and b"_transform" in body:
            # What GET /config answered, posted back.
            async with self.session.get(self.url + "/config") as current:
                body = reposted(exchange, (await current.json())["config"])
        async with self.session.request(
            exchange.method,
            URL(self.url + path, encoded=True),
            headers=headers,
            data=body,
            skip_auto_headers=["Content-Type"],
            allow_redirects=False,
        ) as answer:
            raw = await answer.read()
            if not raw:
                return answer.status, None
            if "json" in answer.headers.get("Content-Type", ""):
                return answer.status, json.loads(raw)
            return answer.status, raw.decode()

    async def compare(self, exchange: Exchange) -> str | None:
        """What differs; None where the answers are the same."""
        status, answer = await self.ask(exchange)
        expected = filled(exchange.answer)
        self.ids.learn(expected, answer)
        if status != exchange.status:
            return f"{exchange}: {status} instead of {exchange.status}: {answer}"
        if exchange.path in _ABOUT_THE_NODE:
            missing = set(answer) - set(expected)
            return f"{exchange}: Kong does not say {missing}" if missing else None
        if exchange.path.startswith("/config") and exchange.method == "POST" and status == 201:
            return None if answer.keys() == expected.keys() else f"{exchange}: {answer.keys()}"
        if exchange.path == "/config" and exchange.method == "GET" and status == 200:
            return None if answer.keys() == {"config"} else f"{exchange}: {answer.keys()}"
        ours, theirs = comparable(answer), comparable(expected)
        for each in (ours, theirs):
            if isinstance(each, dict) and "offset=" in str(each.get("next")):
                # The offset names an id; pages whose ids Kong chose end elsewhere.
                each["next"] = re.sub(r"offset=[^&]+", "offset=…", each["next"])
                each.pop("offset")
                if exchange.path.startswith("/snis"):
                    each["data"] = len(each["data"])
        return None if ours == theirs else f"{exchange}:\n  is     {ours}\n  Kong's {theirs}"


def body_of(exchange: Exchange) -> bytes | None:
    request = filled(exchange.request)
    kind = exchange.headers.get("Content-Type", "")
    if exchange.number == 339:  # the JSON text null, which the recording cannot tell from no body
        return b"null"
    if request is None:
        return None
    if isinstance(request, str):
        sent_as_json = kind == "application/json" and request == "x"
        return json.dumps(request).encode() if sent_as_json else request.encode()
    return json.dumps(request).encode()


def reposted(exchange: Exchange, config: str) -> bytes:
    kind = exchange.headers["Content-Type"]
    if kind == "application/json":
        return json.dumps({"config": config}).encode()
    return (urlencode({"config": config}) if "form" in kind else config).encode()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def replayed(replay: Replay, chosen: list[Exchange]) -> list[str]:
    different = [await replay.compare(exchange) for exchange in chosen]
    return [text for text in different if text is not None]


def emulated(exchange: Exchange) -> bool:
    return not _NOT_EMULATED.fullmatch(f"{exchange.method} {exchange.path}")


async def test_a_kong_with_a_database_answers_as_it_was_recorded(
    session: aiohttp.ClientSession,
) -> None:
    chosen = [
        item for item in exchanges() if item.sequence in _DATABASE and item.node == "database"
    ]
    assert len(chosen) > 350
    async with serving(Kong(clock=SteppedClock())) as running:
        replay = Replay(session, running.url)
        before, after = (
            [item for item in chosen if item.number < 166 and emulated(item)],
            [item for item in chosen if item.number >= 166 and emulated(item)],
        )
        different = await replayed(replay, before)
        # What came between is not in the recording; it left these behind.
        for identifier, name, names in (
            ("11111111-1111-4111-8111-111111111111", "a", ["a.example.com", "put.example.com"]),
            ("22222222-2222-4222-8222-222222222222", "b", []),
        ):
            given = filled({"cert": f"@{name}.crt", "key": f"@{name}.key", "snis": names})
            async with session.put(f"{running.url}/certificates/{identifier}", json=given) as made:
                assert made.status == 200
        different += await replayed(replay, after)
        assert not running.failures
    assert not different, "\n".join(different)


async def test_a_kong_without_a_database_answers_as_it_was_recorded(
    session: aiohttp.ClientSession,
) -> None:
    chosen = [item for item in exchanges() if item.node == "dbless" and emulated(item)]
    assert len(chosen) > 40
    async with serving(Kong(clock=SteppedClock(), dbless=True)) as running:
        replay = Replay(session, running.url)
        # It had been given its configuration before the recording began.
        first = next(item for item in chosen if item.path == "/config" and item.status == 201)
        assert await replay.compare(first) is None
        different = await replayed(replay, chosen)
        assert not running.failures
    assert not different, "\n".join(different)
