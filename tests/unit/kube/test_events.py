"""Events."""

import logging
from typing import Any

import pytest

from certfront.kube.client import ApiClient
from certfront.kube.events import post
from certfront.model.clock import FrozenClock
from tests.unit.kube.apiserver import ApiServer, answering, status

CERTIFICATE = {
    "apiVersion": "certfront.io/v1alpha1",
    "kind": "Certificate",
    "metadata": {"namespace": "shop", "name": "web", "uid": "u1", "resourceVersion": "7"},
}


async def say(client: ApiClient, clock: FrozenClock, **changed: Any) -> None:
    said = {"reason": "Issued", "message": "issued until May", "action": "orderCertificate"}
    await post(client, CERTIFICATE, clock=clock, **(said | changed))


async def test_an_event_is_one_call_and_says_what_it_is_about(
    server: ApiServer, client: ApiClient
) -> None:
    await say(client, FrozenClock(), type_="Warning")
    (asked,) = server.asked
    assert asked.path == "/apis/events.k8s.io/v1/namespaces/shop/events"
    body = asked.body
    assert body["regarding"]["uid"] == "u1"
    assert body["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert (body["type"], body["reason"], body["action"], body["note"]) == (
        "Warning",
        "Issued",
        "orderCertificate",
        "issued until May",
    )
    assert body["reportingController"]
    assert body["reportingInstance"]


async def test_the_same_event_is_posted_once(server: ApiServer, client: ApiClient) -> None:
    clock = FrozenClock()
    await say(client, clock)
    await say(client, clock)
    assert len(server.objects) == 1
    await say(client, clock, message="another")
    clock.advance(600)
    await say(client, clock)
    assert len(server.objects) == 3


async def test_a_refused_event_is_only_logged(
    server: ApiServer, client: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = [answering(lambda: status(403, "Forbidden", "namespace is terminating"))]
    with caplog.at_level(logging.INFO):
        await say(client, FrozenClock())
    assert server.objects == {}
    assert "event Issued is not posted" in caplog.text


async def test_a_note_fits_in_bytes_and_holds_no_key(server: ApiServer, client: ApiClient) -> None:
    await say(client, FrozenClock(), message="ü" * 5000)
    await say(client, FrozenClock(), message="-----BEGIN PRIVATE KEY----- CANARY")
    assert len(server.asked[0].body["note"].encode()) <= 1024
    assert "CANARY" not in str(server.asked[1].body)
