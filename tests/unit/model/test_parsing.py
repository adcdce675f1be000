"""Manifests become frozen values; what is wrong is told by its path, never by its value."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from certfront.model.certificate import Certificate
from certfront.model.frontend import Frontend
from certfront.model.grants import GrantNamespaces, LabelSelector
from certfront.model.issuer import Issuer
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancer
from certfront.model.meta import InvalidObject, Meta, ObjectName, Value, parse, plain
from certfront.model.settings import Settings

KINDS: dict[str, type[Value]] = {
    "Certificate": Certificate,
    "Issuer": Issuer,
    "LoadBalancer": LoadBalancer,
    "LoadBalancerFrontend": Frontend,
}
CANARY = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGNlcnRmcm9udA\n-----END PRIVATE KEY-----"
)

USERS = {
    "user 1, load balancer": """
        kind: LoadBalancer
        metadata: {name: iplb}
        spec:
          type: OVH
          ovh: {endpoint: ovh-eu, serviceName: ip-1.2.3.4, credentialsSecretRef: {name: ovh-api}}
    """,
    "user 1, certificate": """
        kind: Certificate
        metadata: {name: sites}
        spec: {type: Managed, dnsNames: [d01.example, d02.example]}
    """,
    "user 1, frontend": """
        kind: LoadBalancerFrontend
        metadata: {name: web}
        spec:
          loadBalancerRef: {name: iplb}
          defaultFarm: "12345"
          certificates: [{name: sites}]
          httpsOnly: true
    """,
    "user 3, load balancer": """
        kind: LoadBalancer
        metadata: {name: alb}
        spec:
          type: AWSApplication
          awsApplication:
            {region: eu-west-1, loadBalancerName: shop, credentialsSecretRef: {name: aws}}
    """,
    "user 3, frontend": """
        kind: LoadBalancerFrontend
        metadata: {name: shop}
        spec:
          loadBalancerRef: {name: alb}
          manage: CertificatesOnly
          certificates: [{secretRef: {name: shop-tls}}]
    """,
    "user 4": """
        kind: LoadBalancer
        metadata: {name: edge, namespace: edge}
        spec:
          type: HAProxy
          haproxy: {minNodes: 2}
          certificates: [{name: wildcard}]
          grants:
          - namespaces: {selector: {matchLabels: {tenant: "true"}}}
            hostnames: ["$(namespace).apps.example.com", "*.$(namespace).apps.example.com"]
          - namespaces: {names: [shop]}
            hostnames: [shop.example, www.shop.example]
    """,
    "user 11, certificate": """
        kind: Certificate
        metadata: {name: shop}
        spec: {type: ACME, dnsNames: [shop.example.com]}
    """,
    "user 11, frontend": """
        kind: LoadBalancerFrontend
        metadata: {name: shop}
        spec:
          certificates: [{name: shop}]
          farms: [{name: shop, serviceRef: {name: shop, port: 8080}}]
          httpsOnly: true
    """,
}


def read(name: str) -> tuple[dict[str, Any], Any]:
    raw: dict[str, Any] = yaml.safe_load(USERS[name])
    return raw, parse(KINDS[raw["kind"]], raw)


@pytest.mark.parametrize("name", USERS)
def test_a_manifest_survives_being_read_and_written(name: str) -> None:
    raw, value = read(name)
    written = plain(value)
    assert written["spec"] == raw["spec"]
    assert parse(type(value), written) == value


def test_user_4_grants_by_label_and_by_name() -> None:
    _, value = read("user 4")
    by_label, by_name = value.spec.grants
    assert by_label.namespaces == GrantNamespaces(
        selector=LabelSelector(match_labels={"tenant": "true"})
    )
    assert by_name.hostnames == ("shop.example", "www.shop.example")
    assert value.spec.haproxy.min_nodes == 2


def test_user_11_gets_the_defaults() -> None:
    _, certificate = read("user 11, certificate")
    assert certificate.secret_name == "shop"
    assert not certificate.in_place
    assert certificate.spec.private_key.algorithm is None
    assert certificate.status.observed_generation == -1
    _, frontend = read("user 11, frontend")
    assert (frontend.spec.port, frontend.spec.ssl, frontend.spec.redirect_status_code) == (
        443,
        True,
        308,
    )
    assert frontend.spec.farms[0].service_ref.port == 8080


def test_an_upload_into_its_own_secret_is_in_place() -> None:
    spec = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "ev"}}}
    assert parse(Certificate, {"metadata": {"name": "ev"}, "spec": spec}).in_place
    assert not parse(Certificate, {"metadata": {"name": "other"}, "spec": spec}).in_place


@pytest.mark.parametrize(
    ("block", "algorithm"),
    [
        ({}, None),
        ({"size": 2048}, KeyAlgorithm.RSA),
        ({"size": 384}, KeyAlgorithm.ECDSA),
        ({"algorithm": "RSA"}, KeyAlgorithm.RSA),
        ({"algorithm": "Ed25519"}, KeyAlgorithm.ED25519),
    ],
)
def test_a_size_alone_says_which_algorithm_is_wished(
    block: dict[str, Any], algorithm: KeyAlgorithm | None
) -> None:
    spec = {"type": "CA", "privateKey": block}
    value = parse(Certificate, {"metadata": {"name": "x"}, "spec": spec})
    assert value.spec.private_key.wished_algorithm is algorithm


def test_spellings_that_camel_case_would_get_wrong() -> None:
    certificate = {"type": "CA", "isCA": True, "privateKey": {"algorithm": "Ed25519"}}
    value = parse(Certificate, {"metadata": {"name": "x"}, "spec": certificate})
    assert value.spec.is_ca
    assert value.spec.private_key.algorithm is KeyAlgorithm.ED25519
    acme = {
        "directoryURL": "https://a.example",
        "externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "s"}},
        "solvers": [{"dnsPersist01": {}}, {"dns01": {"rfc2136": {"server": "ns"}}}, {"http01": {}}],
    }
    issuer = parse(Issuer, {"metadata": {"name": "x"}, "spec": {"type": "ACME", "acme": acme}})
    assert issuer.spec.acme is not None
    assert issuer.spec.acme.directory_url == "https://a.example"
    assert issuer.spec.acme.solvers[0].dns_persist01 is not None
    assert plain(issuer)["spec"]["acme"] == acme
    frontend = {"acceptHTTPIfAlreadyTerminated": True, "hsts": {"includeSubDomains": True}}
    assert plain(parse(Frontend, {"metadata": {"name": "x"}, "spec": frontend}))["spec"] == frontend


def test_unknown_fields_of_a_newer_version_are_tolerated() -> None:
    raw = {
        "apiVersion": "certfront.io/v1alpha1",
        "metadata": {"name": "x", "managedFields": []},
        "spec": {"type": "ACME", "new": {"field": 1}},
        "status": {"observedGeneration": 3, "new": True},
    }
    assert parse(Certificate, raw).status.observed_generation == 3


def test_what_the_status_says_is_read_back() -> None:
    order = {"id": "a-1", "orderURL": "https://ca.example/order/1"}
    status = {
        "observedGeneration": 2,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Issued"}],
        "domains": ["shop.example.com"],
        "order": order,
    }
    spec = {"type": "ACME"}
    value = parse(Certificate, {"metadata": {"name": "x"}, "spec": spec, "status": status})
    assert plain(value)["status"] == status


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({}, "$.spec", id="no type"),
        pytest.param({"type": CANARY}, "$.spec.type", id="type"),
        pytest.param({"type": "CA", "commonName": [CANARY]}, "$.spec.commonName", id="list"),
        pytest.param({"type": "CA", "dnsNames": CANARY}, "$.spec.dnsNames", id="string"),
        pytest.param({"type": "CA", "dnsNames": [{CANARY: 1}]}, "$.spec.dnsNames[0]", id="object"),
        pytest.param({"type": "CA", "isCA": CANARY}, "$.spec.isCA", id="boolean"),
        pytest.param(
            {"type": "CA", "privateKey": {"algorithm": CANARY}},
            "$.spec.privateKey.algorithm",
            id="algorithm",
        ),
        pytest.param(
            {"type": "CA", "privateKey": {"size": CANARY}}, "$.spec.privateKey.size", id="size"
        ),
        pytest.param(
            {"type": "CA", "renewal": {"reissueBefore": CANARY}},
            "$.spec.renewal.reissueBefore",
            id="time",
        ),
        pytest.param(
            {"type": "CA", "renewal": {"reissueBefore": "2026-02-30T00:00:00Z"}},
            "$.spec.renewal.reissueBefore",
            id="day that does not exist",
        ),
        pytest.param(
            {"type": "CA", "secret": {"labels": {CANARY: 1}}}, "$.spec.secret.labels", id="map"
        ),
    ],
)
def test_an_error_names_the_path_and_never_the_value(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        parse(Certificate, {"metadata": {"name": "x"}, "spec": spec})
    assert path in str(caught.value)
    assert "MC4CAQ" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_values_are_frozen() -> None:
    _, value = read("user 11, certificate")
    with pytest.raises(AttributeError):
        value.spec.type = "CA"


def test_the_older_object_comes_first_and_one_without_an_age_last() -> None:
    old = Meta(name="z", creation_timestamp=datetime(2025, 1, 1, tzinfo=UTC))
    new = Meta(name="a", creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    unborn = Meta(name="a", namespace="a")
    metas = sorted([unborn, new, old], key=lambda meta: meta.age_order)
    assert metas == [old, new, unborn]


def test_settings_refuse_what_they_do_not_know() -> None:
    settings = parse(Settings, {"defaultIssuer": "edge/ca", "installationID": "one"})
    assert settings.issuer == ObjectName("edge", "ca")
    assert settings.load_balancer is None
    with pytest.raises(InvalidObject, match="unknown field"):
        parse(Settings, {"defaultIssuers": "edge/ca"})


@pytest.mark.parametrize("text", ["", "edge", "/ca", "edge/"])
def test_a_default_needs_a_namespace_and_a_name(text: str) -> None:
    assert parse(Settings, {"defaultIssuer": text}).issuer is None


def test_the_settings_that_are_shipped_are_settings() -> None:
    path = Path(__file__).parents[3] / "deploy" / "40-operator.yaml"
    shipped = next(
        body for body in yaml.safe_load_all(path.read_text()) if body["kind"] == "ConfigMap"
    )
    settings = parse(Settings, yaml.safe_load(shipped["data"]["config.yaml"]))
    assert settings.load_balancer == ObjectName("edge", "haproxy")
    assert msgspec.to_builtins(settings)
