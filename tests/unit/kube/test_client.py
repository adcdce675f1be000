"""The client against a strict server: what it sends, and what it makes of the answers."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from certfront.kube.client import ApiClient
from certfront.kube.errors import (
    AlreadyExists,
    ApiError,
    Cause,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Silent,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from certfront.kube.resources import CERTIFICATES, LEASES, NAMESPACES, SECRETS
from tests.unit.kube.apiserver import ApiServer, answering, event, status, until

SECRET_PATH = "/api/v1/namespaces/shop/secrets/tls"
CERTIFICATE_PATH = "/apis/certfront.io/v1alpha1/namespaces/shop/certificates/web"


def named(name: str = "tls", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name}, **rest}


async def test_get_reads_an_object(server: ApiServer, client: ApiClient) -> None:
    server.store(SECRET_PATH, named(data={"a": "b"}))
    obj = await client.get(SECRETS, "shop", "tls")
    assert obj["data"] == {"a": "b"}
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("GET", SECRET_PATH, {})
    assert asked.headers["Authorization"] == "Bearer one"
    with pytest.raises(NotFound):
        await client.get(SECRETS, "shop", "other")


async def test_a_cluster_scoped_object_has_no_namespace(
    server: ApiServer, client: ApiClient
) -> None:
    server.store("/api/v1/namespaces/shop", {"metadata": {"name": "shop"}})
    assert (await client.get(NAMESPACES, None, "shop"))["metadata"]["name"] == "shop"


async def test_list_reads_every_page_without_a_revision(
    server: ApiServer, client: ApiClient
) -> None:
    for number in range(7):
        server.store(f"{SECRET_PATH}-{number}", named(f"tls-{number}"))
    listing = await client.list(SECRETS, "shop", label_selector="certfront.io/secret", page_size=3)
    assert [item["metadata"]["name"] for item in listing.items] == [f"tls-{n}" for n in range(7)]
    assert listing.resource_version == "107"
    assert listing.items[0]["apiVersion"] == "v1"
    assert listing.items[0]["kind"] == "Secret"
    assert [asked.query.get("continue") for asked in server.asked] == [None, "3", "6"]
    for asked in server.asked:
        # With a resourceVersion the answer could come from a stale cache.
        assert "resourceVersion" not in asked.query
        assert asked.query["labelSelector"] == "certfront.io/secret"


async def test_list_of_metadata_asks_for_metadata_only(
    server: ApiServer, client: ApiClient
) -> None:
    server.store(SECRET_PATH, named(data={"tls.key": "x"}))
    listing = await client.list(SECRETS, metadata_only=True)
    assert listing.items[0].keys() == {"metadata", "kind", "apiVersion"}
    assert listing.items[0]["kind"] == "Secret"
    assert server.asked[0].path == "/api/v1/secrets"


async def test_a_list_whose_pages_expire_is_read_in_one(
    server: ApiServer, client: ApiClient
) -> None:
    for number in range(3):
        server.store(f"{SECRET_PATH}-{number}", named(f"tls-{number}"))
    server.script = [None, answering(lambda: status(410, "Expired", "too old"))]
    listing = await client.list(SECRETS, "shop", page_size=2)
    assert len(listing.items) == 3
    assert "limit" not in server.asked[-1].query


async def test_create_posts_to_the_collection(server: ApiServer, client: ApiClient) -> None:
    created = await client.create(SECRETS, named(type="Opaque"))
    assert created["metadata"]["uid"]
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/api/v1/namespaces/shop/secrets")
    assert asked.query == {"fieldManager": "certfront"}
    assert asked.body["kind"] == "Secret"
    with pytest.raises(AlreadyExists) as refused:
        await client.create(SECRETS, named())
    assert isinstance(refused.value, Conflict), "whoever handles conflicts handles this one"


@pytest.mark.parametrize("force", [True, False])
async def test_apply_is_a_server_side_apply(
    server: ApiServer, client: ApiClient, force: bool
) -> None:
    await client.apply(SECRETS, named(data={}), force=force)
    (asked,) = server.asked
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.query == {"fieldManager": "certfront", "force": "true" if force else "false"}
    assert asked.body["apiVersion"] == "v1"


async def test_an_apply_conflict_names_the_fields_of_others(
    server: ApiServer, client: ApiClient
) -> None:
    causes = [{"reason": "FieldManagerConflict", "field": ".data.tls.crt", "message": "x"}]
    server.script = [
        answering(lambda: status(409, "Conflict", "1 conflict", details={"causes": causes}))
    ]
    with pytest.raises(Conflict) as refused:
        await client.apply(SECRETS, named(), force=False)
    assert refused.value.causes == (Cause("FieldManagerConflict", ".data.tls.crt"),)


async def test_a_status_is_replaced_whole_by_what_differs(
    server: ApiServer, client: ApiClient
) -> None:
    before = {"task": {"id": "1", "step": "x"}, "kept": 1, "list": [1, 2], "gone": True}
    after = {"task": {"id": "1"}, "kept": 1, "list": [2], "new": {"deep": None, "a": 1}}
    held = server.store(CERTIFICATE_PATH, named("web", spec={"type": "CA"}, status=before))
    written = await client.patch_status(
        CERTIFICATES,
        "shop",
        "web",
        uid=held["metadata"]["uid"],
        resource_version=held["metadata"]["resourceVersion"],
        status=after,
        previous=before,
    )
    assert written["status"] == after | {"new": {"a": 1}}
    assert written["spec"] == {"type": "CA"}
    (asked,) = server.asked
    assert asked.path == CERTIFICATE_PATH + "/status"
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.body == {
        "metadata": {"resourceVersion": held["metadata"]["resourceVersion"]},
        "status": {"task": {"step": None}, "list": [2], "new": {"a": 1}, "gone": None},
    }


@pytest.mark.parametrize(
    ("uid", "revision"),
    [pytest.param("uid-101", "99", id="older"), pytest.param("uid-7", "101", id="another-object")],
)
async def test_a_status_decided_on_something_else_is_a_conflict(
    server: ApiServer, client: ApiClient, uid: str, revision: str
) -> None:
    server.store(CERTIFICATE_PATH, named("web", status={}))
    with pytest.raises(Conflict):
        await client.patch_status(
            CERTIFICATES,
            "shop",
            "web",
            uid=uid,
            resource_version=revision,
            status={"a": 1},
            previous={},
        )


async def test_finalizers_are_patched_whole_and_nothing_else(
    server: ApiServer, client: ApiClient
) -> None:
    obj = named("web")
    obj["metadata"] |= {"annotations": {"a": "1", "b": "2"}, "finalizers": ["theirs"]}
    held = server.store(CERTIFICATE_PATH, obj)["metadata"]
    written = await client.patch_finalizers(
        CERTIFICATES,
        "shop",
        "web",
        uid=held["uid"],
        resource_version=held["resourceVersion"],
        finalizers=["theirs", "certfront.io/installed"],
    )
    assert written["metadata"]["annotations"] == {"a": "1", "b": "2"}
    assert written["metadata"]["finalizers"] == ["theirs", "certfront.io/installed"]


async def test_update_compares_the_revision(server: ApiServer, client: ApiClient) -> None:
    held = server.store(SECRET_PATH, named())
    await client.update(SECRETS, held | {"data": {"a": "b"}})
    assert server.asked[0].method == "PUT"
    with pytest.raises(Conflict):
        await client.update(SECRETS, held)


async def test_delete_carries_its_preconditions(server: ApiServer, client: ApiClient) -> None:
    server.store(SECRET_PATH, named())
    with pytest.raises(Conflict):
        await client.delete(SECRETS, "shop", "tls", uid="u", resource_version="7")
    assert server.asked[0].body["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    await client.delete(SECRETS, "shop", "tls")
    assert "preconditions" not in server.asked[1].body
    with pytest.raises(NotFound):
        await client.delete(SECRETS, "shop", "tls")


async def test_names_are_quoted_into_paths(server: ApiServer, client: ApiClient) -> None:
    with pytest.raises(ApiError):
        await client.get(SECRETS, "shop", "a/../../b?x=1")
    with pytest.raises(ValueError, match="empty"):
        await client.get(SECRETS, "", "a")
    with pytest.raises(ValueError, match="empty"):
        await client.get(SECRETS, "shop", "..")
    with pytest.raises(ValueError, match="within a namespace"):
        await client.get(SECRETS, None, "a")
    assert all(asked.query == {} for asked in server.asked)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", ApiError),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (410, "Gone", Gone),
        (415, "UnsupportedMediaType", Invalid),
        (422, "Invalid", Invalid),
        (500, "InternalError", Unreachable),
        (503, "ServiceUnavailable", Unreachable),
        (504, "Timeout", Unreachable),
    ],
)
async def test_every_refusal_has_its_class(
    server: ApiServer, client: ApiClient, code: int, reason: str, expected: type[ApiError]
) -> None:
    server.script = [answering(lambda: status(code, reason, "why"))] * 2
    with pytest.raises(ApiError) as refused:
        await client.get(SECRETS, "shop", "tls")
    assert type(refused.value) is expected
    assert (refused.value.status, refused.value.reason) == (code, reason)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: web.Response(status=502, text="<html>proxy</html>"), id="html"),
        pytest.param(lambda: web.Response(text="{"), id="half-json"),
        pytest.param(lambda: web.Response(text="[]"), id="no-object"),
        pytest.param(lambda: web.Response(text=""), id="empty"),
    ],
)
async def test_what_is_no_answer_of_an_api_server_is_unreachable(
    server: ApiServer, client: ApiClient, answer: Any
) -> None:
    server.script = [answering(answer)]
    with pytest.raises(Unreachable):
        await client.get(SECRETS, "shop", "tls")


@pytest.mark.parametrize("code", [400, 403, 409, 422, 500])
async def test_no_error_repeats_a_key_that_the_server_quotes(
    server: ApiServer, client: ApiClient, code: int
) -> None:
    """A 422 quotes the refused value, a webhook may quote anything."""
    canary = "-----BEGIN PRIVATE KEY-----\nMIICANARY\n-----END PRIVATE KEY-----"
    causes = [{"reason": "FieldValueInvalid", "field": "spec.commonName", "message": canary}]
    server.script = [
        answering(
            lambda: status(code, "Invalid", f"Invalid value: {canary}", details={"causes": causes})
        )
    ]
    with pytest.raises(ApiError) as refused:
        await client.create(CERTIFICATES, named("web", spec={"commonName": canary}))
    assert "CANARY" not in f"{refused.value!r} {refused.value} {vars(refused.value)}"
    if code in {400, 422}:
        assert refused.value.message == "spec.commonName (FieldValueInvalid)"


async def test_messages_are_one_bounded_line(server: ApiServer, client: ApiClient) -> None:
    server.script = [answering(lambda: status(403, "Forbidden", "no\r\n\x1b[31m" + "x" * 9999))]
    with pytest.raises(Forbidden) as refused:
        await client.get(SECRETS, "shop", "tls")
    assert len(refused.value.message) == 400
    assert refused.value.message.startswith("no [31mxxx")


async def test_a_busy_server_is_asked_again_as_it_says(
    server: ApiServer, client: ApiClient
) -> None:
    server.store(SECRET_PATH, named())
    busy = answering(lambda: status(429, "TooManyRequests", "slow", headers={"Retry-After": "0"}))
    client._pause = 0.01
    server.script = [busy, busy]
    assert await client.get(SECRETS, "shop", "tls")
    assert len(server.asked) == 3


async def test_a_server_that_stays_busy_is_told_to_the_caller(
    server: ApiServer, client: ApiClient
) -> None:
    client._pause = 0.01
    server.script = [
        answering(lambda: status(429, "TooManyRequests", "slow", headers={"Retry-After": "0"}))
    ] * 9
    with pytest.raises(TooManyRequests):
        await client.get(SECRETS, "shop", "tls")
    assert len(server.asked) == 4


async def test_a_retry_after_is_kept_for_the_caller(server: ApiServer) -> None:
    async with ApiClient(Configuration(host=server.url), timeout=0.2) as client:
        server.script = [
            answering(lambda: status(503, "ServiceUnavailable", "", headers={"Retry-After": "17"}))
        ]
        with pytest.raises(Unreachable) as refused:
            await client.get(SECRETS, "shop", "tls")
        assert refused.value.retry_after == 17


async def test_a_silent_server_is_unreachable_at_the_deadline(
    server: ApiServer, client: ApiClient
) -> None:
    server.hang = asyncio.Event()
    with pytest.raises(Unreachable, match=r"no answer in 0\.05 s"):
        await client.get(SECRETS, "shop", "tls", timeout=0.05)


async def test_a_server_that_is_away_is_unreachable() -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as client:
        with pytest.raises(Unreachable, match="cannot be reached"):
            await client.get(SECRETS, "shop", "tls")
        assert client.clock_offset is None
        assert client.last_answer is None


async def test_calls_in_flight_are_bounded_and_leases_do_not_queue(server: ApiServer) -> None:
    server.hang = asyncio.Event()
    server.store(SECRET_PATH, named())
    server.store("/apis/coordination.k8s.io/v1/namespaces/shop/leases/tls", named())
    async with ApiClient(Configuration(host=server.url), in_flight=2) as client:
        calls = [asyncio.create_task(client.get(SECRETS, "shop", "tls")) for _ in range(5)]
        lease = asyncio.create_task(client.get(LEASES, "shop", "tls"))
        await until(lambda: len(server.asked) >= 3)
        await asyncio.sleep(0.05)
        assert sorted(asked.path for asked in server.asked) == [SECRET_PATH] * 2 + [
            "/apis/coordination.k8s.io/v1/namespaces/shop/leases/tls"
        ]
        server.hang.set()
        await asyncio.gather(*calls, lease)


async def test_waiting_for_a_turn_counts_towards_the_deadline(server: ApiServer) -> None:
    server.hang = asyncio.Event()
    async with ApiClient(Configuration(host=server.url), in_flight=1) as client:
        first = asyncio.create_task(client.get(SECRETS, "shop", "tls"))
        await until(lambda: server.asked)
        with pytest.raises(Unreachable):
            await client.get(SECRETS, "shop", "tls", timeout=0.05)
        server.hang.set()
        with pytest.raises(NotFound):
            await first


async def test_requests_are_counted_by_verb_and_status(server: ApiServer) -> None:
    counted: list[tuple[str, int]] = []
    server.store(SECRET_PATH, named())
    async with ApiClient(
        Configuration(host=server.url), count=lambda verb, code: counted.append((verb, code))
    ) as client:
        client._pause = 0.01
        server.script = [answering(lambda: status(429, "TooManyRequests", "slow"))]
        await client.get(SECRETS, "shop", "tls")
        await client.list(SECRETS, "shop")
        with pytest.raises(AlreadyExists):
            await client.create(SECRETS, named())
        await client.apply(SECRETS, named(), force=True)
        await client.delete(SECRETS, "shop", "tls")
    assert counted == [
        ("get", 429),
        ("get", 200),
        ("list", 200),
        ("create", 409),
        ("patch", 200),
        ("delete", 200),
    ]


async def test_the_offset_of_the_clocks_is_known_from_any_answer(
    server: ApiServer, client: ApiClient
) -> None:
    server.script = [
        answering(
            lambda: status(404, "NotFound", "", headers={"Date": "Wed, 01 Jan 2020 00:00:00 GMT"})
        )
    ]
    with pytest.raises(NotFound):
        await client.get(SECRETS, "shop", "tls")
    assert client.clock_offset is not None
    assert client.clock_offset < -timedelta(days=365)
    assert client.last_answer is not None


async def test_a_kubeconfig_is_read_again_when_its_token_is_refused(
    server: ApiServer, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(server.url, "one"))
    server.store(SECRET_PATH, named())

    def refuse() -> web.Response:
        path.write_text(kubeconfig(server.url, "two"))
        return status(401, "Unauthorized", "expired")

    server.script = [answering(refuse)]
    async with await ApiClient.from_environment(kubeconfig=str(path)) as client:
        await client.get(SECRETS, "shop", "tls")
        tokens = [asked.headers["Authorization"] for asked in server.asked]
        assert tokens == ["Bearer one", "Bearer two"]
        server.script = [answering(lambda: status(401, "Unauthorized", "expired"))] * 2
        with pytest.raises(Unauthorized):
            await client.get(SECRETS, "shop", "tls")


def kubeconfig(url: str, token: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
    )


async def test_a_watch_yields_events_and_bookmarks_until_it_ends(
    server: ApiServer, client: ApiClient
) -> None:
    server.watch_lines = [
        event("ADDED", named("a")),
        event("BOOKMARK", {"metadata": {"resourceVersion": "120"}}),
        # As large as `<` in JSON makes what etcd can hold.
        event("DELETED", named("a", data={"big": "x" * 9_000_000})),
    ]
    seen = [
        (kind, obj["kind"])
        async for kind, obj in client.watch(
            SECRETS, "shop", resource_version="100", label_selector="a=b"
        )
    ]
    assert seen == [("ADDED", "Secret"), ("BOOKMARK", "Secret"), ("DELETED", "Secret")]
    query = server.asked[0].query
    assert 240 <= int(query.pop("timeoutSeconds")) <= 300
    assert query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "100",
        "labelSelector": "a=b",
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})],
            Gone,
            id="revision-too-old",
        ),
        pytest.param(
            [event("ERROR", {"kind": "Status", "code": 500, "reason": "InternalError"})],
            Unreachable,
            id="error-event",
        ),
        pytest.param([event("ADDED", named())[:30]], Unreachable, id="cut-line"),
        pytest.param([b'{"type": "ADDED"}\n'], Unreachable, id="no-object"),
        pytest.param([b"[]\n"], Unreachable, id="no-event"),
        pytest.param([event("ADDED", named(data="x" * (17 << 20)))], Silent, id="too-large"),
        pytest.param([b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"\n"], Silent, id="too-deep"),
    ],
)
async def test_a_watch_that_goes_wrong_says_how(
    server: ApiServer, client: ApiClient, lines: list[bytes], expected: type[ApiError]
) -> None:
    server.watch_lines = lines
    with pytest.raises(expected):
        async for _ in client.watch(SECRETS, resource_version="1"):
            pass


async def test_watches_take_no_connection_from_calls(server: ApiServer, client: ApiClient) -> None:
    """An operator that watches a hundred namespaces must still renew its Lease."""
    hold = asyncio.Event()

    async def held(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("BOOKMARK", {"metadata": {}}))
        await hold.wait()
        return response

    server.script = [held] * 140
    watches = [client.watch(SECRETS, resource_version="1") for _ in range(140)]
    for watch in watches:
        await anext(watch)
    with pytest.raises(NotFound):
        await client.get(LEASES, "certfront", "absent", timeout=5)
    hold.set()
    for watch in watches:
        await watch.aclose()  # type: ignore[attr-defined] # it is an async generator


async def test_a_watch_refused_at_once_says_why(server: ApiServer, client: ApiClient) -> None:
    server.script = [answering(lambda: status(410, "Gone", "too old"))]
    with pytest.raises(Gone):
        async for _ in client.watch(SECRETS, resource_version="1"):
            pass


async def test_a_watch_that_is_left_closes_its_connection(
    server: ApiServer, client: ApiClient
) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(event("BOOKMARK", {"metadata": {}}))
                await asyncio.sleep(0.005)
        finally:
            ended.set()

    server.script = [endless]
    watch = client.watch(SECRETS, resource_version="1")
    await anext(watch)
    await watch.aclose()  # type: ignore[attr-defined] # it is an async generator
    await ended.wait()


async def test_nothing_of_a_body_is_in_an_error_of_the_network(server: ApiServer) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.script = [break_off]
    async with ApiClient(Configuration(host=server.url)) as client:
        with pytest.raises(Unreachable) as lost:
            await client.create(SECRETS, named(data={"tls.key": "CANARY"}))
    assert "CANARY" not in f"{lost.value!r}{lost.value.__cause__!r}"
    assert json.dumps(server.asked[0].body).count("CANARY") == 1
