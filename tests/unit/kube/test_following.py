"""Following a kind: a list, a watch from where it ends, and what each kind of error leads to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from certfront.kube import backoff, following
from certfront.kube.client import Listing, WatchEvent
from certfront.kube.errors import ApiError, Forbidden, Gone, Silent, Unreachable
from certfront.kube.resources import SECRETS

Script = list[WatchEvent | ApiError]


def secret(version: str) -> dict[str, Any]:
    return {"metadata": {"name": "site", "resourceVersion": version}}


class Scripted:
    """A client whose lists and watches were written down; the last watch never ends."""

    def __init__(self, lists: list[Listing | ApiError], watches: list[Script]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []

    async def list(self, *_: Any, label_selector: str | None) -> Listing:
        assert label_selector == "a-label"
        self.asked.append("list")
        found = self.lists.pop(0)
        if isinstance(found, ApiError):
            raise found
        return found

    async def watch(
        self, *_: Any, resource_version: str, label_selector: str | None
    ) -> AsyncGenerator[WatchEvent, None]:
        assert label_selector == "a-label"
        self.asked.append(f"watch {resource_version}")
        for each in self.watches.pop(0):
            if isinstance(each, ApiError):
                raise each
            yield each
        if not self.watches:
            await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_SHORTEST", 0.0)


async def told(client: Scripted, count: int) -> list[tuple[str | None, str]]:
    """The first so many things that are told, with their versions; and one more attempt after."""
    found: list[tuple[str | None, str]] = []
    changes = following.follow(client, SECRETS, "shop", "a-label")  # type: ignore[arg-type]
    async with asyncio.timeout(5), aclosing(changes):
        async for change, obj in changes:
            found.append((change, obj["metadata"]["resourceVersion"]))
            if len(found) == count:
                break
    return found


async def test_what_is_there_is_told_first_then_every_change_but_no_bookmark() -> None:
    client = Scripted(
        [Listing([secret("3")], "5")],
        [[("ADDED", secret("6")), ("BOOKMARK", secret("8")), ("DELETED", secret("9"))]],
    )
    assert await told(client, 3) == [(None, "3"), ("ADDED", "6"), ("DELETED", "9")]
    assert client.asked == ["list", "watch 5"]


@pytest.mark.parametrize(
    ("end", "goes_on"),
    [
        pytest.param([], "watch 8", id="the server ends the watch"),
        pytest.param([Unreachable(0, "Unreachable", "broken")], "watch 8", id="it breaks"),
        pytest.param([Forbidden(403, "Forbidden", "no")], "watch 8", id="rights are taken away"),
        pytest.param([Gone(410, "Expired", "too old")], "list", id="the revision is gone"),
        pytest.param([Silent(0, "Silent", "deaf")], "list", id="nothing was heard"),
    ],
)
async def test_it_goes_on_from_the_last_bookmark_and_lists_again_only_where_it_must(
    end: Script, goes_on: str
) -> None:
    client = Scripted(
        [Listing([], "5"), Listing([secret("20")], "20")],
        [[("BOOKMARK", secret("8")), *end], [("MODIFIED", secret("21"))]],
    )
    await told(client, 1)
    assert client.asked[:3] == ["list", "watch 5", goes_on]


async def test_a_list_that_fails_is_asked_for_again() -> None:
    client = Scripted([Unreachable(0, "Unreachable", "away"), Listing([secret("3")], "5")], [[]])
    assert await told(client, 1) == [(None, "3")]
