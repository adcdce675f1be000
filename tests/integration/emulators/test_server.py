"""The shared part of the emulators: faults, journal, control API, fronts, flags."""

import asyncio
import datetime as dt
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Annotated, Any

import aiohttp
import pytest
import requests
from aiohttp import web
from click.testing import CliRunner

from sandbox.emulators import __main__, tls
from sandbox.emulators.control import Control
from sandbox.emulators.server import (
    BODY,
    BadBody,
    Emulator,
    Fault,
    Running,
    SteppedClock,
    StoppedClock,
    json_object,
    serving,
)

START = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


class Counter(Emulator):
    """A provider that counts."""

    name = "counter"
    largest_body = 1000

    def __init__(
        self,
        *,
        step: Annotated[int, "What one call adds."] = 1,
        loud: bool = False,
        names: tuple[str, ...] = ("a", "b"),
        ports: Mapping[str, int] = {},
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.count = 0
        self.step = step
        self.flags = (loud, names, ports)
        self.offered: list[tls.Offer] = []

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/count", self._count), web.post("/broken", self._broken)]

    def unknown(self, request: web.Request) -> web.Response:
        assert request.match_info.http_exception is not None
        return web.json_response(
            {"mine": True}, status=request.match_info.http_exception.status_code
        )

    def offers(self) -> Iterable[tls.Offer]:
        return self.offered

    def snapshot(self) -> Any:
        return {"count": self.count}

    def identify(self, request: web.Request) -> str:
        if request.content_type != "application/x-www-form-urlencoded":
            return super().identify(request)
        return dict(urllib.parse.parse_qsl(request[BODY].decode()))["Action"]

    def steer(self, what: str, value: Any) -> None:
        if what != "count":
            raise LookupError(what)
        self.count = int(value)

    async def _count(self, request: web.Request) -> web.Response:
        try:
            given = json_object(request)
        except BadBody as error:
            return web.Response(status=400, text=str(error))
        self.count += self.step
        return web.json_response({"count": self.count, "given": given})

    async def _broken(self, request: web.Request) -> web.Response:
        raise RuntimeError(request[BODY].decode())


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with serving(Counter(clock=StoppedClock(START))) as started:
        yield started


@pytest.fixture
async def client(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as session:
        yield session


def counter(running: Running) -> Counter:
    assert isinstance(running.emulator, Counter)
    return running.emulator


async def test_a_call_is_answered_and_journalled_without_its_query_and_body(
    running: Running, client: aiohttp.ClientSession
) -> None:
    async with client.post("/count?token=secret", json={"a": 1}) as answer:
        assert (answer.status, await answer.json()) == (200, {"count": 1, "given": {"a": 1}})
    [call] = running.calls
    assert (call.method, call.path, call.status) == ("POST", "/count", 200)
    assert call.at == "2026-11-24T12:00:00Z"
    assert "secret" not in repr(running.calls)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/count", 405), ("POST", "/nothing", 404), ("POST", "/count/", 404)],
    ids=["method", "path", "slash"],
)
async def test_what_the_provider_has_not_is_answered_as_the_provider_does(
    running: Running, client: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as answer:
        assert (answer.status, await answer.json()) == (status, {"mine": True})
    assert running.calls[0].status == status


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON"),
        (b"[1]", "the body is not a JSON object"),
        (b'{"a": 1, "a": 2}', "a member is given twice"),
        (b"\xff", "the body is not JSON"),
        (b'{"a":' * 150, "the body is not JSON"),
    ],
    ids=["empty", "list", "twice", "bytes", "deep"],
)
async def test_a_body_that_is_no_object_is_refused(
    client: aiohttp.ClientSession, body: bytes, reason: str
) -> None:
    async with client.post("/count", data=body) as answer:
        assert (answer.status, await answer.text()) == (400, reason)


async def test_a_body_over_the_cap_is_not_read(
    running: Running, client: aiohttp.ClientSession
) -> None:
    async with client.post("/count", data=b"x" * 1001) as answer:
        assert answer.status == 413
    assert counter(running).count == 0


async def test_a_failure_of_the_emulator_is_shown_without_the_body(
    running: Running, client: aiohttp.ClientSession
) -> None:
    async with client.post("/broken", data=b"the-key") as answer:
        assert (answer.status, await answer.text()) == (500, "the emulator failed: RuntimeError\n")
    assert len(running.failures) == 1
    assert "the-key" not in running.failures[0]


async def test_a_status_fault_answers_instead_of_acting_as_often_as_armed(
    running: Running, client: aiohttp.ClientSession
) -> None:
    running.faults.arm(
        Fault(
            path="/cou.*", skip=1, times=2, status=429, headers={"Retry-After": "7"}, body='{"m":1}'
        )
    )
    seen = []
    for _ in range(4):
        async with client.post("/count", json={}) as answer:
            seen.append((answer.status, answer.headers.get("Retry-After"), await answer.text()))
    assert [status for status, _, _ in seen] == [200, 429, 429, 200]
    assert seen[1] == (429, "7", '{"m":1}')
    assert counter(running).count == 2
    assert [call.status for call in running.calls] == [200, 429, 429, 200]


@pytest.mark.parametrize(
    ("fault", "happens"),
    [
        (Fault(method="post"), True),
        (Fault(method="GET"), False),
        (Fault(path="/count"), True),
        (Fault(path="count"), False),
        (Fault(path="/coun"), False),
        (Fault(times=0), True),
    ],
    ids=["method", "other method", "path", "not the whole", "a prefix", "until cleared"],
)
async def test_a_fault_happens_to_what_it_matches(
    running: Running, client: aiohttp.ClientSession, fault: Fault, happens: bool
) -> None:
    running.faults.arm(fault)
    async with client.post("/count", json={}) as answer:
        assert (answer.status == 503) is happens


async def test_a_fault_without_end_lasts_until_it_is_cleared(
    running: Running, client: aiohttp.ClientSession
) -> None:
    running.faults.arm(Fault(times=0, kind="html", status=502))
    for _ in range(3):
        async with client.post("/count", json={}) as answer:
            assert (answer.status, answer.content_type) == (502, "text/html")
    running.faults.clear()
    async with client.post("/count", json={}) as answer:
        assert answer.status == 200


async def test_a_call_that_is_named_in_its_body_is_journalled_and_disturbed_by_that_name(
    running: Running, client: aiohttp.ClientSession
) -> None:
    running.faults.arm(Fault(path="Delete.*", status=409))
    for action, status in (("GetThing", 400), ("DeleteThing", 409)):
        async with client.post("/count", data={"Action": action}) as answer:
            assert answer.status == status
    assert [(call.path, call.name) for call in running.calls] == [
        ("/count", "GetThing"),
        ("/count", "DeleteThing"),
    ]


async def test_a_body_that_names_nothing_is_answered_all_the_same(
    running: Running, client: aiohttp.ClientSession
) -> None:
    async with client.post("/count", data={"x": "y"}) as answer:
        assert answer.status == 400
    assert [failure.partition(":")[0] for failure in running.failures] == ["KeyError in identify"]


@pytest.mark.parametrize(("kind", "acted"), [("lost", 1), ("reset", 0)])
async def test_a_cut_connection_is_cut_after_or_before_acting(
    running: Running, client: aiohttp.ClientSession, kind: Any, acted: int
) -> None:
    running.faults.arm(Fault(kind=kind))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.post("/count", json={})
    assert counter(running).count == acted
    assert [call.status for call in running.calls] == [0]


async def test_a_latency_goes_on_to_the_next_fault(
    running: Running, client: aiohttp.ClientSession
) -> None:
    running.faults.arm(Fault(kind="latency", seconds=0.01))
    running.faults.arm(Fault(status=500))
    async with client.post("/count", json={}) as answer:
        assert answer.status == 500
    async with client.post("/count", json={}) as answer:
        assert answer.status == 200


async def test_another_process_steers_it(running: Running, client: aiohttp.ClientSession) -> None:
    def steer() -> None:
        control = Control(running.url)
        assert control.ready()["name"] == "counter"
        control.steer("count", 41)
        assert control.state() == {"count": 41}
        control.advance(90)
        assert control.ready()["now"] == "2026-11-24T12:01:30Z"
        control.arm(Fault(status=500, times=0))
        assert requests.post(running.url + "/count", json={}, timeout=5).status_code == 500
        control.clear_faults()
        assert requests.post(running.url + "/count", json={}, timeout=5).json()["count"] == 42
        assert [call.status for call in control.calls()] == [500, 200]
        control.clear_calls()
        assert control.calls() == []

    await asyncio.to_thread(steer)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("faults", {"kind": "explosion"}, 400),
        ("faults", {"path": "("}, 400),
        ("faults", {"colour": 1}, 400),
        ("faults", {"times": "1"}, 400),
        ("clock", {"advance": -1}, 400),
        ("clock", {}, 400),
        ("steer", {"what": "colour", "value": 1}, 404),
        ("steer", {"what": "count", "value": "x"}, 400),
    ],
)
async def test_a_wrong_order_is_refused(
    client: aiohttp.ClientSession, path: str, body: dict[str, Any], status: int
) -> None:
    async with client.post(f"/_control/{path}", json=body) as answer:
        assert answer.status == status


def test_the_stepped_clock_goes_on_and_never_back() -> None:
    clock = SteppedClock()
    before = clock.now()
    clock.advance(3600)
    assert clock.now() - before >= dt.timedelta(hours=1)
    assert clock.now().utcoffset() == dt.timedelta(0)
    with pytest.raises(ValueError, match="forwards"):
        clock.advance(-1)


async def test_a_front_serves_by_name_and_refuses_a_name_without_certificate(
    running: Running,
    free_port: Callable[[], int],
    self_signed: Callable[..., tuple[str, str]],
    served: Any,
) -> None:
    port = free_port()
    pairs = {name: self_signed(name) for name in ("a.example", "b.example")}
    counter(running).offered = [
        tls.Offer(port=port, tls=True, certificate=lambda name: pairs.get(name or "a.example"))
    ]
    await running.refresh()
    assert await served(port, "A.example") == pairs["a.example"][0]
    assert await served(port, "b.example") == pairs["b.example"][0]
    assert await served(port, None) == pairs["a.example"][0]
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await served(port, "c.example")
    pairs["b.example"] = self_signed("b.example")
    assert await served(port, "b.example") == pairs["b.example"][0]


async def test_a_front_serves_the_key_type_that_the_client_takes(
    running: Running,
    free_port: Callable[[], int],
    self_signed: Callable[..., tuple[str, str]],
    served: Any,
) -> None:
    port = free_port()
    pairs = [self_signed("a.example", kind="rsa"), self_signed("a.example", kind="ec")]
    counter(running).offered = [tls.Offer(port=port, tls=True, certificate=lambda _name: pairs)]
    await running.refresh()
    assert await served(port, "a.example", ["ECDHE-RSA-AES128-GCM-SHA256"]) == pairs[0][0]
    assert await served(port, "a.example", ["ECDHE-ECDSA-AES128-GCM-SHA256"]) == pairs[1][0]


async def test_a_pair_that_does_not_fit_is_never_served(
    running: Running,
    free_port: Callable[[], int],
    self_signed: Callable[..., tuple[str, str]],
    served: Any,
) -> None:
    port = free_port()
    wrong = (self_signed("a.example")[0], self_signed("a.example")[1])
    counter(running).offered = [tls.Offer(port=port, tls=True, certificate=lambda _name: wrong)]
    await running.refresh()
    with pytest.raises(ssl.SSLError):
        await served(port, "a.example")


async def test_ports_open_and_close_with_the_offers_within_a_moment(
    running: Running, free_port: Callable[[], int], client: aiohttp.ClientSession
) -> None:
    """Without a call: what changes by time alone is seen, too."""
    port = free_port()

    def redirect(host: str, path: str, headers: Mapping[str, str]) -> tls.Answer:
        return tls.Answer(status=301, headers={"Location": f"https://{host}{path}"}, body="moved")

    counter(running).offered = [tls.Offer(port=port, tls=False, answer=redirect)]
    await _until(lambda: running.fronts.ports == (port,))
    url = f"http://127.0.0.1:{port}/x?y=1"
    async with client.get(url, allow_redirects=False) as answer:
        assert (answer.status, await answer.text()) == (301, "moved")
        assert answer.headers["Location"] == "https://127.0.0.1/x?y=1"
    counter(running).offered = [tls.Offer(port=port, tls=False)]
    await running.refresh()
    async with client.get(url) as answer:
        assert (answer.status, await answer.text()) == (200, "counter\n")
    counter(running).offered = []
    await _until(lambda: running.fronts.ports == ())
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(url)


async def test_a_port_changes_from_http_to_tls(
    running: Running,
    free_port: Callable[[], int],
    self_signed: Callable[..., tuple[str, str]],
    served: Any,
) -> None:
    port = free_port()
    pair = self_signed("a.example")
    counter(running).offered = [tls.Offer(port=port, tls=False)]
    await running.refresh()
    counter(running).offered = [tls.Offer(port=port, tls=True, certificate=lambda _name: pair)]
    await running.refresh()
    assert await served(port, "a.example") == pair[0]


async def test_a_port_that_is_taken_is_reported_and_taken_up_when_free(
    running: Running, free_port: Callable[[], int]
) -> None:
    port = free_port()
    other = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    counter(running).offered = [tls.Offer(port=port, tls=False)]
    await running.refresh()
    ready = await asyncio.to_thread(Control(running.url).ready)
    assert list(ready["problems"]) == [str(port)]
    other.close()
    await other.wait_closed()
    await _until(lambda: running.fronts.ports == (port,))
    assert running.fronts.problems == {}


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (["a.example"], "a.example", True),
        (["A.example"], "a.example", True),
        (["*.example.org"], "a.example.org", True),
        (["*.example.org"], "a.b.example.org", False),
        (["*.example.org"], "example.org", False),
        (["b.example"], "a.example", False),
        ([], "a.example", False),
    ],
)
def test_a_wildcard_covers_one_label(names: list[str], host: str, covered: bool) -> None:
    assert tls.covers(names, host) is covered


def test_flags_are_made_of_the_constructors_keywords(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}

    def remember(self: Counter, **options: Any) -> None:
        made.update(options)

    command = __main__._command(Counter)
    monkeypatch.setattr(Counter, "__init__", remember)
    monkeypatch.setattr(__main__.asyncio, "run", lambda coroutine: coroutine.close())
    arguments = "--api 127.0.0.1:0 --seed 3 --step 5 --loud --names x --ports 42=8443"
    result = CliRunner().invoke(command, arguments.split())
    assert result.exit_code == 0, result.output
    assert made.pop("clock")
    assert made == {
        "front": "127.0.0.1",
        "seed": 3,
        "step": 5,
        "loud": True,
        "names": ("x",),
        "ports": {"42": 8443},
    }


@pytest.mark.parametrize(
    "arguments",
    ["--api nowhere", "--step x", "--ports 42", "--ports 42=x", "--nothing"],
)
def test_a_wrong_flag_is_refused(arguments: str) -> None:
    assert CliRunner().invoke(__main__._command(Counter), arguments.split()).exit_code == 2


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the state is the emulator's, which sets no event
            await asyncio.sleep(0.02)
