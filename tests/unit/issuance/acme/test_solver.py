"""C1: the operator's own challenge port."""

from collections.abc import Callable

import pytest
from aiohttp import ClientSession, test_utils

from certfront.issuance.acme import solver
from certfront.issuance.acme.solver import PATH, ChallengePort, challenge_host
from certfront.model.clock import Clock, FrozenClock, SystemClock


def _server(lookup: Callable[[str, str | None], str | None], clock: Clock) -> test_utils.TestServer:
    return test_utils.TestServer(ChallengePort(lookup, clock).application())


async def _get(server: test_utils.TestServer, path: str) -> tuple[int, str]:
    async with ClientSession() as client, client.get(server.make_url(path)) as response:
        return response.status, await response.text()


async def test_c1_the_token_is_answered_with_its_key_authorization() -> None:
    asked = []

    def lookup(token: str, host: str | None) -> str | None:
        asked.append((token, host))
        return f"{token}.thumb"

    async with _server(lookup, SystemClock()) as server:
        assert await _get(server, PATH + "tok-en_1") == (200, "tok-en_1.thumb")
    assert asked == [("tok-en_1", "127.0.0.1")]


async def test_a_replica_waits_for_its_store_before_it_says_404() -> None:
    looks = 0

    def late(token: str, host: str | None) -> str | None:
        nonlocal looks
        looks += 1
        return "late" if looks > 3 else None

    async with _server(late, SystemClock()) as server:
        assert await _get(server, PATH + "token") == (200, "late")


async def test_an_unknown_token_is_404_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FrozenClock()

    def never(token: str, host: str | None) -> str | None:
        clock.advance(0.5)
        return None

    monkeypatch.setattr(solver, "_LOOK_SECONDS", 0.0)
    async with _server(never, clock) as server:
        status, _ = await _get(server, PATH + "token")
    assert status == 404
    assert clock.monotonic() == pytest.approx(2.5)


@pytest.mark.parametrize("path", ["/", PATH, PATH + "a%2Fb", PATH + "a.b", PATH + "x" * 257, "/x"])
async def test_anything_else_is_404_at_once(path: str) -> None:
    def lookup(token: str, host: str | None) -> str | None:
        raise AssertionError("must not be asked")

    async with _server(lookup, SystemClock()) as server:
        status, _ = await _get(server, path)
    assert status == 404


async def test_a_crowd_of_unknown_tokens_is_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solver, "MOST_WAITING", 0)
    async with _server(lambda *_: None, FrozenClock()) as server:
        status, _ = await _get(server, PATH + "token")
    assert status == 404


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("Shop.Example.com", "shop.example.com"),
        ("shop.example.com:80", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("[2001:DB8::1]:80", "2001:db8::1"),
        ("[2001:db8::1", None),
        ("", None),
        (":80", None),
        ("x" * 300, None),
        (None, None),
    ],
)
def test_c3_the_host_is_read_without_port_and_brackets(
    header: str | None, host: str | None
) -> None:
    assert host == challenge_host(header)
