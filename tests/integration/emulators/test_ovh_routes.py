"""The emulated routes of OVH: what they answer and what of them is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.emulators.ovh import routes
from tests.integration.emulators.ovh_api import Api, running_api

REDIRECT = {"type": "redirect", "status": 308, "target": "https://${host}${path}${arguments}"}


async def _frontend(api: Api) -> int:
    made = await api.ok("POST", "/http/frontend", {"port": "80", "zone": "all"})
    number: int = made["frontendId"]
    return number


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "redirect"},
        {"action": {"type": "rewrite", "target": "x"}},
        {"action": {**REDIRECT, "status": 200}},
        {"action": {**REDIRECT, "more": 1}},
        {"action": {"type": "redirect"}},
        {"action": {"type": "reject", "target": "x"}},
        {"action": {"type": "farm", "target": "1"}},
        {"action": REDIRECT, "frontendId": 1},
        {"action": REDIRECT, "weight": 256},
        {"action": REDIRECT, "rules": []},
    ],
)
async def test_what_is_not_described_is_refused(body: dict[str, Any]) -> None:
    async with running_api() as api:
        assert await api.refused("POST", "/http/route", body) == 400


async def test_a_frontend_with_a_route_is_not_deleted_and_a_change_is_pending() -> None:
    async with running_api() as api:
        frontend = await _frontend(api)
        await api.apply()
        made = await api.ok("POST", "/http/route", {"action": REDIRECT, "frontendId": frontend})
        assert made["status"] == "ok"
        assert await api.ok("GET", "/pendingChanges")
        assert await api.refused("DELETE", f"/http/frontend/{frontend}") == 409
        await api.ok("DELETE", f"/http/route/{made['routeId']}")
        await api.ok("DELETE", f"/http/frontend/{frontend}")


async def test_there_are_fifty_routes_at_most() -> None:
    async with running_api() as api:
        for _ in range(routes.MOST):
            await api.ok("POST", "/http/route", {"action": REDIRECT})
        assert await api.refused("POST", "/http/route", {"action": REDIRECT}) == 403


@pytest.mark.parametrize(
    ("action", "status", "location"),
    [
        (REDIRECT, 308, "https://a.example.org:8080/x?q=1"),
        (
            {**REDIRECT, "target": "${protocol}://${domain}:${port}${uri}"},
            308,
            "http://a.example.org:80/x?q=1",
        ),
        ({"type": "redirect", "target": "https://b.example.org"}, 302, "https://b.example.org"),
        ({"type": "reject"}, 403, None),
        ({"type": "farm", "target": "1001"}, 200, None),
    ],
)
def test_a_route_answers(action: Any, status: int, location: str | None) -> None:
    route = routes.with_defaults(1, {"action": action})
    found = routes.answer(route, scheme="http", port=80, host="a.example.org:8080", path="/x?q=1")
    assert (found.status, found.headers.get("Location")) == (status, location)


def test_the_lightest_route_that_is_not_for_a_farm_acts() -> None:
    def route(number: int, weight: int, **action: Any) -> routes.Route:
        body = {"action": action, "weight": weight, "frontendId": 7}
        return routes.with_defaults(number, body)

    farm = route(1, 0, type="farm", target="1001")
    heavy, light = route(2, 9, type="reject"), route(3, 1, type="reject")
    assert routes.acting([farm, heavy, light], 7) == light
    assert routes.acting([farm, heavy, light], 8) is None
