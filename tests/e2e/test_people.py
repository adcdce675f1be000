"""What people write and see: users 11 and 12 of the project's list, word for word."""

import json
import re

import pytest

from tests.e2e import clients
from tests.e2e.world import Tenant, World, condition

SHOP = """\
apiVersion: certfront.io/v1alpha1
kind: Certificate
metadata: {name: shop}
spec: {type: ACME, dnsNames: [shop.example.com]}
---
apiVersion: certfront.io/v1alpha1
kind: LoadBalancerFrontend
metadata: {name: shop}
spec:
  certificates: [{name: shop}]
  farms: [{name: shop, serviceRef: {name: shop, port: 8080}}]
  httpsOnly: true
"""


@pytest.fixture
def shop(tenant: Tenant, world: World) -> Tenant:
    """The small shop: its Service is there, and its two objects are applied as it wrote them."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": tenant.namespace},
        "spec": {"ports": [{"port": 8080}]},
    }
    world.api.apply(service)
    world.kubectl("apply", "-n", tenant.namespace, "-f", "-", stdin=SHOP)
    return tenant


def test_first_contact_takes_two_short_objects(shop: Tenant, world: World) -> None:
    """User 11: one HAProxy, one domain."""
    status = shop.ready("shop", seconds=60)["status"]
    shop.served("shop.example.com", status["fingerprint"], world.pebble_root)
    shop.ready("shop", kind="LoadBalancerFrontend", reason="Served")
    for node in world.nodes:
        answer = clients.request(node, "shop.example.com", "/cart?item=1")
        assert answer.status in (301, 302, 307, 308)
        assert answer.headers["location"] == "https://shop.example.com/cart?item=1"


def test_get_alone_shows_what_is_wrong(shop: Tenant, world: World) -> None:
    """User 12: the columns."""
    status = shop.ready("shop", seconds=60)["status"]
    shop.ready("shop", kind="LoadBalancerFrontend")
    certificates = _table(world.kubectl("get", "lbcert", "-A"))
    row = next(row for row in certificates if row["NAMESPACE"] == shop.namespace)
    assert list(row) == [
        *("NAMESPACE", "NAME", "READY", "REASON", "TYPE", "NAMES", "EXPIRES", "NEXT", "AGE")
    ]
    assert row | {"AGE": ""} == {
        "NAMESPACE": shop.namespace,
        "NAME": "shop",
        "READY": "True",
        "REASON": "Issued",
        "TYPE": "ACME",
        "NAMES": "shop.example.com",
        "EXPIRES": status["notAfter"],
        "NEXT": status["renewalTime"],
        "AGE": "",
    }
    frontends = _table(world.kubectl("get", "lbfe", "-n", shop.namespace))
    assert frontends[0] | {"AGE": ""} == {
        "NAME": "shop",
        "READY": "True",
        "REASON": "Served",
        "LOADBALANCER": "edge/haproxy",
        "PORT": "443",
        "CERTIFICATE": "shop",
        "EXPIRES": status["notAfter"],
        "TASK": "done",
        "AGE": "",
    }
    shop.condition(
        "shop", "Installed", "True", message="Served by 1 of 1 frontend: shop (edge/haproxy"
    )


def _table(text: str) -> list[dict[str, str]]:
    """What kubectl prints, by column; an empty cell is an empty string."""
    header, *lines = text.splitlines()
    starts = [found.start() for found in re.finditer(r"\S+", header)]
    ends = [*starts[1:], None]

    def cells(line: str) -> list[str]:
        return [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]

    return [dict(zip(header.split(), cells(line), strict=True)) for line in lines]


def test_describe_says_why_a_renewal_fails_and_what_to_do(tenant: Tenant, world: World) -> None:
    """User 12, at 3 a.m.: the certificate is valid, and its renewal fails for one of two names."""
    good, bad = tenant.host(), tenant.host("img")
    tenant.certificate("shop", "ACME", dnsNames=[good, bad])
    tenant.frontend("shop", ["shop"])
    before = tenant.ready("shop", seconds=60)["status"]
    tenant.served(good, before["fingerprint"], world.pebble_root)
    world.dns("set-servfail", host=f"{bad}.")
    tenant.annotate("Certificate", "shop", renew="1")
    told = tenant.condition("shop", "Ready", "True", reason="RenewalFailing", seconds=60)
    world.dns("clear-servfail", host=f"{bad}.")
    status = told["status"]
    message = condition(told, "Ready")["message"]  # type: ignore[index]
    assert message.startswith(f"Valid, but renewal is failing. {bad}")
    assert "certfront.io/renew=$(date +%s) --overwrite." in message
    assert message.endswith("/RenewalFailing")
    assert status["failedAttempts"] == 1
    assert status["nextTime"] == status["nextAttemptTime"]
    assert status["lastFailure"]["identifier"] == bad
    assert status["lastFailure"]["challenge"] == "http-01"
    assert status["lastFailure"]["reason"] == "ChallengeFailed"
    assert status["task"]["action"] == "renewCertificate"
    assert status["task"]["status"] == "error"
    assert status["notAfter"] == before["notAfter"]
    described = world.kubectl("describe", "lbcert", "shop", "-n", tenant.namespace)
    for line in ("Failed Attempts:", "Last Failure:", "Next Attempt Time:", "Identifier:", bad):
        assert line in described
    assert "<none>" not in described.partition("Status:")[2].partition("Events:")[0]
    assert len(described.splitlines()) < 150, "nobody should have to read three hundred lines"
    row = _table(world.kubectl("get", "lbcert", "-n", tenant.namespace))[0]
    assert (row["READY"], row["REASON"]) == ("True", "RenewalFailing")
    tenant.served(good, before["fingerprint"], world.pebble_root)
    tenant.annotate("Certificate", "shop", renew="2")
    healed = tenant.revision("shop", 2, seconds=60)
    assert condition(healed, "Ready")["reason"] == "Issued"  # type: ignore[index]
    assert "lastFailure" not in healed["status"]


def test_no_message_holds_what_changes_with_each_attempt(tenant: Tenant, world: World) -> None:
    """Equal failures read alike: they are folded, and no Event is posted again for them."""
    bad = tenant.host()
    world.dns("set-servfail", host=f"{bad}.")
    tenant.certificate("shop", "ACME")
    tenant.frontend("shop", ["shop"])
    tenant.condition("shop", "Ready", "False", reason="ChallengeFailed", seconds=60)
    first = tenant.get("Certificate", "shop")["status"]
    tenant.annotate("Certificate", "shop", renew="1")
    second = tenant.wait(
        "shop",
        lambda body: body["status"].get("failedAttempts") == 2,
        seconds=60,
        why="tried twice",
    )["status"]
    world.dns("clear-servfail", host=f"{bad}.")
    assert second["lastFailure"]["message"] == first["lastFailure"]["message"]
    assert second["taskHistory"][0]["message"] == second["task"]["message"]
    failed = [
        event
        for event in world.journal.events(tenant.namespace, "shop")
        if event["reason"] == "ChallengeFailed"
    ]
    assert len(failed) == 1
    assert json.dumps(failed).count(bad) >= 1
