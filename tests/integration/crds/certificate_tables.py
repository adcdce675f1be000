"""Specs of Certificates that the schema and its rules accept, and those that they refuse.

`test_schemas` tries them all. REFUSED also says what the answer must name.
"""

from typing import Any

NAMED = {"dnsNames": ["shop.example.com"]}
REF = {"secretRef": {"name": "upload"}}


def spec(**fields: Any) -> dict[str, Any]:
    return {"type": "SelfSigned", **NAMED, **fields}


def key(**fields: Any) -> dict[str, Any]:
    return spec(privateKey=fields)


ACCEPTED = {
    "self-signed": spec(),
    "self-signed with its empty block": spec(selfSigned={}),
    "a block of null": spec(selfSigned=None),
    "ca of the installation's issuer": spec(type="CA"),
    "acme without a block": spec(type="ACME"),
    "uploaded needs no name": {"type": "Uploaded", "uploaded": REF},
    "uploaded with names to cover": spec(type="Uploaded", uploaded=REF),
    "managed": spec(type="Managed"),
    "common name only": {"type": "SelfSigned", "commonName": "Internal Root"},
    "address only": {"type": "SelfSigned", "ipAddresses": ["2001:db8::1"]},
    "names of null beside an address": {
        "type": "SelfSigned",
        "dnsNames": None,
        "ipAddresses": ["192.0.2.1"],
    },
    "empty names beside an address": {
        "type": "SelfSigned",
        "dnsNames": [],
        "ipAddresses": ["192.0.2.1"],
    },
    "upper case": spec(dnsNames=["Shop.EXAMPLE.com"]),
    "trailing dot": spec(dnsNames=["shop.example.com."]),
    "idn": spec(dnsNames=["bücher.example", "例え.テスト", "xn--bcher-kva.example"]),
    "combining mark": spec(dnsNames=["bu\u0308cher.example"]),
    "underscore": spec(dnsNames=["_dmarc.example.com"]),
    "single label": spec(dnsNames=["localhost"]),
    "duplicates are folded, not refused": spec(dnsNames=["a.example", "A.example", "a.example"]),
    "label of 63": spec(dnsNames=["a" * 63 + ".example"]),
    "hundred names": spec(dnsNames=[f"n{i}.example" for i in range(100)]),
    "the shortest duration": spec(duration="60s"),
    "duration in three parts": spec(duration="1h30m10s"),
    "before shorter than the duration": spec(duration="720h", renewal={"before": "719h59m"}),
    "before with an ACME CA's own duration": spec(type="ACME", renewal={"before": "9999h"}),
    "reissue before, with an offset": spec(
        renewal={"reissueBefore": "2026-02-28T23:00:00.5+01:00"}
    ),
    "size alone implies RSA": key(size=2048),
    "size alone implies ECDSA": key(size=384),
    "rsa": key(algorithm="RSA", size=4096),
    "ed25519": key(algorithm="Ed25519"),
    "empty key block": key(),
    "isCA false is no wish": spec(type="ACME", isCA=False),
    "label of a user's own prefix": spec(secret={"labels": {"app.kubernetes.io/name": "shop"}}),
    "acme common name": spec(type="ACME", commonName="Shop.example.com"),
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no type": (NAMED, "spec.type"),
    "type of null": (spec(type=None), "spec.type"),
    "unknown type": (spec(type="Vault"), "spec.type"),
    "type in lower case": (spec(type="acme"), "spec.type"),
    "no name": ({"type": "SelfSigned"}, "needs a name"),
    "empty lists are no name": (
        {"type": "ACME", "dnsNames": [], "ipAddresses": []},
        "needs a name",
    ),
    "null is no name": ({"type": "ACME", "dnsNames": None}, "needs a name"),
    "empty common name": ({"type": "ACME", "commonName": ""}, "spec.commonName"),
    "foreign block": (spec(acme={}), "spec.acme"),
    "two blocks": (spec(type="CA", ca={}, selfSigned={}), "spec.selfSigned"),
    "uploaded without its block": ({"type": "Uploaded"}, "spec.uploaded"),
    "uploaded without a reference": ({"type": "Uploaded", "uploaded": {}}, "uploaded.secretRef"),
    "empty hostname": (spec(dnsNames=[""]), "spec.dnsNames[0]"),
    "second hostname wrong": (spec(dnsNames=["a.example", "-a.example"]), "spec.dnsNames[1]"),
    "hostname with a space": (spec(dnsNames=["shop example.com"]), "spec.dnsNames[0]"),
    "no-break space": (spec(dnsNames=["shop\u00a0.example.com"]), "spec.dnsNames[0]"),
    "right-to-left override": (spec(dnsNames=["shop\u202e.example.com"]), "spec.dnsNames[0]"),
    "zero-width space": (spec(dnsNames=["shop\u200b.example.com"]), "spec.dnsNames[0]"),
    "ideographic full stop": (spec(dnsNames=["shop\u3002example\u3002com"]), "spec.dnsNames[0]"),
    "injected line": (spec(dnsNames=["shop.example.com\r\nX: y"]), "spec.dnsNames[0]"),
    "newline at the end": (spec(dnsNames=["shop.example.com\n"]), "spec.dnsNames[0]"),
    "nul": (spec(dnsNames=["shop\u0000.example.com"]), "spec.dnsNames[0]"),
    "quote": (spec(dnsNames=['shop".example.com']), "spec.dnsNames[0]"),
    "address as a hostname": (spec(dnsNames=["192.0.2.1"]), "spec.dnsNames[0]"),
    "hostname with a port": (spec(dnsNames=["shop.example.com:443"]), "spec.dnsNames[0]"),
    "url as a hostname": (spec(dnsNames=["https://shop.example.com"]), "spec.dnsNames[0]"),
    "star alone": (spec(dnsNames=["*"]), "spec.dnsNames[0]"),
    "star in the middle": (spec(dnsNames=["shop.*.example.com"]), "spec.dnsNames[0]"),
    "star in a label": (spec(dnsNames=["sh*p.example.com"]), "spec.dnsNames[0]"),
    "two stars": (spec(dnsNames=["*.*.example.com"]), "spec.dnsNames[0]"),
    "empty label": (spec(dnsNames=["shop..example.com"]), "spec.dnsNames[0]"),
    "label of 66": (spec(dnsNames=["a" * 66 + ".example"]), "spec.dnsNames[0]"),
    "hostname of 254": (spec(dnsNames=["a." * 125 + "abcd"]), "spec.dnsNames[0]"),
    "a hundred and one names": (spec(dnsNames=[f"n{i}.example" for i in range(101)]), "dnsNames"),
    "names as a string": (spec(dnsNames="shop.example.com"), "spec.dnsNames"),
    "hostname as an address": (spec(ipAddresses=["shop.example.com"]), "spec.ipAddresses[0]"),
    "mapped address": (spec(ipAddresses=["::ffff:192.0.2.1"]), "spec.ipAddresses[0]"),
    "address with a zone": (spec(ipAddresses=["fe80::1%eth0"]), "spec.ipAddresses[0]"),
    "address range": (spec(ipAddresses=["192.0.2.0/24"]), "spec.ipAddresses[0]"),
    "common name of 65": (spec(commonName="a" * 65), "spec.commonName"),
    "common name with a newline": (spec(commonName="a\nb"), "spec.commonName"),
    "common name with spaces around": (spec(commonName=" a "), "spec.commonName"),
    "acme common name that is no hostname": (
        spec(type="ACME", commonName="My Shop"),
        "spec.commonName",
    ),
    "country of three letters": (spec(subject={"countries": ["DEU"]}), "countries[0]"),
    "duration of acme": (spec(type="ACME", duration="720h"), "spec.duration"),
    "usages of acme": (spec(type="ACME", usages=["server auth"]), "spec.usages"),
    "an acme CA": (spec(type="ACME", isCA=True), "spec.isCA"),
    "duration of zero": (spec(duration="0s"), "spec.duration"),
    "duration of 59 seconds": (spec(duration="59s"), "spec.duration"),
    "duration in days": (spec(duration="90d"), "spec.duration"),
    "duration in months": (spec(duration="1M"), "spec.duration"),
    "duration of ISO 8601": (spec(duration="P90D"), "spec.duration"),
    "duration without its last unit": (spec(duration="1h30"), "spec.duration"),
    "negative duration": (spec(duration="-1h"), "spec.duration"),
    "duration in words": (spec(duration="2 weeks"), "spec.duration"),
    "duration as a number": (spec(duration=2160), "spec.duration"),
    "empty duration": (spec(duration=""), "spec.duration"),
    "before as long as the duration": (
        spec(duration="720h", renewal={"before": "720h"}),
        "spec.renewal.before",
    ),
    "before as long as the default": (spec(renewal={"before": "2160h"}), "spec.renewal.before"),
    "before and percentage": (
        spec(renewal={"before": "1h", "beforePercent": 10}),
        "spec.renewal.beforePercent",
    ),
    "percentage of zero": (spec(renewal={"beforePercent": 0}), "beforePercent"),
    "percentage of a hundred": (spec(renewal={"beforePercent": 100}), "beforePercent"),
    "time without a zone": (
        spec(renewal={"reissueBefore": "2026-01-01T00:00:00"}),
        "reissueBefore",
    ),
    "a day": (spec(renewal={"reissueBefore": "2026-01-01"}), "reissueBefore"),
    "month thirteen": (spec(renewal={"reissueBefore": "2026-13-01T00:00:00Z"}), "reissueBefore"),
    "unknown usage": (spec(usages=["serverAuth"]), "spec.usages[0]"),
    "unknown algorithm": (key(algorithm="DSA"), "privateKey.algorithm"),
    "small rsa key": (key(algorithm="RSA", size=1024), "privateKey.size"),
    "huge rsa key": (key(algorithm="RSA", size=8192), "privateKey.size"),
    "odd rsa key": (key(algorithm="RSA", size=2049), "privateKey.size"),
    "ecdsa key of rsa's size": (key(algorithm="ECDSA", size=2048), "privateKey.size"),
    "sized ed25519 key": (key(algorithm="Ed25519", size=256), "privateKey.size"),
    "ed25519 as PKCS1": (key(algorithm="Ed25519", encoding="PKCS1"), "privateKey.encoding"),
    "inline key": (key(pem="x"), "unknown field"),
    "secret name of upper case": (spec(secret={"name": "Shop"}), "spec.secret.name"),
    "secret of another namespace": (spec(secret={"name": "edge/shop"}), "spec.secret.name"),
    "our label": (spec(secret={"labels": {"certfront.io/secret": "source"}}), "secret.labels"),
    "our annotation": (spec(secret={"annotations": {"certfront.io/need": "x"}}), "annotations"),
    "kubernetes' label": (spec(secret={"labels": {"kubernetes.io/x": "y"}}), "secret.labels"),
    "invalid label key": (spec(secret={"labels": {"a b": "c"}}), "secret.labels"),
    "invalid label value": (spec(secret={"labels": {"a": "b c"}}), "secret.labels"),
    "format without a password": (spec(secret={"formats": [{"type": "JKS"}]}), "passwordSecretRef"),
    "format over the pair": (
        spec(secret={"formats": [{"type": "DER", "key": "tls.key"}]}),
        "formats[0].key",
    ),
    "unknown deletion policy": (spec(secret={"deletionPolicy": "Keep"}), "deletionPolicy"),
    "pkcs12 beside pem": (
        {
            "type": "Uploaded",
            "uploaded": {"secretRef": {"name": "x", "pkcs12Key": "p", "chainKey": "c"}},
        },
        "secretRef.pkcs12Key",
    ),
    "issuer without a name": (spec(type="ACME", acme={"issuerRef": {}}), "issuerRef.name"),
    "issuer with an empty name": (spec(type="ACME", acme={"issuerRef": {"name": ""}}), "issuerRef"),
    "bad e-mail": (spec(type="Managed", managed={"email": "ops"}), "managed.email"),
    "unknown field": (spec(dnsName="shop.example.com"), "unknown field"),
}
