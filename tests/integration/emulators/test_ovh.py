"""The emulated OVH service: what waits, what is applied, and what a handshake is given."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from sandbox.emulators.server import Fault
from tests.integration.emulators.ovh_api import Api, running_api

Make = Callable[..., tuple[str, str]]
Served = Callable[..., Awaitable[str]]


@pytest.fixture
def https_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def http_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
async def api(https_port: int, http_port: int) -> AsyncIterator[Api]:
    ports = {"443": https_port, "80": http_port}
    async with running_api(ports=ports, farms={"1001": "web", "1002": "shop"}) as api:
        yield api


HTTPS = {"port": "443", "zone": "all", "ssl": True, "defaultFarmId": 1001}


async def numbers(api: Api) -> dict[str, int]:
    return {item["zone"]: item["number"] for item in await api.ok("GET", "/pendingChanges")}


async def test_nothing_is_served_before_a_refresh_is_done(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    pair = self_signed("a.example.org")
    held = await api.upload(pair)
    await api.ok("POST", "/http/frontend", {**HTTPS, "defaultSslId": held["id"]})
    assert await numbers(api) == {"gra": 2, "rbx": 2}
    with pytest.raises(OSError):
        await served(https_port, "a.example.org")
    task = await api.ok("POST", "/refresh", {})
    assert task["status"] == "todo"
    assert task["zones"] == ["gra", "rbx"]
    assert await numbers(api) == {"gra": 2, "rbx": 2}, "until it is done"
    done = await api.until_ended(task)
    assert (done["status"], done["progress"]) == ("done", 100)
    assert done["doneDate"]
    await api.running.refresh()
    assert await served(https_port, "a.example.org") == pair[0]
    assert await api.ok("GET", "/pendingChanges") == []


async def test_a_change_after_the_refresh_was_asked_for_waits_for_the_next(api: Api) -> None:
    frontend = await api.ok("POST", "/http/frontend", HTTPS)
    task = await api.ok("POST", "/refresh", {})
    await api.ok("PUT", f"/http/frontend/{frontend['frontendId']}", {"hsts": True})
    await api.until_ended(task)
    assert await numbers(api) == {"gra": 1, "rbx": 1}
    applied = api.emulator.snapshot()["services"]
    zone = next(iter(applied.values()))["applied"]["gra"]
    assert [item["hsts"] for item in zone["frontends"]] == [False]


async def test_every_ssl_frontend_offers_all_certificates_and_the_default_answers_else(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    default, other = self_signed("a.example.org"), self_signed("*.b.example.org")
    held = await api.upload(default)
    await api.upload(other)
    await api.ok("POST", "/http/frontend", {**HTTPS, "defaultSslId": held["id"]})
    await api.apply()
    for name, pair in (
        ("a.example.org", default),
        ("x.b.example.org", other),
        ("b.example.org", default),
        ("nobody.example.net", default),
        (None, default),
    ):
        assert await served(https_port, name) == pair[0], name


async def test_without_a_default_an_unknown_name_is_refused(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    await api.upload(self_signed("a.example.org"))
    await api.ok("POST", "/http/frontend", HTTPS)
    await api.apply()
    with pytest.raises(ssl.SSLError):
        await served(https_port, "other.example.org")


async def test_rotation_switches_the_default_then_deletes_the_old(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    old, new = self_signed("a.example.org"), self_signed("a.example.org")
    first = await api.upload(old)
    frontend = await api.ok("POST", "/http/frontend", {**HTTPS, "defaultSslId": first["id"]})
    path = f"/http/frontend/{frontend['frontendId']}"
    await api.apply()
    assert await api.refused("DELETE", f"/ssl/{first['id']}") == 409
    second = await api.upload(new)
    await api.ok("PUT", path, {"defaultSslId": second["id"]})
    assert await served(https_port, "a.example.org") == old[0]
    await api.apply()
    assert await served(https_port, "a.example.org") == new[0]
    await api.ok("DELETE", f"/ssl/{first['id']}")
    assert await api.ok("GET", "/ssl") == [second["id"]]
    await api.apply()
    assert await served(https_port, "a.example.org") == new[0]


@pytest.mark.parametrize(("prefers", "expected"), [("newest", 1), ("oldest", 0)])
async def test_which_of_two_uploads_for_a_name_is_served_is_an_option(
    api: Api, https_port: int, self_signed: Make, served: Served, prefers: str, expected: int
) -> None:
    pairs = [self_signed("a.example.org"), self_signed("a.example.org")]
    for pair in pairs:
        await api.upload(pair)
    await api.ok("POST", "/http/frontend", HTTPS)
    await api.apply()
    api.emulator.steer("option", {"name": "sni-prefers", "value": prefers})
    await api.running.refresh()
    assert await served(https_port, "a.example.org") == pairs[expected][0]


async def test_a_redirect_answers_302_and_a_disabled_frontend_closes(
    api: Api, http_port: int
) -> None:
    body = {"port": "80", "zone": "gra", "redirectLocation": "https://www.example.org/x"}
    frontend = await api.ok("POST", "/http/frontend", body)
    assert await numbers(api) == {"gra": 1}
    await api.apply()
    url = f"http://127.0.0.1:{http_port}/any"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, body["redirectLocation"])
        await api.ok("PUT", f"/http/frontend/{frontend['frontendId']}", {"disabled": True})
        await api.apply()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url, allow_redirects=False)


async def test_a_farm_answers_with_hsts_where_it_is_on(
    api: Api, https_port: int, self_signed: Make
) -> None:
    held = await api.upload(self_signed("a.example.org"))
    body = {**HTTPS, "defaultSslId": held["id"], "hsts": True, "defaultFarmId": 1002}
    await api.ok("POST", "/http/frontend", body)
    await api.apply()
    url = f"https://127.0.0.1:{https_port}/"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert await answer.text() == "ovh farm 1002\n"


async def test_a_refresh_of_one_zone_leaves_the_other_pending(api: Api) -> None:
    await api.ok("POST", "/http/frontend", HTTPS)
    task = await api.ok("POST", "/refresh", {"zone": "rbx"})
    assert task["zones"] == ["rbx"]
    await api.until_ended(task)
    assert await numbers(api) == {"gra": 1}


async def test_one_refresh_at_a_time(api: Api) -> None:
    task = await api.ok("POST", "/refresh", {})
    assert await api.refused("POST", "/refresh", {}) == 409
    await api.until_ended(task)
    await api.ok("POST", "/refresh", {})


@pytest.mark.parametrize("ending", ["error", "cancelled"])
async def test_a_refresh_that_fails_applies_nothing(api: Api, ending: str) -> None:
    await api.ok("POST", "/http/frontend", HTTPS)
    api.emulator.steer("plan-task", {"action": "refreshIplb", "status": ending})
    done = await api.apply()
    assert (done["status"], done["doneDate"]) == (ending, None)
    assert await numbers(api) == {"gra": 1, "rbx": 1}
    assert (await api.apply())["status"] == "done", "only one was planned to fail"
    assert await numbers(api) == {}


async def test_a_blocked_refresh_stays_and_blocks_the_next_until_it_is_released(api: Api) -> None:
    await api.ok("POST", "/http/frontend", HTTPS)
    api.emulator.steer("plan-task", {"action": "refreshIplb", "status": "blocked"})
    task = await api.ok("POST", "/refresh", {})
    api.advance(10_000)
    assert (await api.ok("GET", f"/task/{task['id']}"))["status"] == "blocked"
    assert await api.refused("POST", "/refresh", {}) == 409
    api.emulator.steer("task", {"id": task["id"], "status": "doing"})
    assert (await api.until_ended(task))["status"] == "done"
    assert await numbers(api) == {}


async def test_a_task_passes_todo_and_doing_with_progress(api: Api) -> None:
    api.emulator.steer("option", {"name": "todo_seconds", "value": 100})
    api.emulator.steer("option", {"name": "refresh_seconds", "value": 1000})
    task = await api.ok("POST", "/refresh", {})
    path = f"/task/{task['id']}"
    seen = []
    for seconds in (0, 600, 0, 1000):
        api.advance(seconds)
        shown = await api.ok("GET", path)
        seen.append((shown["status"], shown["progress"] // 10 * 10))
    assert seen == [("todo", 0), ("doing", 50), ("doing", 50), ("done", 100)]


async def test_ended_tasks_vanish_and_ids_ascend(api: Api) -> None:
    first = await api.apply()
    second = await api.apply()
    assert second["id"] > first["id"]
    assert await api.ok("GET", "/task") == [first["id"], second["id"]]
    api.advance(4000)
    assert await api.refused("GET", f"/task/{first['id']}") == 404
    assert await api.ok("GET", "/task") == []


async def test_tasks_are_filtered(api: Api) -> None:
    refresh = await api.apply()
    api.advance(60)
    order = await api.ok("POST", "/freeCertificate", {"fqdn": ["a.example.org"]})
    await api.ok("GET", "/task")
    api.advance(2)
    created = order["creationDate"].replace("+", "%2B")
    for query, expected in (
        ({"action": "refreshIplb"}, [refresh]),
        ({"action": "orderFreeCertificate", "status": "doing"}, [order]),
        ({"status": "todo"}, []),
        ({"status": "done"}, [refresh]),
        ({"creationDate.from": created}, [order]),
        ({"creationDate.to": created}, [refresh, order]),
        ({"doneDate.to": created}, [refresh]),
        ({"doneDate.from": created}, []),
    ):
        found = await api.ok("GET", "/task", query=query)
        assert found == [task["id"] for task in expected], query


# Free certificates


async def test_a_free_certificate_is_built_and_served_without_a_refresh(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    mine = self_signed("a.example.org")
    await api.upload(mine)
    await api.ok("POST", "/http/frontend", HTTPS)
    await api.apply()
    api.emulator.steer("resolves", ["*.example.org"])
    names = ["a.example.org", "B.example.org"]
    task = await api.ok("POST", "/freeCertificate", {"fqdn": names})
    assert (task["action"], task["status"]) == ("orderFreeCertificate", "todo")
    assert (await api.until_ended(task))["status"] == "done"
    [number] = await api.ok("GET", "/ssl", query={"type": "built"})
    built = await api.ok("GET", f"/ssl/{number}")
    assert built["san"] == ["a.example.org", "b.example.org"]
    assert await api.ok("GET", "/pendingChanges") == []
    await api.running.refresh()
    delivered = await served(https_port, "b.example.org")
    assert await served(https_port, "a.example.org") == delivered != mine[0]
    await api.upload(self_signed("a.example.org"))
    await api.apply()
    assert await served(https_port, "a.example.org") == delivered, "it supersedes uploads"


async def test_names_that_point_elsewhere_stay_in_doing_and_then_end_in_error(api: Api) -> None:
    api.emulator.steer("resolves", ["a.example.org"])
    order = {"fqdn": ["a.example.org", "b.example.org"]}
    task = await api.ok("POST", "/freeCertificate", order)
    api.advance(500)
    assert (await api.ok("GET", f"/task/{task['id']}"))["status"] == "doing"
    api.advance(200)
    assert (await api.ok("GET", f"/task/{task['id']}"))["status"] == "error"
    assert await api.ok("GET", "/ssl") == []


async def test_an_order_goes_on_when_its_names_point_here_in_time(api: Api) -> None:
    task = await api.ok("POST", "/freeCertificate", {"fqdn": ["a.example.org"]})
    api.advance(300)
    assert (await api.ok("GET", f"/task/{task['id']}"))["status"] == "doing"
    api.emulator.steer("resolves", ["a.example.org"])
    assert (await api.until_ended(task))["status"] == "done"


async def test_the_provider_renews_and_notices_lost_routes(api: Api) -> None:
    api.emulator.steer("resolves", ["*"])
    await api.until_ended(await api.ok("POST", "/freeCertificate", {"fqdn": ["a.example.org"]}))
    [number] = await api.ok("GET", "/ssl")
    before = await api.ok("GET", f"/ssl/{number}")
    api.advance(86_400 * 60)
    api.emulator.steer("renew", {"id": number})
    after = await api.ok("GET", f"/ssl/{number}")
    assert after["fingerprint"] != before["fingerprint"]
    assert after["expireDate"] > before["expireDate"]
    api.emulator.steer("route", {"id": number, "routed": False})
    assert (await api.ok("GET", f"/ssl/{number}"))["type"] == "built_not_routed"
    assert await api.ok("GET", "/ssl", query={"type": "built"}) == []
    api.emulator.steer("option", {"name": "built_deletable", "value": False})
    assert await api.refused("DELETE", f"/ssl/{number}") == 403
    api.emulator.steer("option", {"name": "built_deletable", "value": True})
    await api.ok("DELETE", f"/ssl/{number}")


@pytest.mark.parametrize(
    "fqdn",
    [[], ["*.example.org"], ["localhost"], ["a.example.org", "A.example.org"], ["a b.org"], [1]],
    ids=["none", "wildcard", "one-label", "twice", "space", "number"],
)
async def test_an_order_of_bad_names_is_refused(api: Api, fqdn: list[Any]) -> None:
    assert await api.refused("POST", "/freeCertificate", {"fqdn": fqdn}) == 400


# Frontends


FRONTEND_REFUSALS: dict[str, tuple[dict[str, Any], int]] = {
    "unknown member": ({"certificate": 1}, 400),
    "read-only member": ({"frontendId": 7}, 400),
    "wrong type": ({"ssl": "true"}, 400),
    "boolean for a number": ({"defaultFarmId": True}, 400),
    "null where it is not allowed": ({"port": None}, 400),
    "default certificate of 0": ({"defaultSslId": 0}, 500),
    "unknown default certificate": ({"defaultSslId": 77}, 400),
    "unknown farm": ({"defaultFarmId": 77}, 400),
    "farm and redirect": ({"redirectLocation": "https://example.org/"}, 400),
    "relative redirect": ({"defaultFarmId": None, "redirectLocation": "/x"}, 400),
    "allowed and denied": (
        {"allowedSource": ["192.0.2.0/24"], "deniedSource": ["198.51.100.0/24"]},
        400,
    ),
    "no address block": ({"allowedSource": ["192.0.2.1/24"]}, 400),
    "block that is no list": ({"deniedSource": "192.0.2.0/24"}, 400),
    "unknown zone": ({"zone": "bhs"}, 400),
    "port beyond the last": ({"port": "49152"}, 400),
    "port of zero": ({"port": "0"}, 400),
    "decreasing range": ({"port": "90-80"}, 400),
    "port as a number": ({"port": 443}, 400),
    "port of words": ({"port": "https"}, 400),
    "port given twice": ({"port": "443,440-450"}, 400),
    "header with a line break": ({"httpHeader": ["X: a\r\nY: b"]}, 400),
    "port that is taken": ({"port": "8000-9000"}, 409),
}


@pytest.mark.parametrize(
    ("body", "status"), FRONTEND_REFUSALS.values(), ids=FRONTEND_REFUSALS.keys()
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_frontend_that_is_not_right_is_refused_and_nothing_changes(
    api: Api, method: str, body: dict[str, Any], status: int
) -> None:
    await api.ok("POST", "/http/frontend", {"port": "8443", "zone": "rbx", "ssl": True})
    path = "/http/frontend"
    whole = {**HTTPS, **body}
    if method == "PUT":
        frontend = await api.ok("POST", path, HTTPS)
        path, whole = f"{path}/{frontend['frontendId']}", body
    elif None in body.values():
        whole = {name: value for name, value in whole.items() if value is not None}
    before = api.emulator.snapshot()
    assert await api.refused(method, path, whole) == status
    assert api.emulator.snapshot() == before


@pytest.mark.parametrize("name", ["port", "zone"])
async def test_a_new_frontend_needs_port_and_zone(api: Api, name: str) -> None:
    body = {key: value for key, value in HTTPS.items() if key != name}
    assert await api.refused("POST", "/http/frontend", body) == 400


async def test_a_new_frontend_takes_no_null(api: Api) -> None:
    assert await api.refused("POST", "/http/frontend", {**HTTPS, "redirectLocation": None}) == 400


async def test_a_put_leaves_alone_what_it_does_not_name(api: Api) -> None:
    body = {**HTTPS, "displayName": "shop", "allowedSource": ["192.0.2.0/24"]}
    frontend = await api.ok("POST", "/http/frontend", body)
    path = f"/http/frontend/{frontend['frontendId']}"
    change = {"defaultFarmId": None, "redirectLocation": "https://www.example.org/"}
    assert await api.ok("PUT", path, change) is None
    assert await api.ok("GET", path) == {**frontend, **change}
    await api.ok("PUT", path, {"allowedSource": []})
    assert (await api.ok("GET", path))["allowedSource"] is None


async def test_only_what_is_served_counts_as_pending(api: Api, self_signed: Make) -> None:
    frontend = await api.ok("POST", "/http/frontend", HTTPS)
    held = await api.upload(self_signed("a.example.org"))
    await api.apply()
    path = f"/http/frontend/{frontend['frontendId']}"
    await api.ok("PUT", path, {"displayName": "other", "port": "443"})
    await api.ok("PUT", f"/ssl/{held['id']}", {"displayName": "other"})
    assert await numbers(api) == {}
    await api.ok("PUT", path, {"zone": "gra"})
    assert await numbers(api) == {"gra": 1, "rbx": 1}
    await api.ok("PUT", path, {"hsts": True})
    assert await numbers(api) == {"gra": 2, "rbx": 1}
    await api.ok("DELETE", path)
    assert await numbers(api) == {"gra": 3, "rbx": 1}


async def test_frontends_are_filtered(api: Api, self_signed: Make) -> None:
    held = await api.upload(self_signed("a.example.org"))
    one = await api.ok("POST", "/http/frontend", {**HTTPS, "defaultSslId": held["id"]})
    two = await api.ok("POST", "/http/frontend", {"port": "4430", "zone": "gra"})
    both = sorted([one["frontendId"], two["frontendId"]])
    for query, expected in (
        ({}, both),
        ({"port": "443"}, both),
        ({"port": "4430"}, [two["frontendId"]]),
        ({"zone": "all"}, [one["frontendId"]]),
        ({"defaultSslId": str(held["id"])}, [one["frontendId"]]),
        ({"defaultFarmId": "1002"}, []),
    ):
        assert await api.ok("GET", "/http/frontend", query=query) == expected, query


async def test_ports_may_be_shared_by_dedicated_addresses_and_zones(api: Api) -> None:
    one = {"port": "443", "zone": "gra", "dedicatedIpfo": ["192.0.2.1/32"]}
    await api.ok("POST", "/http/frontend", one)
    await api.ok("POST", "/http/frontend", {**one, "dedicatedIpfo": ["192.0.2.2"]})
    await api.ok("POST", "/http/frontend", {**one, "zone": "rbx"})
    assert await api.refused("POST", "/http/frontend", one) == 409


# Certificates


async def test_an_upload_shows_its_facts_and_no_key(api: Api, self_signed: Make) -> None:
    pair = self_signed("a.example.org", "b.example.org", kind="rsa")
    held = await api.upload(pair, displayName="mine")
    assert held["san"] == ["a.example.org", "b.example.org"]
    assert (held["type"], held["displayName"]) == ("custom", "mine")
    assert "key" not in held
    assert "PRIVATE" not in str(api.emulator.snapshot())
    for form, length in (("sha1", 40), ("sha1-colons", 59), ("sha256", 64), ("sha256-colons", 95)):
        api.emulator.steer("option", {"name": "fingerprint_form", "value": form})
        shown = await api.ok("GET", f"/ssl/{held['id']}")
        assert len(shown["fingerprint"]) == length
        part = shown["fingerprint"][3:17]
        assert await api.ok("GET", "/ssl", query={"fingerprint": part}) == [held["id"]]
    assert await api.ok("GET", "/ssl", query={"fingerprint": "zz"}) == []
    assert await api.ok("GET", "/ssl", query={"expireDate": "2020-01-01T00:00:00Z"}) == []
    later = {"expireDate": "2099-01-01T00:00:00Z"}
    assert await api.ok("GET", "/ssl", query=later) == [held["id"]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body, other: {**body, "key": other[1]},
        lambda body, _: {**body, "key": body["certificate"]},
        lambda body, _: {**body, "key": "nonsense"},
        lambda body, _: {**body, "certificate": "nonsense"},
        lambda body, _: {**body, "certificate": body["certificate"] + "rest"},
        lambda body, other: {**body, "certificate": body["certificate"] + other[0]},
        lambda body, other: {**body, "chain": other[0]},
        lambda body, _: {**body, "chain": body["key"]},
        lambda body, _: {**body, "chain": None},
        lambda body, _: {**body, "name": "x"},
        lambda body, _: {"certificate": body["certificate"]},
        lambda body, _: {**body, "key": 5},
    ],
    ids=[
        "other-key",
        "key-is-no-key",
        "key-is-no-pem",
        "certificate-is-no-pem",
        "text-after-pem",
        "two-certificates",
        "chain-of-another",
        "chain-has-a-key",
        "chain-of-null",
        "unknown-member",
        "no-key",
        "key-of-a-wrong-type",
    ],
)
async def test_a_bad_upload_is_refused(
    api: Api,
    self_signed: Make,
    spoil: Callable[[dict[str, Any], tuple[str, str]], dict[str, Any]],
) -> None:
    certificate, key = self_signed("a.example.org")
    body = spoil({"certificate": certificate, "key": key}, self_signed("b.example.org"))
    assert await api.refused("POST", "/ssl", body) == 400
    assert await api.ok("GET", "/ssl") == []


async def test_an_encrypted_key_and_an_expired_certificate_are_refused(
    api: Api, self_signed: Make
) -> None:
    certificate, key = self_signed("a.example.org", password=b"secret")
    assert await api.refused("POST", "/ssl", {"certificate": certificate, "key": key}) == 400
    certificate, key = self_signed("a.example.org", days=1)
    api.advance(86_400 * 2)
    assert await api.refused("POST", "/ssl", {"certificate": certificate, "key": key}) == 400


async def test_a_certificate_changes_its_display_name_only(api: Api, self_signed: Make) -> None:
    pair = self_signed("a.example.org")
    held = await api.upload(pair)
    path = f"/ssl/{held['id']}"
    for body in ({"certificate": pair[0], "key": pair[1]}, {"type": "built"}, {"id": 5}):
        assert await api.refused("PUT", path, body) == 400
    assert await api.ok("PUT", path, {"displayName": "mine"}) is None
    assert await api.ok("GET", path) == {**held, "displayName": "mine"}


async def test_a_full_service_takes_no_more(api: Api, self_signed: Make) -> None:
    api.emulator.steer("option", {"name": "ssl_quota", "value": 1})
    held = await api.upload(self_signed("a.example.org"))
    certificate, key = self_signed("b.example.org")
    assert await api.refused("POST", "/ssl", {"certificate": certificate, "key": key}) == 403
    await api.ok("DELETE", f"/ssl/{held['id']}")
    await api.upload((certificate, key))


# The rest of the service


async def test_the_service_is_described_and_changed(api: Api) -> None:
    await api.ok("PUT", "", {"displayName": "front", "sslConfiguration": "modern"})
    shown = await api.ok("GET", "")
    assert (shown["displayName"], shown["sslConfiguration"]) == ("front", "modern")
    assert await numbers(api) == {"gra": 1, "rbx": 1}
    for body in ({"sslConfiguration": "old"}, {"displayName": "x" * 51}, {"state": "ok"}):
        assert await api.refused("PUT", "", body) == 400
    assert await api.ok("GET", "/zone") == ["gra", "rbx"]
    assert await api.ok("GET", "/zone/gra") == {"name": "gra", "state": "ok"}
    assert await api.ok("GET", "/quota") == ["gra", "rbx"]
    await api.ok("PUT", "/quota/gra", {"alert": 5})
    assert await api.refused("PUT", "/quota/gra", {"alert": True}) == 400
    assert (await api.ok("GET", "/quota/gra"))["alert"] == 5
    assert await api.ok("GET", "/http/farm") == [1001, 1002]
    assert (await api.ok("GET", "/http/farm/1002"))["displayName"] == "shop"
    assert (await api.ok("GET", "/status"))["farms"]["total"] == 2


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/ssl/7", {}, 404),
        ("GET", "/ssl/x", {}, 400),
        ("DELETE", "/http/frontend/7", {}, 404),
        ("GET", "/http/farm/7", {}, 404),
        ("GET", "/task/7", {}, 404),
        ("GET", "/zone/bhs", {}, 404),
        ("GET", "/quota/bhs", {}, 404),
        ("DELETE", "/refresh", {}, 405),
        ("GET", "/ssl", {"type": "free"}, 400),
        ("GET", "/ssl", {"expireDate": "tomorrow"}, 400),
        ("GET", "/ssl", {"name": "x"}, 400),
        ("GET", "/task", {"status": "running"}, 400),
        ("GET", "/http/frontend", {"defaultFarmId": "x"}, 400),
        ("GET", "/status", {"x": "1"}, 400),
    ],
)
async def test_what_is_not_there_or_not_described_is_refused(
    api: Api, method: str, path: str, query: dict[str, str], status: int
) -> None:
    assert await api.refused(method, path, query=query) == status


async def test_an_unknown_service_is_not_found(api: Api) -> None:
    status, answer, headers = await api.send("GET", "/ipLoadbalancing/ip-192.0.2.1/ssl")
    assert (status, answer["message"]) == (404, "This service does not exist")
    assert headers["X-OVH-QUERYID"]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"zone":"gra","zone":"rbx"}', "application/json"),
        (b"zone=gra", "application/x-www-form-urlencoded"),
    ],
    ids=["cut", "list", "twice", "form"],
)
async def test_a_body_that_is_no_json_object_is_refused(api: Api, raw: bytes, kind: str) -> None:
    path = "/ipLoadbalancing/loadbalancer-0123456789abcdef/refresh"
    status, answer, _ = await api.send("POST", path, raw=raw, changed={"Content-Type": kind})
    assert (status, answer["class"]) == (400, "Client::BadRequest")


async def test_a_large_body_is_refused_in_the_apis_form(api: Api) -> None:
    body = {"certificate": "x" * 300_000, "key": "x"}
    status, answer, _ = await api.send("POST", "/ipLoadbalancing/x/ssl", body)
    assert (status, answer["class"]) == (413, "Client::BadRequest")


async def test_what_happens_behind_the_clients_back(
    api: Api, https_port: int, self_signed: Make, served: Served
) -> None:
    pair = self_signed("a.example.org")
    held = await api.upload(pair)
    frontend = await api.ok("POST", "/http/frontend", {**HTTPS, "defaultSslId": held["id"]})
    number = frontend["frontendId"]
    await api.apply()
    api.emulator.steer("alter-frontend", {"id": number, "fields": {"hsts": True}})
    assert (await api.ok("GET", f"/http/frontend/{number}"))["hsts"] is True
    assert await served(https_port, "a.example.org") == pair[0]
    api.emulator.steer("forget-ssl", {"id": held["id"]})
    assert (await api.ok("GET", f"/http/frontend/{number}"))["defaultSslId"] is None
    await api.running.refresh()
    with pytest.raises(ssl.SSLError):
        await served(https_port, "a.example.org")
    assert await api.ok("GET", "/pendingChanges") == []
    api.emulator.steer("forget-frontend", {"id": number, "applied": False})
    assert await numbers(api) == {"gra": 1, "rbx": 1}
    api.emulator.steer("service-state", "suspended")
    assert await api.refused("GET", "/ssl") == 460


@pytest.mark.parametrize(
    ("what", "value", "error"),
    [
        ("nothing", None, LookupError),
        ("task", {"id": 5, "status": "done"}, ValueError),
        ("task", {"id": 5}, ValueError),
        ("plan-task", {"action": "refresh", "status": "done"}, ValueError),
        ("renew", {"id": 5}, ValueError),
        ("resolves", "a.example.org", ValueError),
        ("option", {"name": "zones", "value": "x"}, ValueError),
        ("consumer", {"key": "x", "rules": ["GET"]}, ValueError),
        ("alter-frontend", {"id": 1, "fields": {"frontendId": 5}}, ValueError),
    ],
)
async def test_steering_says_what_is_wrong(
    api: Api, what: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        api.emulator.steer(what, value)


async def test_a_lost_answer_leaves_the_upload_behind(api: Api, self_signed: Make) -> None:
    api.running.faults.arm(Fault(path="POST /ssl", kind="lost"))
    with pytest.raises(aiohttp.ClientError):
        await api.upload(self_signed("a.example.org"))
    assert len(await api.ok("GET", "/ssl")) == 1


async def test_what_is_applied_is_served_after_the_propagation(
    https_port: int, self_signed: Make, served: Served
) -> None:
    async with running_api(ports={"443": https_port}, propagation_seconds=1000.0) as api:
        await api.upload(self_signed("a.example.org"))
        await api.ok("POST", "/http/frontend", HTTPS)
        await api.apply()
        assert await api.ok("GET", "/pendingChanges") == []
        with pytest.raises(OSError):
            await served(https_port, "a.example.org")
        api.advance(1000)
        await api.running.refresh()
        assert await served(https_port, "a.example.org")
