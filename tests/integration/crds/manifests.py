"""Manifests for the tables: one that sets every field for each kind and type, and short builders."""

import copy
from typing import Any

Object = dict[str, Any]


def build(kind: str, spec: Object, name: str = "x") -> Object:
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def changed(body: Object, path: tuple[str | int, ...], value: Any) -> Object:
    """A copy of `body` with `value` at `path`."""
    copied: Any = copy.deepcopy(body)
    at = copied
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    result: Object = copied
    return result


_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
_NAMES = {
    "commonName": "shop.example.com",
    "dnsNames": ["shop.example.com", "*.shop.example.com"],
    "ipAddresses": ["192.0.2.10", "2001:db8::1"],
}
_SUBJECT = {
    "organizations": ["Example Shop Ltd"],
    "countries": ["DE"],
    "organizationalUnits": ["Web"],
    "localities": ["Köln"],
    "provinces": ["NRW"],
    "streetAddresses": ["Main Street 1"],
    "postalCodes": ["50667"],
    "serialNumber": "HRB 12345",
}
_RENEWAL = {
    "before": "360h",
    "suspend": True,
    "warnBefore": "1440h",
    "reissueBefore": "2026-11-24T00:00:00Z",
}
_SECRET = {
    "name": "shop-tls",
    "labels": {"team": "shop", "app.kubernetes.io/part-of": "shop"},
    "annotations": {"example.com/owner": "the shop team, Köln"},
    "formats": [
        {
            "type": "PEMBundle",
            "key": "haproxy.pem",
            "order": ["certificate", "chain", "privateKey"],
        },
        {
            "type": "PKCS12",
            "key": "shop.p12",
            "passwordSecretRef": {"name": "password", "key": "password"},
        },
        {"type": "DER"},
    ],
    "deletionPolicy": "Delete",
}
_KEY = {"algorithm": "RSA", "size": 3072, "encoding": "PKCS1", "rotation": "Never"}
_ISSUER = {"name": "letsencrypt", "namespace": "edge"}

_COMMON: Object = {
    **_NAMES,
    "subject": _SUBJECT,
    "renewal": _RENEWAL,
    "privateKey": _KEY,
    "secret": _SECRET,
}
_LOCAL = {"duration": "720h", "usages": ["digital signature", "server auth"], "isCA": True}

_GRANTS = [
    {"namespaces": {"names": ["shop"]}, "hostnames": ["shop.example", "*.shop.example", "*"]},
    {
        "namespaces": {
            "selector": {
                "matchLabels": {"tenant": "true"},
                "matchExpressions": [{"key": "stage", "operator": "In", "values": ["production"]}],
            }
        },
        "hostnames": ["$(namespace).apps.example.com", "*.$(namespace).apps.example.com"],
    },
    {"namespaces": {"all": True}, "hostnames": ["192.0.2.10", "2001:db8::1", "bücher.example"]},
]
_BACKENDS = [{**_GRANTS[0], "backendCIDRs": ["10.20.0.0/16", "2001:db8::/32"]}, *_GRANTS[1:]]
_CREDENTIALS = {"credentialsSecretRef": {"name": "credentials"}}
_AWS = {
    "region": "eu-west-1",
    "roleARN": "arn:aws:iam::123456789012:role/certfront",
    "endpointURL": "https://elb.example.com",
    **_CREDENTIALS,
}
_ALB_ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c"


def load_balancer(kind: str, block: str, settings: Object) -> Object:
    return build(
        "LoadBalancer",
        {
            "type": kind,
            block: settings,
            "grants": _BACKENDS,
            "probeAddress": "192.0.2.10",
            "certificates": [{"name": "wildcard"}],
        },
    )


FULL: dict[str, Object] = {
    "certificate-self-signed": build(
        "Certificate", {"type": "SelfSigned", **_COMMON, **_LOCAL, "selfSigned": {}}
    ),
    "certificate-ca": build(
        "Certificate",
        {"type": "CA", **_COMMON, **_LOCAL, "ca": {"issuerRef": {**_ISSUER, "name": "ca"}}},
    ),
    "certificate-acme": build(
        "Certificate",
        {
            "type": "ACME",
            **_COMMON,
            "renewal": {"beforePercent": 25},
            "acme": {
                "issuerRef": _ISSUER,
                "profile": "shortlived",
                "preferredChain": "ISRG Root X1",
            },
        },
    ),
    "certificate-uploaded": build(
        "Certificate",
        {
            "type": "Uploaded",
            **_COMMON,
            "uploaded": {
                "secretRef": {
                    "name": "upload",
                    "certificateKey": "tls.crt",
                    "privateKeyKey": "tls.key",
                    "chainKey": "chain.pem",
                },
                "passwordSecretRef": {"name": "password", "key": "password"},
                "policy": "Lenient",
                "trustBundleRef": {"name": "roots", "key": "ca.crt"},
            },
        },
    ),
    "certificate-uploaded-pkcs12": build(
        "Certificate",
        {
            "type": "Uploaded",
            "uploaded": {"secretRef": {"name": "upload", "pkcs12Key": "shop.pfx"}},
        },
    ),
    "certificate-managed": build(
        "Certificate",
        {
            "type": "Managed",
            **_COMMON,
            "managed": {"kind": "SelfSigned", "email": "ops@example.com"},
        },
    ),
    "issuer-acme": build(
        "Issuer",
        {
            "type": "ACME",
            "acme": {
                "directoryURL": "https://acme.example.com:14000/dir",
                "email": "ops@example.com",
                "termsOfServiceAgreed": True,
                "caBundle": _PEM,
                "externalAccountBinding": {
                    "keyID": "kid-1",
                    "keySecretRef": {"name": "eab", "key": "hmac"},
                },
                "privateKeySecretRef": {"name": "account"},
                "profile": "tlsserver",
                "preferredChain": "ISRG Root X1",
                "solvers": [
                    {
                        "name": "edge",
                        "selector": {
                            "dnsNames": ["*.shop.example"],
                            "dnsZones": ["shop.example"],
                            "matchLabels": {"dns": "internal"},
                        },
                        "http01": {"route": "External"},
                    },
                    {
                        "dns01": {
                            "rfc2136": {
                                "server": "ns1.example.com:53",
                                "zone": "example.com",
                                "tsigKeyName": "certfront-key.",
                                "tsigAlgorithm": "hmac-sha512",
                                "tsigSecretRef": {"name": "tsig", "key": "key"},
                            }
                        }
                    },
                    {
                        "dns01": {
                            "lexicon": {
                                "provider": "ovh",
                                "credentialsSecretRef": {"name": "ovh"},
                            }
                        }
                    },
                    {"dnsPersist01": {}},
                ],
            },
            "grants": _GRANTS,
            "reissueBefore": "2026-11-24T00:00:00+01:00",
        },
    ),
    "issuer-ca": build(
        "Issuer",
        {
            "type": "CA",
            "ca": {
                "secretRef": {"name": "ca"},
                "allowCA": True,
                "allowedUsages": ["client auth"],
                "maxDuration": "720h",
            },
        },
    ),
    "haproxy": load_balancer("HAProxy", "haproxy", {"minNodes": 3}),
    "ovh": load_balancer(
        "OVH", "ovh", {"endpoint": "ovh-eu", "serviceName": "ip-1.2.3.4", **_CREDENTIALS}
    ),
    "aws-classic": load_balancer(
        "AWSClassic",
        "awsClassic",
        {**_AWS, "loadBalancerName": "shop", "iamPath": "/certfront/"},
    ),
    "aws-application": load_balancer(
        "AWSApplication", "awsApplication", {**_AWS, "loadBalancerName": "shop"}
    ),
    "aws-application-arn": load_balancer(
        "AWSApplication", "awsApplication", {**_AWS, "arn": _ALB_ARN}
    ),
    "rackspace": load_balancer(
        "Rackspace",
        "rackspace",
        {
            "region": "LON",
            "loadBalancerID": "71",
            "identityURL": "https://lon.identity.api.rackspacecloud.com/v2.0",
            **_CREDENTIALS,
        },
    ),
    "kong": load_balancer(
        "Kong",
        "kong",
        {
            "adminURL": "http://kong-admin.kong.svc:8001/shop",
            "caBundle": _PEM,
            "proxyAddress": "kong-proxy.kong.svc:443",
            **_CREDENTIALS,
        },
    ),
    "openscaler": load_balancer(
        "OpenScaler",
        "openScaler",
        {"endpoint": "https://api.openscaler.example", "loadBalancerID": "lb-1", **_CREDENTIALS},
    ),
    "frontend": build(
        "LoadBalancerFrontend",
        {
            "loadBalancerRef": {"name": "edge", "namespace": "edge"},
            "manage": "Listener",
            "adopt": True,
            "ssl": True,
            "hostnames": ["shop.example.com", "*.shop.example.com"],
            "port": 8443,
            "httpPort": 8080,
            "zone": "all",
            "displayName": "Web shop",
            "disabled": True,
            "defaultFarm": "shop",
            "farms": [
                {
                    "name": "shop",
                    "servers": [{"address": "10.20.0.5", "port": 8080}],
                    "healthCheck": {
                        "path": "/healthz?deep=1",
                        "host": "shop.example.com",
                        "intervalSeconds": 3,
                    },
                    "verify": {
                        "caSecretRef": {"name": "backend-ca", "key": "ca.crt"},
                        "serverName": "shop.internal",
                    },
                },
                {"name": "other", "serviceRef": {"name": "other", "port": 80}},
            ],
            "certificates": [
                {"name": "shop", "hostnames": ["shop.example.com"]},
                {"secretRef": {"name": "shop-tls"}},
            ],
            "defaultCertificate": {"name": "shop"},
            "httpsOnly": True,
            "redirectStatusCode": 301,
            "acceptHTTPIfAlreadyTerminated": True,
            "trustedSources": ["192.0.2.0/24"],
            "hsts": {"maxAge": 31536000, "includeSubDomains": True, "preload": True},
            "allowedSources": ["203.0.113.0/24", "2001:db8::/32"],
            "deniedSources": ["203.0.113.7"],
            "tls": {"minVersion": "TLS1.3", "policy": "ELBSecurityPolicy-2016-08"},
            "deletionPolicy": "Orphan",
            "awsClassic": {"instancePort": 8080, "instanceProtocol": "HTTPS"},
            "kong": {"routes": [{"name": "shop"}, {"tag": "team-shop"}]},
        },
    ),
    "frontend-redirect": build(
        "LoadBalancerFrontend",
        {
            "redirectLocation": "https://www.shop.example/?from=old",
            "certificates": [{"secretRef": {"name": "shop-tls"}}],
            "defaultCertificate": {"secretRef": {"name": "shop-tls"}},
        },
    ),
}
"""Accepted as they are; together they set every field of every spec."""
