"""Issuers and LoadBalancers that the schemas accept, and those that they refuse.

`test_schemas` tries them all. REFUSED also says what the answer must name.
"""

from typing import Any

from tests.integration.crds.manifests import FULL, build, changed

Object = dict[str, Any]
ALL = {"all": True}


def acme(**fields: Any) -> Object:
    return build(
        "Issuer",
        {"type": "ACME", "acme": {"directoryURL": "https://acme.example.com/dir", **fields}},
    )


def directory(url: Any) -> Object:
    return build("Issuer", {"type": "ACME", "acme": {"directoryURL": url}})


def solver(**fields: Any) -> Object:
    return acme(solvers=[fields])


def grant(namespaces: Any, hostnames: Any = ("shop.example",), **fields: Any) -> Object:
    granted = {"namespaces": namespaces, "hostnames": hostnames, **fields}
    return build("LoadBalancer", {"type": "HAProxy", "grants": [granted]})


def balancer(kind: str, **fields: Any) -> Object:
    return build("LoadBalancer", {"type": kind, **fields})


ACCEPTED = {
    "directory with a port": directory("https://acme.example.com:14000/dir"),
    "directory at an address": directory("https://127.0.0.1:14000/dir"),
    "directory at an IPv6 address": directory("https://[2001:db8::1]/dir"),
    "external account": acme(
        externalAccountBinding={"keyID": "kid", "keySecretRef": {"name": "eab"}}
    ),
    "http01 as it is": solver(http01={}),
    "no solvers": acme(solvers=[]),
    "haproxy without a block": balancer("HAProxy"),
    "grant by name": grant({"names": ["shop"]}),
    "grant by label": grant({"selector": {"matchLabels": {"tenant": "true"}}}),
    "grant by expression": grant(
        {"selector": {"matchExpressions": [{"key": "tenant", "operator": "Exists"}]}}
    ),
    "grant to everyone": grant(ALL),
    "grant of everything": grant(ALL, ["*"]),
    "grant of a wildcard": grant(ALL, ["*.example.com"]),
    "grant with the tenant's name": grant(ALL, ["$(namespace).apps.example.com"]),
    "grant of an address": grant(ALL, ["192.0.2.1", "2001:db8::1"]),
    "grant of upper case": grant(ALL, ["Shop.Example"]),
    "grant of a range": grant(ALL, backendCIDRs=["10.0.0.0/8", "2001:db8::/32"]),
    "no grants": balancer("HAProxy", grants=[]),
    "name of 63": {**balancer("HAProxy"), "metadata": {"name": "a" * 63}},
}

REFUSED: dict[str, tuple[Object, str]] = {
    "issuer of no type": (build("Issuer", {}), "spec.type"),
    "issuer of an unknown type": (build("Issuer", {"type": "Vault"}), "spec.type"),
    "acme without its block": (build("Issuer", {"type": "ACME"}), "spec.acme"),
    "ca without its block": (build("Issuer", {"type": "CA"}), "spec.ca"),
    "ca without a secret": (build("Issuer", {"type": "CA", "ca": {}}), "ca.secretRef"),
    "foreign block": (
        changed(acme(), ("spec", "ca"), {"secretRef": {"name": "ca"}}),
        "spec.ca",
    ),
    "no directory": (build("Issuer", {"type": "ACME", "acme": {}}), "directoryURL"),
    "plain http": (directory("http://acme.example.com/dir"), "directoryURL"),
    "no host": (directory("https:///dir"), "directoryURL"),
    "nothing but the scheme": (directory("https://"), "directoryURL"),
    "user information": (directory("https://u:p@acme.example.com/"), "directoryURL"),
    "user information that looks like a host": (
        directory("https://acme.example.com@evil.example/"),
        "directoryURL",
    ),
    "port out of range": (directory("https://acme.example.com:99999/"), "directoryURL"),
    "encoded line break": (directory("https://acme.example.com/%0d%0aX"), "directoryURL"),
    "line break": (directory("https://acme.example.com/\r\nX: y"), "directoryURL"),
    "space": (directory("https://acme.example.com/a b"), "directoryURL"),
    "quote": (directory('https://acme.example.com/"'), "directoryURL"),
    "backslash": (directory("https://acme.example.com\\@evil.example/"), "directoryURL"),
    "fragment": (directory("https://acme.example.com/#x"), "directoryURL"),
    "another scheme": (directory("file:///etc/passwd"), "directoryURL"),
    "url of 2049": (directory("https://acme.example.com/" + "a" * 2024), "directoryURL"),
    "bundle of a key": (acme(caBundle="-----BEGIN PRIVATE KEY-----"), "caBundle"),
    "bundle of nothing": (acme(caBundle=""), "caBundle"),
    "bundle over 64 KiB": (acme(caBundle="-----BEGIN CERTIFICATE-----" + "a" * 65536), "caBundle"),
    "solver of nothing": (solver(name="x"), "solvers[0]"),
    "solver of two": (solver(http01={}, dnsPersist01={}), "solvers[0]"),
    "dns01 of nothing": (solver(dns01={}), "solvers[0].dns01"),
    "unknown route": (solver(http01={"route": "Ingress"}), "http01.route"),
    "tsig name without a secret": (
        solver(dns01={"rfc2136": {"server": "ns1.example.com", "tsigKeyName": "k"}}),
        "tsigSecretRef",
    ),
    "grant to no one": (grant({}), "grants[0].namespaces"),
    "grant to no names": (grant({"names": []}), "namespaces.names"),
    "grant to an empty name": (grant({"names": [""]}), "namespaces.names[0]"),
    "grant to null names": (grant({"names": None}), "grants[0].namespaces"),
    "grant to an empty selector": (grant({"selector": {}}), "namespaces.selector"),
    "grant to empty labels": (grant({"selector": {"matchLabels": {}}}), "namespaces.selector"),
    "grant to empty expressions": (
        grant({"selector": {"matchExpressions": []}}),
        "namespaces.selector",
    ),
    "expression without values": (
        grant({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
        "matchExpressions",
    ),
    "grant to not all": (grant({"all": False}), "namespaces.all"),
    "grant to two": (grant({"all": True, "names": ["shop"]}), "grants[0].namespaces"),
    "grant without namespaces": (
        balancer("HAProxy", grants=[{"hostnames": ["a.example"]}]),
        "grants[0].namespaces",
    ),
    "grant without hostnames": (
        balancer("HAProxy", grants=[{"namespaces": ALL}]),
        "grants[0].hostnames",
    ),
    "grant of no hostnames": (grant(ALL, []), "grants[0].hostnames"),
    "grant of null": (grant(ALL, None), "grants[0].hostnames"),
    "grant of an empty hostname": (grant(ALL, [""]), "hostnames[0]"),
    "grant of a star in the middle": (grant(ALL, ["a.*.example"]), "hostnames[0]"),
    "grant of two stars": (grant(ALL, ["*.*.example"]), "hostnames[0]"),
    "grant of a star in a label": (grant(ALL, ["a*.example"]), "hostnames[0]"),
    "grant of two star labels": (grant(ALL, ["**"]), "hostnames[0]"),
    "grant of another variable": (grant(ALL, ["$(name).example"]), "hostnames[0]"),
    "grant of a half variable": (grant(ALL, ["$(namespace.example"]), "hostnames[0]"),
    "grant with a space": (grant(ALL, ["a.example b.example"]), "hostnames[0]"),
    "grant with a no-break space": (grant(ALL, ["a\u00a0.example"]), "hostnames[0]"),
    "grant of a bare address as a range": (grant(ALL, backendCIDRs=["10.0.0.1"]), "backendCIDRs"),
    "grant of a sloppy range": (grant(ALL, backendCIDRs=["10.0.0.1/8"]), "backendCIDRs[0]"),
    "ranges on an issuer": (
        changed(
            acme(),
            ("spec", "grants"),
            [{"namespaces": ALL, "hostnames": ["*"], "backendCIDRs": ["10.0.0.0/8"]}],
        ),
        "unknown field",
    ),
    "balancer of no type": (build("LoadBalancer", {}), "spec.type"),
    "balancer of an unknown type": (balancer("Nginx"), "spec.type"),
    "balancer without its block": (balancer("OVH"), "spec.ovh"),
    "balancer with a foreign block": (
        balancer("HAProxy", rackspace=FULL["rackspace"]["spec"]["rackspace"]),
        "spec.rackspace",
    ),
    "balancer without credentials": (
        balancer("OVH", ovh={"endpoint": "ovh-eu", "serviceName": "ip-1.2.3.4"}),
        "credentialsSecretRef",
    ),
    "alb by name and arn": (
        changed(
            FULL["aws-application-arn"], ("spec", "awsApplication", "loadBalancerName"), "shop"
        ),
        "awsApplication",
    ),
    "ovh endpoint of plain text": (
        changed(FULL["ovh"], ("spec", "ovh", "endpoint"), "eu"),
        "endpoint",
    ),
    "no nodes": (balancer("HAProxy", haproxy={"minNodes": 0}), "minNodes"),
    "probe with a port": (balancer("HAProxy", probeAddress="192.0.2.1:443"), "probeAddress"),
    "name of 64": ({**balancer("HAProxy"), "metadata": {"name": "a" * 64}}, "63 characters"),
}

IMMUTABLE = {
    "ovh endpoint": ("ovh", {"ovh": {"endpoint": "ovh-ca"}}),
    "ovh service": ("ovh", {"ovh": {"serviceName": "ip-5.6.7.8"}}),
    "classic region": ("aws-classic", {"awsClassic": {"region": "us-east-1"}}),
    "classic name": ("aws-classic", {"awsClassic": {"loadBalancerName": "other"}}),
    "endpoint removed": ("aws-classic", {"awsClassic": {"endpointURL": None}}),
    "alb name": ("aws-application", {"awsApplication": {"loadBalancerName": "other"}}),
    "alb named otherwise": (
        "aws-application",
        {
            "awsApplication": {
                "loadBalancerName": None,
                "arn": FULL["aws-application-arn"]["spec"]["awsApplication"]["arn"],
            }
        },
    ),
    "rackspace id": ("rackspace", {"rackspace": {"loadBalancerID": "72"}}),
    "kong url": ("kong", {"kong": {"adminURL": "https://other.example"}}),
    "openscaler id": ("openscaler", {"openScaler": {"loadBalancerID": "lb-2"}}),
    "type": ("kong", {"type": "HAProxy", "kong": None}),
}
