"""How the kinds behave under kubectl, GitOps tools and beside cert-manager."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.kubectl import Kubectl
from tests.integration.crds.conftest import PLURALS, Server
from tests.integration.crds.manifests import FULL, build

REPOSITORY = Path(__file__).parents[3]

USERS = """
apiVersion: certfront.io/v1alpha1
kind: LoadBalancer
metadata: {name: iplb}
spec:
  type: OVH
  ovh: {endpoint: ovh-eu, serviceName: ip-1.2.3.4, credentialsSecretRef: {name: ovh-api}}
---
apiVersion: certfront.io/v1alpha1
kind: Certificate
metadata: {name: sites}
spec: {type: Managed, dnsNames: [d01.example, d02.example]}
---
apiVersion: certfront.io/v1alpha1
kind: LoadBalancerFrontend
metadata: {name: web}
spec:
  loadBalancerRef: {name: iplb}
  defaultFarm: "12345"
  certificates: [{name: sites}]
  httpsOnly: true
---
apiVersion: certfront.io/v1alpha1
kind: LoadBalancer
metadata: {name: alb}
spec:
  type: AWSApplication
  awsApplication: {region: eu-west-1, loadBalancerName: shop, credentialsSecretRef: {name: aws}}
---
apiVersion: certfront.io/v1alpha1
kind: LoadBalancerFrontend
metadata: {name: elsewhere}
spec:
  loadBalancerRef: {name: alb}
  manage: CertificatesOnly
  certificates: [{secretRef: {name: shop-tls}}]
---
apiVersion: certfront.io/v1alpha1
kind: LoadBalancer
metadata: {name: edge}
spec:
  type: HAProxy
  haproxy: {minNodes: 2}
  certificates: [{name: wildcard}]
  grants:
  - namespaces: {selector: {matchLabels: {tenant: "true"}}}
    hostnames: ["$(namespace).apps.example.com", "*.$(namespace).apps.example.com"]
  - namespaces: {names: [shop]}
    hostnames: [shop.example, www.shop.example]
---
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
"""The shortest manifests of users 1, 3, 4 and 11, without their namespaces."""


def test_the_shortest_manifests_are_applied_by_both_ways_of_kubectl(
    kubectl: Kubectl, namespace: str
) -> None:
    kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=USERS)
    kubectl("apply", "--server-side", f"--namespace={namespace}", "-f", "-", stdin=USERS)
    kubectl("diff", "--server-side", f"--namespace={namespace}", "-f", "-", stdin=USERS)


def test_applying_again_changes_nothing(server: Server, namespace: str) -> None:
    """The second time the API server stores the default of status, which it drops on create."""
    for number, original in enumerate(FULL.values()):
        body = {**original, "metadata": {"name": f"x{number}"}}
        first = server.apply(body, namespace, "flux")
        assert first.code == 201, first.text
        second = server.apply(body, namespace, "flux")
        assert second.json["spec"] == first.json["spec"]
        assert second.json["metadata"]["generation"] == 1
        third = server.apply(body, namespace, "flux")
        assert third.json["metadata"] == second.json["metadata"]


def test_a_status_does_not_disturb_the_one_who_applies(server: Server, namespace: str) -> None:
    body = FULL["frontend"]
    assert server.apply(body, namespace, "flux").code == 201
    assert server.status(body, namespace, {"observedGeneration": 1}).code == 200
    again = server.apply(body, namespace, "flux").json
    assert again["status"] == {"observedGeneration": 1}
    assert again["metadata"]["generation"] == 1


def test_fields_of_two_appliers_live_together(server: Server, namespace: str) -> None:
    mine = build("LoadBalancer", {"type": "HAProxy"})
    assert server.apply(mine, namespace, "chart").code == 201
    theirs = {"namespaces": {"all": True}, "hostnames": ["*"]}
    granted = build("LoadBalancer", {"type": "HAProxy", "grants": [theirs]})
    assert server.apply(granted, namespace, "team").code == 200
    assert server.apply(mine, namespace, "chart").json["spec"]["grants"] == [theirs]


def test_an_empty_status_is_allowed_to_say_anything_less(server: Server, namespace: str) -> None:
    """Nothing inside status is required: each fact may come when it is known."""
    for name in ("certificate-acme", "issuer-ca", "haproxy", "frontend"):
        assert server.create(FULL[name], namespace, dry_run=False).code == 201
        condition = {"type": "Ready", "status": "Unknown"}
        assert server.status(FULL[name], namespace, {"conditions": [condition]}).code == 200


def test_every_field_is_explained(server: Server) -> None:
    """Each says what it does; what may be left out says what happens then, or shows an example."""
    document = server.get("/openapi/v3/apis/certfront.io/v1alpha1").json
    for kind in PLURALS:
        schema = document["components"]["schemas"][f"io.certfront.v1alpha1.{kind}"]
        for path, field in _fields(schema["properties"]["spec"], "spec"):
            text = field.get("description", "")
            assert text.endswith("."), path
            if field.get("type") in ("string", "integer", "boolean"):
                assert re.search("Default|Required|Example", text), path
        for path, field in _fields(schema["properties"]["status"], "status"):
            assert field.get("description", "").endswith("."), path


@pytest.mark.parametrize("name", ["lbcert", "lbissuer", "lbsvc", "lbfe"])
def test_kubectl_explains_by_the_short_name(kubectl: Kubectl, name: str) -> None:
    tree = kubectl("explain", name, "--recursive")
    assert "observedGeneration" in tree
    assert "FIELDS" in kubectl("explain", f"{name}.spec")


def test_kubectl_get_shows_what_user_12_needs(
    server: Server, kubectl: Kubectl, namespace: str
) -> None:
    """The columns that people see; EXPIRES and NEXT lie in the future and are printed."""
    _with_status(
        server,
        namespace,
        build("Certificate", {"type": "ACME", "dnsNames": ["shop.example.com"]}, "shop"),
        reason="RenewalFailing",
        names="shop.example.com",
        notAfter="2036-12-02T02:12:43Z",
        nextTime="2036-11-24T21:10:00Z",
    )
    uploaded = {"type": "Uploaded", "uploaded": {"secretRef": {"name": "ev"}}}
    _with_status(
        server,
        namespace,
        build("Certificate", uploaded, "ev"),
        reason="ExpiringSoon",
        names="ev.example.com",
        notAfter="2036-12-10T23:59:59Z",
    )
    _with_status(
        server,
        namespace,
        build("LoadBalancerFrontend", {"certificates": [{"name": "shop"}]}, "shop"),
        reason="Served",
        loadBalancer="edge/haproxy",
        certificate="shop",
        notAfter="2036-12-02T02:12:43Z",
        task={"id": "1", "status": "done"},
    )
    assert _table(kubectl("get", "lbcert", f"--namespace={namespace}")) == [
        ["NAME", "READY", "REASON", "TYPE", "NAMES", "EXPIRES", "NEXT", "AGE"],
        ["ev", "True", "ExpiringSoon", "Uploaded", "ev.example.com", "2036-12-10T23:59:59Z"],
        [
            *["shop", "True", "RenewalFailing", "ACME", "shop.example.com"],
            *["2036-12-02T02:12:43Z", "2036-11-24T21:10:00Z"],
        ],
    ]
    header = "NAME READY REASON LOADBALANCER PORT CERTIFICATE EXPIRES TASK AGE"
    assert _table(kubectl("get", "lbfe", f"--namespace={namespace}")) == [
        header.split(),
        ["shop", "True", "Served", "edge/haproxy", "443", "shop", "2036-12-02T02:12:43Z", "done"],
    ]


def test_the_category_lists_all_four_kinds(
    kubectl: Kubectl, namespace: str, server: Server
) -> None:
    for name in ("certificate-acme", "issuer-ca", "haproxy", "frontend"):
        assert server.create(FULL[name], namespace, dry_run=False).code == 201
    listed = kubectl("get", "certfront", f"--namespace={namespace}", "-o", "name").split()
    assert sorted(listed) == [
        "certificate.certfront.io/x",
        "issuer.certfront.io/x",
        "loadbalancer.certfront.io/x",
        "loadbalancerfrontend.certfront.io/x",
    ]


@pytest.mark.parametrize(
    ("short", "name", "selector"),
    [
        ("lbcert", "certificate-acme", "spec.acme.issuerRef.name=letsencrypt"),
        ("lbcert", "certificate-uploaded", "spec.uploaded.secretRef.name=upload"),
        ("lbcert", "certificate-acme", "spec.secret.name=shop-tls"),
        ("lbissuer", "issuer-ca", "spec.ca.secretRef.name=ca"),
        ("lbsvc", "ovh", "spec.type=OVH"),
        ("lbfe", "frontend", "spec.loadBalancerRef.namespace=edge"),
    ],
)
def test_objects_are_selected_by_what_they_refer_to(
    server: Server, kubectl: Kubectl, namespace: str, short: str, name: str, selector: str
) -> None:
    assert server.create(FULL[name], namespace, dry_run=False).code == 201
    space = f"--namespace={namespace}"
    assert kubectl("get", short, space, f"--field-selector={selector}", "-o", "name") != ""
    assert kubectl("get", short, space, f"--field-selector={selector}x", "-o", "name") == ""


@pytest.fixture
def cert_manager(kubectl: Kubectl) -> Iterator[None]:
    """Kinds of the names and group that cert-manager has."""
    definitions = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.cert-manager.io"},
            "spec": {
                "group": "cert-manager.io",
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "plural": plural,
                    "singular": kind.lower(),
                    "shortNames": short,
                    "categories": ["cert-manager"],
                },
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                ],
            },
        }
        for kind, plural, short in [
            ("Certificate", "certificates", ["cert", "certs"]),
            ("Issuer", "issuers", []),
        ]
    ]
    kubectl.apply(*definitions)
    names = [definition["metadata"]["name"] for definition in definitions]  # type: ignore[index]
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", *names)
    yield
    kubectl("delete", "crd", "--timeout=60s", *names)


@pytest.mark.usefixtures("cert_manager")
def test_cert_managers_kinds_of_the_same_names_do_not_get_in_the_way(
    server: Server, kubectl: Kubectl, namespace: str
) -> None:
    space = f"--namespace={namespace}"
    for kind in ("Certificate", "Issuer"):
        theirs = {
            "apiVersion": "cert-manager.io/v1",
            "kind": kind,
            "metadata": {"name": "theirs", "namespace": namespace},
            "spec": {},
        }
        kubectl.apply(theirs)
    assert server.create(FULL["certificate-acme"], namespace, dry_run=False).code == 201
    assert server.create(FULL["issuer-ca"], namespace, dry_run=False).code == 201
    for ours, qualified, plural in [
        ("lbcert", "certificates.certfront.io", "certificates.cert-manager.io"),
        ("lbissuer", "issuers.certfront.io", "issuers.cert-manager.io"),
    ]:
        assert kubectl("get", ours, space, "-o", "name").endswith("certfront.io/x\n")
        assert kubectl("get", qualified, space, "-o", "name").endswith("certfront.io/x\n")
        assert kubectl("get", plural, space, "-o", "name").endswith("cert-manager.io/theirs\n")
    assert "cert-manager" not in kubectl("get", "certfront", space, "-o", "name")


def test_everything_in_deploy_fits_the_cluster(kubectl: Kubectl) -> None:
    """Strict validation: a field that does not exist is an error."""
    for path in sorted((REPOSITORY / "deploy").glob("*.yaml")):
        kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", str(path))


ALLOWED_VERBS = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}


def test_the_roles_name_what_they_allow_and_no_pods() -> None:
    for path in sorted((REPOSITORY / "deploy").glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            for rule in body.get("rules", []):
                assert set(rule["verbs"]) <= ALLOWED_VERBS
                assert "*" not in rule["resources"] + rule["apiGroups"]
                assert not any(r.startswith("pods") for r in rule["resources"])


@pytest.mark.parametrize(
    ("account", "allowed", "question"),
    [
        ("certfront:certfront", True, "patch certificates/status"),
        ("certfront:certfront", True, "create secrets"),
        ("certfront:certfront", True, "delete leases -n edge"),
        ("certfront:certfront", False, "delete leases -n kube-node-lease"),
        ("certfront:certfront", False, "create pods"),
        ("certfront:certfront", False, "update certificates"),
        ("certfront:certfront", False, "create certificates"),
        ("edge:certfront-agent", True, "watch secrets -n edge"),
        ("edge:certfront-agent", True, "create leases -n edge"),
        ("edge:certfront-agent", False, "get secrets -n shop"),
        ("edge:certfront-agent", False, "patch secrets -n edge"),
    ],
)
def test_the_service_accounts_may_do_their_work_and_no_more(
    kubectl: Kubectl, account: str, allowed: bool, question: str
) -> None:
    verb, resource, *rest = question.split()
    plural, _, subresource = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{account}",
            "resourceAttributes": {
                "verb": verb,
                "group": _group(plural),
                "resource": plural,
                "subresource": subresource,
                "namespace": rest[1] if rest else "shop",
            },
        },
    }
    text = kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    assert json.loads(text)["status"]["allowed"] is allowed


def _group(plural: str) -> str:
    if plural == "leases":
        return "coordination.k8s.io"
    return "certfront.io" if plural in PLURALS.values() else ""


def _with_status(
    server: Server, namespace: str, body: dict[str, Any], *, reason: str, **facts: Any
) -> None:
    assert server.create(body, namespace, dry_run=False).code == 201
    ready = {"type": "Ready", "status": "True", "reason": reason}
    assert server.status(body, namespace, {"conditions": [ready], **facts}).code == 200


def _table(text: str) -> list[list[str]]:
    """The words of each row; without the age, which is the last word of every row but the first."""
    header, *rows = [line.split() for line in text.splitlines()]
    return [header, *(row[:-1] for row in rows)]


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from _fields(below, f"{path}.{name}")
    items = schema.get("items")
    if items and items.get("type") == "object":
        yield from _fields(items, f"{path}[]")
