"""The examples of a provider, made to fit its emulator, and the Secrets that they speak of.

What people write stays as it is, but: where the provider is reached, credentials, ports where low ones
may not be bound, and certificates of a public CA, which cannot reach this machine: those are
self-signed.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from certfront.model.keys import KeyAlgorithm
from certfront.pki import keys
from certfront.pki.issue import load_authority, self_signed, sign
from certfront.pki.request import Request
from sandbox import providers
from sandbox.emulators.control import Control
from sandbox.environment import REPOSITORY
from sandbox.state import Emulator

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "aws": ("01-application-certificates-only.yaml", "02-classic-certificates-only.yaml"),
    "kong": ("01-pair.yaml",),
    "openscaler": ("three-kinds.yaml",),
    "ovh": ("01-managed.yaml", "02-bought.yaml"),
    "rackspace": ("sites.yaml",),
}
"""The files of `examples/<provider>/` that the demo applies, in order."""

_PASSWORD = "demo"  # noqa: S105 - of a file that is made for a moment

Manifest = dict[str, Any]


def paths(name: str) -> list[Path]:
    """The examples' files."""
    return [REPOSITORY / "examples" / name / file for file in EXAMPLES[name]]


def read(emulator: Emulator) -> list[Manifest]:
    """All objects of the examples, fitted to the emulator."""
    documents = [
        document
        for path in paths(emulator.name)
        for document in yaml.safe_load_all(path.read_text())
        if document is not None and document["kind"] != "Secret"
    ]
    types = {d["metadata"]["name"]: d["spec"]["type"] for d in documents if _is_balancer(d)}
    return [_fitted(document, emulator, types) for document in documents]


def credentials(emulator: Emulator, documents: list[Manifest]) -> Iterator[Manifest]:
    """The Secrets with the emulator's credentials that the LoadBalancers name."""
    names = {
        block["credentialsSecretRef"]["name"]
        for document in documents
        if _is_balancer(document)
        for block in document["spec"].values()
        if isinstance(block, dict) and "credentialsSecretRef" in block
    }
    for name in sorted(names):
        yield _secret(name, "Opaque", emulator.credentials)


def bought(documents: list[Manifest], emulator: Emulator) -> Iterator[Manifest]:
    """A Secret with a new certificate for every one that the examples take from a Secret."""
    algorithm = KeyAlgorithm.RSA if emulator.name == "rackspace" else KeyAlgorithm.ECDSA
    wanted: dict[str, Manifest] = {}
    for document in documents:
        spec = document["spec"]
        if "uploaded" in spec:
            wanted[spec["uploaded"]["secretRef"]["name"]] = spec["uploaded"]
        for entry in spec.get("certificates", ()) if not _is_balancer(document) else ():
            if "secretRef" in entry:
                wanted[entry["secretRef"]["name"]] = {}
    for name, source in wanted.items():
        yield _pair(name, source, algorithm)


def furnish(emulator: Emulator, control: Control, documents: list[Manifest]) -> None:
    """What is there before certfront comes: DNS, routes of Kong, listeners that Terraform made."""
    if emulator.name == "openscaler":
        specs = [each["spec"] for each in documents]
        names = [name for spec in specs for name in spec.get("dnsNames", ())]
        control.steer("points_here", names)
    if emulator.name == "kong":
        service = {"name": "shop", "host": "shop.internal"}
        control.steer("request", {"method": "POST", "path": "/services", "body": service})
        for name, tags in (("shop", []), ("basket", ["team-shop"])):
            route = {"name": name, "tags": tags, "paths": [f"/{name}"], "service": {"name": "shop"}}
            control.steer("request", {"method": "POST", "path": "/routes", "body": route})
    if emulator.name == "aws":
        application, classic = providers.AWS_BALANCERS
        port, group = emulator.https_port, providers.AWS_TARGET_GROUP
        control.steer("add_listener", f"{application}:{port}:HTTPS:{group}")
        control.steer("add_listener", f"{classic}:{providers.CLASSIC_PORT}:HTTPS:80")


def _is_balancer(document: Manifest) -> bool:
    return bool(document["kind"] == "LoadBalancer")


def _fitted(document: Manifest, emulator: Emulator, types: Mapping[str, str]) -> Manifest:
    spec = dict(document["spec"])
    if _is_balancer(document):
        spec = _reaching(spec, emulator)
    elif document["kind"] == "Certificate" and spec["type"] == "ACME":
        spec = {**spec, "type": "SelfSigned"}
        spec.pop("acme", None)
    elif document["kind"] == "LoadBalancerFrontend":
        type_ = types.get(spec.get("loadBalancerRef", {}).get("name", ""), "")
        type_ = type_ or next(iter(types.values()))
        needed = providers.frontend_settings(emulator, type_)
        if "port" in needed:
            spec["port"] = needed["port"]
            if spec.get("httpsOnly") and type_ == "OVH":
                spec["httpPort"] = emulator.http_port
    return {**document, "spec": spec}


def _reaching(spec: Manifest, emulator: Emulator) -> Manifest:
    reaching = providers.load_balancers(emulator)[spec["type"]]
    fitted = {**spec, **reaching}
    for block, written in spec.items():
        if isinstance(written, dict) and "credentialsSecretRef" in written:
            reference = written["credentialsSecretRef"]
            fitted[block] = {**reaching[block], "credentialsSecretRef": reference}
    return fitted


def _pair(name: str, source: Manifest, algorithm: KeyAlgorithm) -> Manifest:
    """A certificate for `<name>.example.com`, in the form that is asked for."""
    now = datetime.now(UTC)
    root = self_signed(
        Request(common_name="Commercial CA", is_ca=True, duration=timedelta(days=3650)),
        keys.generate(algorithm),
        now=now,
        object_name="commercial",
    )
    authority = load_authority(root.tls_crt, root.private_key_pem)
    request = Request(dns_names=(f"{name}.example.com",), duration=timedelta(days=365))
    pair = sign(request, keys.generate(algorithm), authority=authority, now=now)
    bundle_key = source.get("secretRef", {}).get("pkcs12Key")
    if not bundle_key:
        found = {"tls.crt": pair.tls_crt.decode(), "tls.key": pair.private_key_pem.decode()}
        return _secret(name, "kubernetes.io/tls", found)
    leaf, *others = x509.load_pem_x509_certificates(pair.tls_crt)
    bundle = pkcs12.serialize_key_and_certificates(
        name.encode(),
        load_pem_private_key(pair.private_key_pem, None),  # type: ignore[arg-type] # one of ours
        leaf,
        others,
        BestAvailableEncryption(_PASSWORD.encode()),
    )
    secret = _secret(name, "Opaque", {"password": _PASSWORD})
    return {**secret, "data": {bundle_key: base64.b64encode(bundle).decode()}}


def _secret(name: str, type_: str, values: Mapping[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": {"name": name, "labels": {"certfront.io/secret": "source"}},
        "stringData": dict(values),
    }
