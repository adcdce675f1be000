"""Rackspace's emulator is held to the vendor's guide and published implementation.

Every rule, fault and state; what it serves is in test_rackspace_front.py.
"""

import datetime as dt
import email.utils
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from sandbox.emulators.server import Fault
from tests.integration.emulators.rackspace_api import (
    BALANCER,
    MAPPINGS,
    NOW,
    TERMINATION,
    Api,
    made,
    pem_of_key,
    rsa_key,
    self_signed,
    started,
)

CREDENTIALS = {"username": "certfront", "apiKey": "a4bbc55a951242c48b03e88e32123456"}
MUTATIONS: list[tuple[str, str, Callable[[int], Any]]] = [
    ("PUT", BALANCER, lambda _: {"loadBalancer": {"name": "new"}}),
    ("PUT", TERMINATION, lambda _: {"sslTermination": {"enabled": False}}),
    ("PUT", TERMINATION, lambda _: made("b.example", number=2).termination()),
    ("DELETE", TERMINATION, lambda _: None),
    ("POST", MAPPINGS, lambda _: made("b.example", number=2).mapping("b.example")),
    ("PUT", MAPPINGS + "/{}", lambda _: {"certificateMapping": {"hostName": "c.example"}}),
    ("DELETE", MAPPINGS + "/{}", lambda _: None),
]
MUTATION_IDS = ["update", "attribute", "material", "unterminate", "map", "change-map", "unmap"]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with started() as found:
        yield found


@pytest.fixture
async def terminated(api: Api) -> Api:
    """With a termination."""
    await api.done("PUT", TERMINATION, made("a.example").termination())
    return api


# --- identity ---------------------------------------------------------------------------------


async def test_an_api_key_is_exchanged_for_a_token_with_its_expiry(api: Api) -> None:
    answer = await api.authenticate()
    access = answer.body["access"]
    assert access["token"]["expires"] == "2026-11-25T20:00:00.000Z"
    assert access["token"]["tenant"] == {"id": "123456", "name": "123456"}
    assert (await api("GET", BALANCER, token=access["token"]["id"])).status == 200


async def test_the_catalogue_has_an_endpoint_of_each_region_at_the_emulator(api: Api) -> None:
    access = (await api.authenticate()).body["access"]
    (service,) = [one for one in access["serviceCatalog"] if one["type"] == "rax:load-balancer"]
    found = {endpoint["region"]: endpoint["publicURL"] for endpoint in service["endpoints"]}
    assert set(found) == {"ORD", "DFW", "IAD", "LON", "SYD", "HKG"}
    assert found["DFW"] == f"{api.running.url}/dfw/v1.0/123456"
    path = found["DFW"].removeprefix(api.running.url)
    assert (await api("GET", path + "/loadbalancers/71")).status == 200


async def test_a_load_balancer_of_another_region_is_not_found(api: Api) -> None:
    answer = await api("GET", "/ord" + BALANCER)
    assert (answer.status, answer.body["code"]) == (404, 404)


@pytest.mark.parametrize("wrong", ["apiKey", "username"])
async def test_wrong_credentials_are_refused_and_not_quoted(api: Api, wrong: str) -> None:
    body = {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS | {wrong: "something-wrong"}}}
    answer = await api("POST", "/v2.0/tokens", body)
    assert answer.status == 401
    assert answer.body == {
        "unauthorized": {"message": "Username or api key is invalid", "code": 401}
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"auth": {}},
        {"auth": {"passwordCredentials": CREDENTIALS}},
        {"auth": {"RAX-KSKEY:apiKeyCredentials": {"username": "certfront"}}},
        {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS | {"more": "x"}}},
        {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS | {"apiKey": 7}}},
        {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS, "tenantId": 123456}},
        {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS}, "more": {}},
    ],
    ids=["empty", "none", "password", "no-key", "unknown", "type", "tenant-type", "beside"],
)
async def test_a_malformed_authentication_is_400(api: Api, body: Any) -> None:
    answer = await api("POST", "/v2.0/tokens", body)
    assert answer.status == 400
    assert set(answer.body) == {"badRequest"}


@pytest.mark.parametrize(("tenant", "status"), [("123456", 200), ("999", 401)])
async def test_a_tenant_is_checked_where_it_is_given(api: Api, tenant: str, status: int) -> None:
    body = {"auth": {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS, "tenantId": tenant}}
    assert (await api("POST", "/v2.0/tokens", body)).status == status


async def test_no_or_an_unknown_token_is_401_with_an_empty_body(api: Api) -> None:
    for token in ("", "0" * 32):
        answer = await api("GET", BALANCER, token=token)
        assert (answer.status, answer.text) == (401, "")


async def test_a_token_expires_by_the_clock(api: Api) -> None:
    await api.advance(86_399)
    assert (await api("GET", BALANCER)).status == 200
    await api.advance(1)
    answer = await api("GET", BALANCER)
    assert (answer.status, answer.text) == (401, "")
    await api.authenticate()
    assert (await api("GET", BALANCER)).status == 200


async def test_tokens_can_be_revoked(api: Api) -> None:
    await api.steer("revoke-tokens")
    assert (await api("GET", BALANCER)).status == 401


async def test_the_api_key_can_be_changed(api: Api) -> None:
    await api.steer("api-key", "another")
    assert (await api.authenticate()).status == 401
    assert (await api.authenticate("another")).status == 200


async def test_another_account_is_401(api: Api) -> None:
    assert (await api("GET", "/v1.0/999/loadbalancers/71")).status == 401


# --- paths, bodies, limits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1.0/123456/nothing", 404),
        ("GET", BALANCER + "/nodes", 404),
        ("GET", BALANCER + "/SSLtermination", 404),
        ("GET", "/v1.0/123456/loadbalancers/72", 404),
        ("GET", "/v1.0/123456/loadbalancers/seventy-one", 404),
        ("POST", BALANCER, 405),
        ("PATCH", TERMINATION, 405),
        ("DELETE", MAPPINGS, 405),
    ],
)
async def test_unknown_paths_and_methods_are_refused(
    api: Api, method: str, path: str, status: int
) -> None:
    answer = await api(method, path)
    assert (answer.status, answer.body["code"]) == (status, status)
    assert (await api(method, path, token="")).status == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": "[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": "<x/>", "headers": {"Content-Type": "application/xml"}}, 415),
        ({"data": " " * (256 * 1024 + 1), "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": '{"loadBalancer":{"port":81,"port":82}}'} | {"headers": {}}, 415),
    ],
    ids=["no-json", "no-object", "xml", "too-large", "no-type"],
)
async def test_bodies_are_json_objects_of_bounded_size(
    api: Api, sent: dict[str, Any], status: int
) -> None:
    answer = await api("PUT", BALANCER, **sent)
    assert (answer.status, answer.body["code"]) == (status, status)


async def test_absolute_limits_are_listed(api: Api) -> None:
    answer = await api("GET", "/v1.0/123456/loadbalancers/absolutelimits")
    found = {limit["name"]: limit["value"] for limit in answer.body["absolute"]}
    assert (found["LOADBALANCER_LIMIT"], found["CERTIFICATE_MAPPING_LIMIT"]) == (25, 20)


async def test_rate_limits_are_listed_with_what_remains(api: Api) -> None:
    answer = await api("GET", "/v1.0/123456/limits")
    (values,) = answer.body["limits"]["rate"]["values"]
    found = {
        (limit["verb"], limit["unit"]): (limit["value"], limit["remaining"])
        for limit in values["limit"]
    }
    assert found["GET", "SECOND"] == (10, 9)
    assert found["PUT", "MINUTE"] == (600, 600)
    assert found["POST", "SECOND"] == (5, 5)
    assert found["DELETE", "MINUTE"] == (300, 300)


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("GET", BALANCER, 10),
        ("PUT", BALANCER, 10),
        ("POST", MAPPINGS, 5),
        ("DELETE", MAPPINGS + "/1", 5),
    ],
)
async def test_a_rate_over_the_limit_is_413_with_retry_after(
    api: Api, method: str, path: str, most: int
) -> None:
    body = {} if method in ("PUT", "POST") else None
    for _ in range(most):
        assert (await api(method, path, body)).status != 413
    answer = await api(method, path, body)
    assert (answer.status, answer.headers["Retry-After"]) == (413, "1")
    assert answer.body["overLimit"]["retryAfter"] == "2026-11-24T20:00:01Z"
    await api.advance(1)
    assert (await api(method, path, body)).status != 413


async def test_a_rate_of_a_minute_is_enforced_too(api: Api) -> None:
    for _ in range(60):
        for _ in range(5):
            assert (await api("POST", MAPPINGS, {})).status == 400
        await api.advance(1)
    # The first five are a minute old by now; without them 295 remain.
    for _ in range(5):
        assert (await api("POST", MAPPINGS, {})).status == 400
    assert (await api("POST", MAPPINGS, {})).headers["Retry-After"] == "1"


async def test_retry_after_may_be_a_date() -> None:
    async with started(retry_after="date") as api:
        for _ in range(10):
            await api("GET", BALANCER)
        answer = await api("GET", BALANCER)
    given = email.utils.parsedate_to_datetime(answer.headers["Retry-After"])
    assert given == NOW + dt.timedelta(seconds=1)


async def test_a_refused_rate_changes_nothing(terminated: Api) -> None:
    for _ in range(10):
        await terminated("PUT", BALANCER, {})
    answer = await terminated("PUT", BALANCER, {"loadBalancer": {"name": "new"}})
    assert answer.status == 413
    assert await terminated.status() == "ACTIVE"


async def test_rates_can_be_left_alone() -> None:
    async with started(rate_limits=False) as api:
        assert {(await api("GET", BALANCER)).status for _ in range(30)} == {200}


async def test_faults_are_bare_or_wrapped() -> None:
    async with started() as api:
        assert (await api("GET", TERMINATION)).body == {
            "message": "SSL termination not found for requested load balancer.",
            "code": 404,
        }
        assert (await api("PUT", BALANCER, {})).body == {
            "message": "Validation Failure",
            "code": 400,
            "details": "The object is not valid",
            "validationErrors": {
                "messages": ["The body must be an object with the only member loadBalancer."]
            },
        }
    async with started(wrapped_faults=True) as api:
        assert set((await api("GET", TERMINATION)).body) == {"itemNotFound"}
        assert set((await api("PUT", BALANCER, {})).body) == {"badRequest"}


# --- the load balancer --------------------------------------------------------------------------


async def test_a_load_balancer_is_shown(api: Api) -> None:
    found = (await api("GET", BALANCER)).body["loadBalancer"]
    assert (found["id"], found["protocol"], found["port"]) == (71, "HTTP", 80)
    assert (found["status"], found["httpsRedirect"]) == ("ACTIVE", False)
    assert found["virtualIps"][0]["address"] == "127.0.0.1"
    listed = (await api("GET", "/v1.0/123456/loadbalancers")).body["loadBalancers"]
    assert [one["id"] for one in listed] == [71]


async def test_an_update_is_read_back_at_once_and_answers_without_a_body(api: Api) -> None:
    change = {"name": "n", "algorithm": "ROUND_ROBIN", "port": "8080", "timeout": 120}
    answer = await api("PUT", BALANCER, {"loadBalancer": change})
    assert (answer.status, answer.text) == (202, "")
    found = (await api("GET", BALANCER)).body["loadBalancer"]
    assert (found["name"], found["algorithm"]) == ("n", "ROUND_ROBIN")
    assert (found["port"], found["timeout"]) == (8080, 120)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"id": 72},
        {"status": "ACTIVE"},
        {"nodes": []},
        {"httpsredirect": True},
        {"name": ""},
        {"name": "n" * 129},
        {"name": 7},
        {"port": 0},
        {"port": 65536},
        {"port": "eighty"},
        {"port": 80.5},
        {"timeout": 121},
        {"algorithm": "FASTEST"},
        {"protocol": "GOPHER"},
        {"halfClosed": "perhaps"},
        {"halfClosed": True},
        {"httpsRedirect": True},
        [],
        None,
    ],
    ids=str,
)
async def test_an_update_that_is_not_allowed_is_400(api: Api, change: Any) -> None:
    answer = await api("PUT", BALANCER, {"loadBalancer": change})
    assert (answer.status, answer.body["code"]) == (400, 400)
    assert await api.status() == "ACTIVE"


async def test_a_null_is_an_absent_attribute(api: Api) -> None:
    answer = await api("PUT", BALANCER, {"loadBalancer": {"name": "n", "port": None}})
    assert answer.status == 202


async def test_beside_a_termination_protocol_and_secure_port_are_refused(terminated: Api) -> None:
    for change in ({"protocol": "HTTPS"}, {"port": 443}):
        answer = await terminated("PUT", BALANCER, {"loadBalancer": change})
        assert answer.status == 400
    await terminated.done("PUT", BALANCER, {"loadBalancer": {"protocol": "HTTP", "port": 81}})


@pytest.mark.parametrize(
    ("termination", "redirect", "says"),
    [
        ({"secureTrafficOnly": False}, {}, "Secure Only"),
        ({"secureTrafficOnly": True, "securePort": 8443}, {}, "secure port 443"),
        ({"secureTrafficOnly": True}, {"port": 81}, "Cannot change port"),
    ],
    ids=["mixed", "port", "own-port"],
)
async def test_a_redirect_needs_secure_traffic_only_on_port_443(
    api: Api, termination: dict[str, Any], redirect: dict[str, Any], says: str
) -> None:
    await api.done("PUT", TERMINATION, made("a.example").termination(**termination))
    answer = await api("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": True} | redirect})
    assert answer.status == 400
    assert says in answer.messages


async def test_a_redirect_is_set_kept_and_withdrawn(api: Api) -> None:
    await api.done("PUT", TERMINATION, made("a.example").termination(secureTrafficOnly=True))
    await api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": True}})
    for change in ({"secureTrafficOnly": False}, {"securePort": 8443}):
        answer = await api("PUT", TERMINATION, {"sslTermination": change})
        assert answer.status == 400
    # New material keeps what is not given, and with it the redirect.
    await api.done("PUT", TERMINATION, made("a.example", serial=2).termination())
    await api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": False}})
    await api.done("PUT", TERMINATION, {"sslTermination": {"secureTrafficOnly": False}})


async def test_a_redirect_that_lost_its_termination_refuses_other_updates(api: Api) -> None:
    await api.done("PUT", TERMINATION, made("a.example").termination(secureTrafficOnly=True))
    await api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": True}})
    await api.done("DELETE", TERMINATION)
    assert (await api("PUT", BALANCER, {"loadBalancer": {"name": "n"}})).status == 400
    await api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": False}})


async def test_an_https_load_balancer_may_redirect_on_port_443_only() -> None:
    async with started(load_balancers=("71:443:HTTPS",)) as api:
        await api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": True}})
        assert (await api("PUT", BALANCER, {"loadBalancer": {"port": 444}})).status == 400


# --- the termination ----------------------------------------------------------------------------


async def test_a_termination_is_installed_and_shown_without_its_key(api: Api) -> None:
    material = made("a.example")
    answer = await api("PUT", TERMINATION, material.termination(privatekey=material.key + "\n\n"))
    assert (answer.status, answer.text) == (200, "")
    assert (await api("GET", TERMINATION)).body == {
        "sslTermination": {
            "certificate": material.certificate.strip(),
            "intermediateCertificate": material.intermediate.strip(),
            "enabled": True,
            "secureTrafficOnly": False,
            "securePort": 443,
        }
    }


async def test_the_implementations_202_can_be_had() -> None:
    async with started(termination_status=202) as api:
        answer = await api("PUT", TERMINATION, made("a.example").termination())
        assert answer.status == 202
        await api.advance(2)
        assert (await api("DELETE", TERMINATION)).status == 202


async def test_both_key_forms_are_taken(api: Api) -> None:
    for form in ("PKCS1", "PKCS8"):
        body = made("a.example").termination(privatekey=pem_of_key(rsa_key(0), form))
        await api.done("PUT", TERMINATION, body)


async def test_a_certificate_without_intermediates_is_taken(api: Api) -> None:
    await api.done("PUT", TERMINATION, self_signed("a.example").termination())
    body = (await api("GET", TERMINATION)).body["sslTermination"]
    assert "intermediateCertificate" not in body


async def test_a_certificate_that_is_not_valid_yet_is_taken(api: Api) -> None:
    await api.done("PUT", TERMINATION, made("a.example", start=1).termination())


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    ((wrapper, fields),) = body.items()
    return {wrapper: {name: value for name, value in fields.items() if name not in names}}


REFUSED_MATERIAL: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    (
        "ecdsa-key",
        lambda: self_signed("a.example", "ec").termination(),
        "the object is no RSA key",
    ),
    (
        "ecdsa-certificate",
        lambda: self_signed("a.example", "ec").termination(privatekey=pem_of_key(rsa_key(0))),
        "its public key is no RSA key",
    ),
    (
        "other-key",
        lambda: made("a.example").termination(privatekey=pem_of_key(rsa_key(5))),
        "match",
    ),
    ("no-key", lambda: made("a.example").termination(privatekey=""), "Key Required"),
    (
        "encrypted",
        lambda: made("a.example").termination(
            privatekey=pem_of_key(rsa_key(0), "PKCS8", b"secret")
        ),
        "RSA Key",
    ),
    (
        "two-keys",
        lambda: made("a.example").termination(privatekey=pem_of_key(rsa_key(0)) * 2),
        "Multiple",
    ),
    ("no-certificate", lambda: made("a.example").termination(certificate="x"), "Cert Required"),
    (
        "chain-in-certificate",
        lambda: made("a.example").termination(
            certificate=made("a.example").certificate + made("a.example").intermediate
        ),
        "more then one",
    ),
    (
        "broken",
        lambda: made("a.example").termination(
            certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        ),
        "Decoding Cert",
    ),
    ("expired", lambda: made("a.example", start=-30, days=29).termination(), "expired"),
    (
        "not-the-issuer",
        lambda: made("a.example").termination(intermediateCertificate=made("a.example").root),
        "does not sign",
    ),
    (
        "out-of-order",
        lambda: made("a.example").termination(
            intermediateCertificate=made("a.example").intermediate * 2
        ),
        "out of order",
    ),
    (
        "no-intermediate",
        lambda: made("a.example").termination(intermediateCertificate="x"),
        "Intermediate",
    ),
]


@pytest.mark.parametrize(
    ("body", "says"),
    [(body, says) for _, body, says in REFUSED_MATERIAL],
    ids=[name for name, _, _ in REFUSED_MATERIAL],
)
async def test_material_that_does_not_hold_is_400(
    api: Api, body: Callable[[], dict[str, Any]], says: str
) -> None:
    answer = await api("PUT", TERMINATION, body())
    assert answer.status == 400
    assert says in answer.messages
    assert (await api("GET", TERMINATION)).status == 404
    assert await api.status() == "ACTIVE"


REFUSED_TERMINATIONS: list[tuple[str, Callable[[], Any]]] = [
    ("nothing", lambda: {"sslTermination": {}}),
    ("no-wrapper", lambda: made("a.example").termination()["sslTermination"]),
    ("no-port", lambda: _without(made("a.example").termination(), "securePort")),
    ("no-key", lambda: _without(made("a.example").termination(), "privatekey")),
    ("no-certificate", lambda: _without(made("a.example").termination(), "certificate")),
    (
        "intermediate-alone",
        lambda: _without(made("a.example").termination(), "certificate", "privatekey"),
    ),
    ("camel-case-key", lambda: made("a.example").termination(privateKey="x")),
    ("unknown", lambda: made("a.example").termination(hostName="a.example")),
    ("id", lambda: made("a.example").termination(id=1)),
    ("own-port", lambda: made("a.example").termination(securePort=80)),
    ("port-0", lambda: made("a.example").termination(securePort=0)),
    ("port-text", lambda: made("a.example").termination(securePort="https")),
    ("enabled-text", lambda: made("a.example").termination(enabled="yes please")),
    ("pem-number", lambda: made("a.example").termination(certificate=7)),
    (
        "tls-12",
        lambda: made("a.example").termination(
            securityProtocols=[
                {"securityProtocolName": "TLS_12", "securityProtocolStatus": "ENABLED"}
            ]
        ),
    ),
    (
        "twice",
        lambda: made("a.example").termination(
            securityProtocols=[
                {"securityProtocolName": "TLS_10", "securityProtocolStatus": "ENABLED"}
            ]
            * 2
        ),
    ),
]


@pytest.mark.parametrize(
    "body",
    [body for _, body in REFUSED_TERMINATIONS],
    ids=[name for name, _ in REFUSED_TERMINATIONS],
)
@pytest.mark.parametrize("existing", [False, True], ids=["absent", "existing"])
async def test_a_termination_that_is_not_allowed_is_400(
    api: Api, existing: bool, body: Callable[[], Any]
) -> None:
    if existing:
        await api.done("PUT", TERMINATION, made("a.example").termination())
    before = (await api("GET", TERMINATION)).text
    answer = await api("PUT", TERMINATION, body())
    assert (answer.status, answer.body["code"]) == (400, 400)
    assert (await api("GET", TERMINATION)).text == before


async def test_attributes_alone_need_a_termination(api: Api) -> None:
    answer = await api("PUT", TERMINATION, {"sslTermination": {"enabled": False}})
    assert answer.status == 400
    assert "No ssl termination" in answer.messages


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"enabled": "false"}, {"enabled": False}),
        ({"secureTrafficOnly": "true"}, {"secureTrafficOnly": True}),
        ({"securePort": "8443"}, {"securePort": 8443}),
        ({"securePort": 443}, {"securePort": 443}),
        ({"cipherProfile": "default"}, {"cipherProfile": "default"}),
        ({"enabled": False, "secureTrafficOnly": True}, {"secureTrafficOnly": False}),
        (
            {
                "securityProtocols": [
                    {"securityProtocolName": "TLS_10", "securityProtocolStatus": "DISABLED"}
                ]
            },
            {
                "securityProtocols": [
                    {"securityProtocolName": "TLS_10", "securityProtocolStatus": "DISABLED"}
                ]
            },
        ),
    ],
    ids=["enabled", "only", "port", "same-port", "cipher", "only-while-disabled", "protocols"],
)
async def test_attributes_change_without_material(
    terminated: Api, change: dict[str, Any], shown: dict[str, Any]
) -> None:
    before = (await terminated("GET", TERMINATION)).body["sslTermination"]
    await terminated.done("PUT", TERMINATION, {"sslTermination": change})
    after = (await terminated("GET", TERMINATION)).body["sslTermination"]
    assert {name: after[name] for name in shown} == shown
    assert after["certificate"] == before["certificate"]
    assert after["intermediateCertificate"] == before["intermediateCertificate"]


async def test_new_material_replaces_the_old_with_its_intermediates(terminated: Api) -> None:
    """A chain is not kept for a certificate that came without one."""
    await terminated.done("PUT", TERMINATION, {"sslTermination": {"secureTrafficOnly": True}})
    await terminated.done("PUT", TERMINATION, self_signed("a.example").termination())
    after = (await terminated("GET", TERMINATION)).body["sslTermination"]
    assert after["certificate"] == self_signed("a.example").certificate.strip()
    assert "intermediateCertificate" not in after
    assert after["secureTrafficOnly"] is True


@pytest.mark.parametrize("protocol", ["HTTPS", "IMAPS", "LDAPS", "POP3S", "UDP", "DNS_UDP"])
async def test_a_secure_or_datagram_protocol_is_not_terminated(protocol: str) -> None:
    async with started(load_balancers=(f"71:993:{protocol}",)) as api:
        answer = await api("PUT", TERMINATION, made("a.example").termination())
        assert answer.status == 400


async def test_a_termination_is_deleted_with_its_mappings(terminated: Api) -> None:
    await terminated.map(made("b.example", number=2), "b.example")
    await terminated.done("DELETE", TERMINATION)
    assert (await terminated("GET", TERMINATION)).status == 404
    assert (await terminated("DELETE", TERMINATION)).status == 400
    await terminated.done("PUT", TERMINATION, made("a.example").termination())
    assert (await terminated("GET", MAPPINGS)).body == {"certificateMappings": []}


# --- mappings -----------------------------------------------------------------------------------


async def test_a_mapping_is_added_listed_shown_changed_and_deleted(terminated: Api) -> None:
    material = made("b.example", number=2)
    answer = await terminated("POST", MAPPINGS, material.mapping("b.example"))
    mapping = answer.body["certificateMapping"]
    assert answer.status == 202
    assert mapping == {
        "id": mapping["id"],
        "hostName": "b.example",
        "certificate": material.certificate.strip(),
        "intermediateCertificate": material.intermediate.strip(),
    }
    await terminated.advance(2)
    path = f"{MAPPINGS}/{mapping['id']}"
    assert (await terminated("GET", MAPPINGS)).body == {
        "certificateMappings": [
            {"certificateMapping": {"id": mapping["id"], "hostName": "b.example"}}
        ]
    }
    assert (await terminated("GET", path)).body == {"certificateMapping": mapping}
    answer = await terminated.done("PUT", path, {"certificateMapping": {"hostName": "*.b.example"}})
    assert (answer.status, answer.text) == (202, "")
    found = (await terminated("GET", path)).body["certificateMapping"]
    assert found == mapping | {"hostName": "*.b.example"}
    answer = await terminated.done("DELETE", path)
    assert (answer.status, answer.text) == (202, "")
    for method, body in (("GET", None), ("DELETE", None), ("PUT", material.mapping("b.example"))):
        assert (await terminated(method, path, body)).status == 404


async def test_an_intermediate_may_be_added_to_a_mapping_alone(terminated: Api) -> None:
    material = made("b.example", number=2)
    body = _without(material.mapping("b.example"), "intermediateCertificate")
    added = (await terminated.done("POST", MAPPINGS, body)).body["certificateMapping"]
    assert "intermediateCertificate" not in added
    path = f"{MAPPINGS}/{added['id']}"
    change = {"intermediateCertificate": material.intermediate}
    await terminated.done("PUT", path, {"certificateMapping": change})
    found = (await terminated("GET", path)).body["certificateMapping"]
    assert found["intermediateCertificate"] == material.intermediate.strip()
    await terminated.done("PUT", path, {"certificateMapping": {"intermediateCertificate": ""}})
    found = (await terminated("GET", path)).body["certificateMapping"]
    assert "intermediateCertificate" not in found


@pytest.mark.parametrize("half", ["certificate", "privateKey"])
async def test_half_of_a_new_pair_does_not_match_the_other(terminated: Api, half: str) -> None:
    number = await terminated.map(made("b.example", number=2), "b.example")
    change = {half: made("b.example", number=3).mapping("")["certificateMapping"][half]}
    answer = await terminated("PUT", f"{MAPPINGS}/{number}", {"certificateMapping": change})
    assert answer.status == 400
    assert "match" in answer.messages


@pytest.mark.parametrize("name", ["b.example", "B.Example"])
async def test_a_host_name_is_mapped_once(terminated: Api, name: str) -> None:
    first = await terminated.map(made("b.example", number=2), "b.example")
    answer = await terminated("POST", MAPPINGS, made("b.example", number=2).mapping(name))
    assert answer.status == 422
    assert f"'{first}'" in answer.messages
    second = await terminated.map(made("b.example", number=2), "c.example")
    change = {"certificateMapping": {"hostName": name}}
    assert (await terminated("PUT", f"{MAPPINGS}/{second}", change)).status == 422
    await terminated.done("PUT", f"{MAPPINGS}/{first}", change)


async def test_more_mappings_than_the_limit_are_413_without_retry_after() -> None:
    async with started(rate_limits=False) as api:
        await api.done("PUT", TERMINATION, made("a.example").termination())
        for number in range(20):
            await api.map(made("b.example", number=2), f"b{number}.example")
        body = made("b.example", number=2).mapping("b20.example")
        answer = await api("POST", MAPPINGS, body)
        assert (answer.status, answer.body["code"]) == (413, 413)
        assert "Retry-After" not in answer.headers
        assert "'20'" in answer.messages
        await api.steer("mapping-limit", 21)
        await api.done("POST", MAPPINGS, body)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", MAPPINGS), ("POST", MAPPINGS), ("GET", MAPPINGS + "/1")]
)
async def test_mappings_need_a_termination(api: Api, method: str, path: str) -> None:
    body = made("b.example", number=2).mapping("b.example") if method == "POST" else None
    answer = await api(method, path, body)
    assert answer.status == 404
    assert "SSL termination not found" in answer.messages


REFUSED_MAPPINGS: list[tuple[str, Callable[[], Any]]] = [
    ("nothing", lambda: {"certificateMapping": {}}),
    ("double-wrapper", lambda: {"certificateMappings": [made("b.example").mapping("b.example")]}),
    ("no-name", lambda: _without(made("b.example").mapping(""), "hostName")),
    ("no-key", lambda: _without(made("b.example").mapping("b.example"), "privateKey")),
    ("no-certificate", lambda: _without(made("b.example").mapping("b.example"), "certificate")),
    ("lower-case-key", lambda: made("b.example").mapping("b.example", privatekey="x")),
    ("id", lambda: made("b.example").mapping("b.example", id=7)),
    ("port", lambda: made("b.example").mapping("b.example", securePort=443)),
    ("empty-name", lambda: made("b.example").mapping("")),
    ("url", lambda: made("b.example").mapping("https://b.example")),
    ("space", lambda: made("b.example").mapping("b .example")),
    ("star-inside", lambda: made("b.example").mapping("b.*.example")),
    ("name-number", lambda: made("b.example").mapping("b.example", hostName=7)),
    ("ecdsa", lambda: self_signed("b.example", "ec").mapping("b.example")),
    (
        "other-key",
        lambda: made("b.example").mapping("b.example", privateKey=pem_of_key(rsa_key(5))),
    ),
    (
        "not-the-issuer",
        lambda: made("b.example").mapping(
            "b.example", intermediateCertificate=made("b.example").root
        ),
    ),
]


@pytest.mark.parametrize(
    "body", [body for _, body in REFUSED_MAPPINGS], ids=[name for name, _ in REFUSED_MAPPINGS]
)
async def test_a_mapping_that_is_not_allowed_is_400(
    terminated: Api, body: Callable[[], Any]
) -> None:
    answer = await terminated("POST", MAPPINGS, body())
    assert (answer.status, answer.body["code"]) == (400, 400)
    assert (await terminated("GET", MAPPINGS)).body == {"certificateMappings": []}


async def test_a_host_name_is_not_checked_against_the_certificate(terminated: Api) -> None:
    await terminated.map(made("b.example", number=2), "*.elsewhere.example")


# --- states -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), MUTATIONS, ids=MUTATION_IDS)
async def test_each_change_is_pending_for_a_time(
    terminated: Api, method: str, path: str, body: Callable[[int], Any]
) -> None:
    number = await terminated.map(made("a.example"), "x.example")
    answer = await terminated(method, path.format(number), body(number))
    assert answer.status in (200, 202)
    assert await terminated.status() == "PENDING_UPDATE"
    await terminated.advance(1.9)
    assert await terminated.status() == "PENDING_UPDATE"
    await terminated.advance(0.1)
    assert await terminated.status() == "ACTIVE"


@pytest.mark.parametrize(("method", "path", "body"), MUTATIONS, ids=MUTATION_IDS)
@pytest.mark.parametrize(
    "status", ["PENDING_UPDATE", "BUILD", "PENDING_DELETE", "SUSPENDED", "ERROR"]
)
async def test_only_active_allows_a_change(
    terminated: Api, status: str, method: str, path: str, body: Callable[[int], Any]
) -> None:
    number = await terminated.map(made("a.example"), "x.example")
    await terminated.steer("status", {"id": 71, "status": status})
    before = terminated.emulator.snapshot()
    answer = await terminated(method, path.format(number), body(number))
    assert answer.status == 422
    assert answer.body == {
        "message": f"Load Balancer '71' has a status of '{status}' and is considered immutable.",
        "code": 422,
    }
    assert terminated.emulator.snapshot() == before
    await terminated.advance(3600)
    assert await terminated.status() == status


async def test_reading_is_allowed_while_a_change_is_pending(terminated: Api) -> None:
    await terminated("PUT", TERMINATION, {"sslTermination": {"enabled": False}})
    for path in (BALANCER, TERMINATION, MAPPINGS):
        assert (await terminated("GET", path)).status == 200


async def test_a_wrong_request_is_400_before_it_is_422(terminated: Api) -> None:
    await terminated("PUT", TERMINATION, {"sslTermination": {"enabled": False}})
    assert (await terminated("PUT", BALANCER, {"loadBalancer": {}})).status == 400
    assert (await terminated("PUT", MAPPINGS + "/1", {"certificateMapping": {}})).status == 400


async def test_what_is_deleted_is_404_and_cannot_be_changed(terminated: Api) -> None:
    await terminated.steer("status", {"status": "DELETED"})
    assert (await terminated("GET", BALANCER)).status == 404
    assert (await terminated("GET", TERMINATION)).status == 404
    assert (await terminated("GET", "/v1.0/123456/loadbalancers")).body == {"loadBalancers": []}
    answer = await terminated("PUT", BALANCER, {"loadBalancer": {"name": "n"}})
    assert (answer.status, answer.messages) == (
        422,
        "The load balancer is deleted and considered immutable.",
    )


async def test_a_change_can_end_in_error_unserved(terminated: Api) -> None:
    await terminated.steer("fail-next-update")
    await terminated("PUT", TERMINATION, made("a.example", serial=2).termination())
    await terminated.advance(2)
    assert await terminated.status() == "ERROR"
    (state,) = terminated.emulator.snapshot()["loadBalancers"]
    assert state["served"]["sslTermination"] != state["set"]["sslTermination"]
    await terminated.steer("status", {"status": "ACTIVE"})
    await terminated.done("PUT", TERMINATION, {"sslTermination": {"enabled": True}})


async def test_the_time_of_a_change_can_be_set(terminated: Api) -> None:
    await terminated.steer("update-seconds", 60)
    await terminated("PUT", TERMINATION, {"sslTermination": {"enabled": False}})
    await terminated.advance(59)
    assert await terminated.status() == "PENDING_UPDATE"
    await terminated.steer("update-seconds", 0)
    await terminated.advance(1)
    await terminated("PUT", TERMINATION, {"sslTermination": {"enabled": True}})
    assert await terminated.status() == "ACTIVE"


async def test_two_load_balancers_change_independently() -> None:
    async with started(load_balancers=("71", "72:8080:TCP")) as api:
        await api("PUT", TERMINATION, made("a.example").termination())
        other = BALANCER.replace("71", "72")
        answer = await api("PUT", other + "/ssltermination", made("a.example").termination())
        assert answer.status == 200
        assert (await api("GET", other)).body["loadBalancer"]["protocol"] == "TCP"


# --- behind the client's back -------------------------------------------------------------------


async def test_objects_can_be_changed_behind_the_clients_back(terminated: Api) -> None:
    number = await terminated.map(made("b.example", number=2), "b.example")
    await terminated.steer("remove-mapping", {"hostName": "b.example"})
    assert (await terminated("GET", f"{MAPPINGS}/{number}")).status == 404
    await terminated.steer("set", {"httpsRedirect": True, "port": 81})
    found = (await terminated("GET", BALANCER)).body["loadBalancer"]
    assert (found["httpsRedirect"], found["port"], found["status"]) == (True, 81, "ACTIVE")
    await terminated.steer("remove-termination", {"id": 71})
    assert (await terminated("GET", TERMINATION)).status == 404


@pytest.mark.parametrize(
    ("what", "value", "error"),
    [
        ("nonsense", None, LookupError),
        ("status", {"id": 99, "status": "ERROR"}, LookupError),
        ("status", {"status": "TIRED"}, ValueError),
        ("status", {}, LookupError),
        ("remove-mapping", {"hostName": "absent.example"}, LookupError),
        ("mapping-limit", "many", TypeError),
        ("rate-limits", 1, TypeError),
    ],
)
async def test_steering_wrongly_is_refused(
    api: Api, what: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        api.emulator.steer(what, value)


async def test_a_lost_answer_leaves_the_change_made(terminated: Api) -> None:
    """By POST, as aiohttp repeats every other request; the fault's path has no region."""
    terminated.running.faults.arm(Fault(kind="lost", method="POST", path=MAPPINGS))
    with pytest.raises(aiohttp.ClientError):
        await terminated("POST", "/dfw" + MAPPINGS, made("b.example").mapping("b.example"))
    assert await terminated.status() == "PENDING_UPDATE"
    assert len((await terminated("GET", MAPPINGS)).body["certificateMappings"]) == 1


async def test_no_key_and_no_credential_is_ever_shown(terminated: Api) -> None:
    """The canary is every line of every key that was sent, in taken and in refused requests."""
    keys = [made("a.example").key, made("b.example", number=2).key, pem_of_key(rsa_key(5))]
    await terminated.map(made("b.example", number=2), "b.example")
    await terminated("PUT", TERMINATION, made("a.example").termination(privatekey=keys[2]))
    await terminated("PUT", TERMINATION, made("a.example").termination(certificate=keys[2]))
    await terminated("PUT", TERMINATION, made("a.example").termination(securePort=keys[2]))
    await terminated("POST", MAPPINGS, made("b.example").mapping(keys[2]))
    for path in (TERMINATION, MAPPINGS):
        await terminated("GET", path)
    shown = "\n".join(answer.text for answer in terminated.answers)
    shown += repr(terminated.emulator.snapshot()) + repr(terminated.running.calls)
    lines = {line for key in keys for line in key.splitlines() if not line.startswith("-")}
    assert not [line for line in lines if line in shown]
    assert CREDENTIALS["apiKey"] not in shown
