"""The desired state of a HAProxy load balancer, as Secrets in the LoadBalancer's namespace.

The reconcilers write it, the agents read it: one manifest for each frontend, one bundle for each
certificate, one challenge Secret for each certificate that is being validated. The format has a
version; an agent that meets a newer one keeps what it serves and says so.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from certfront.model import secret_data
from certfront.model.frontend import HSTS, HealthCheck, Server
from certfront.model.keys import KeyAlgorithm
from certfront.model.meta import ObjectName, Value

Role = Literal["manifest", "bundle", "challenge"]

VERSION: Final = 2
"""The newest version that is read. Each Secret is written in the oldest one that can say it.

Version 2 is a manifest that asks for certificates without a listener. An agent that reads version 1
only does not know `manage` and would make a listener on a port that another program has: it meets a
newer version instead, keeps what it serves and says so.
"""

ROLE_LABEL: Final = "certfront.io/secret"
LOAD_BALANCER_LABEL: Final = "certfront.io/load-balancer"
CERTIFICATE_ANNOTATION: Final = "certfront.io/certificate"
FRONTEND_ANNOTATION: Final = "certfront.io/frontend"

MANIFEST_KEY: Final = "manifest.json"
CHALLENGE_KEY: Final = "challenge.json"

# A Secret holds 1 MiB; what is longer was not written by us.
_LARGEST: Final = 900 * 1024
_MOST_CHALLENGES: Final = 200
# RFC 8555 section 8.1: base64url; the thumbprint is a SHA-256 (RFC 7638) of 43 characters.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class InvalidHandover(Exception):
    """A Secret that is not what its role says. `reason` is CamelCase; no value is repeated."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{reason}: {message}")


class NewerVersion(InvalidHandover):
    """Written by a newer operator: keep what is served, and say so."""

    def __init__(self, version: int) -> None:
        super().__init__(
            "NewerVersion",
            f"format version {version} is newer than this agent, which reads version {VERSION}; "
            "update the agent",
        )


class FarmVerification(Value, frozen=True, kw_only=True):
    """TLS to the backend: the trusted certificates in PEM, and the name that is asked for by SNI."""

    ca_pem: str
    server_name: str = ""


class Farm(Value, frozen=True, kw_only=True):
    """Where the traffic of a frontend goes: servers by IP literal and TCP port.

    `from_service` tells the operator that the address was a Service's, which needs no grant.
    """

    name: str
    from_service: bool = False
    servers: tuple[Server, ...] = ()
    health_check: HealthCheck | None = None
    verify: FarmVerification | None = None


class ManifestCertificate(Value, frozen=True, kw_only=True):
    """A bundle, by the name of its Secret, and the hostnames it answers for."""

    bundle: str
    key_type: KeyAlgorithm
    hostnames: tuple[str, ...] = ()


class Manifest(Value, frozen=True, kw_only=True):
    """One frontend as every node should serve it.

    `frontend` is namespace/name, `created` RFC 3339 (the older frontend wins a contest, those of
    the LoadBalancer's own namespace before others). `port` terminates TLS if `ssl`; `http_port`
    is the plain twin with the same routes; `challenge_port` answers ACME challenges and 404.
    `https_only` is the status of the redirect from plain HTTP. `hostnames` are those it was
    accepted for; one without any routes no host. With `manage` CertificatesOnly someone else makes
    the listener of `port`: only certificates, their hostnames and the TLS minimum are said then.
    """

    frontend: str
    created: str
    port: int
    hostnames: tuple[str, ...] = ()
    own_namespace: bool = False
    ssl: bool = True
    http_port: int | None = None
    challenge_port: int | None = None
    certificates: tuple[ManifestCertificate, ...] = ()
    default_bundle: str | None = None
    farm: Farm | None = None
    redirect_location: str | None = None
    https_only: Literal[301, 302, 303, 307, 308] | None = None
    accept_terminated: bool = False
    trusted_sources: tuple[str, ...] = ()
    hsts: HSTS | None = None
    allowed_sources: tuple[str, ...] = ()
    denied_sources: tuple[str, ...] = ()
    min_tls_version: Literal["TLS1.2", "TLS1.3"] = "TLS1.2"
    disabled: bool = False
    manage: Literal["Listener", "CertificatesOnly"] = "Listener"

    @property
    def version(self) -> int:
        """The oldest version of the format that can say it."""
        return 1 if self.manage == "Listener" else 2

    @property
    def bundles(self) -> tuple[str, ...]:
        """The names of all bundle Secrets it needs."""
        named = [certificate.bundle for certificate in self.certificates]
        return tuple(dict.fromkeys([*named, self.default_bundle] if self.default_bundle else named))


class Challenge(Value, frozen=True, kw_only=True):
    """The answer to one HTTP-01 challenge (RFC 8555 section 8.3)."""

    hostname: str
    token: str
    key_authorization: str


class Challenges(Value, frozen=True, kw_only=True):
    """The challenges of one ACME attempt."""

    challenges: tuple[Challenge, ...] = ()


def secret_name(load_balancer: ObjectName, role: Role, kind: str, namespace: str, name: str) -> str:
    """The name of the Secret of `role` for an object: stable, and of 32 hex digits of a SHA-256.

    It tells the load balancers of one namespace apart, which may serve the same certificate.
    """
    identity = f"{load_balancer.name}/{kind}/{namespace}/{name}"
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return f"{role}-{digest[:32]}"


def released(manifest: Manifest) -> Manifest:
    """The manifest that omits everything.

    Nodes take a frontend down when they read this one, not when the Secret is gone: write it, wait
    for the watermarks to pass it, then delete the Secret, and the bundles after it.
    """
    return Manifest(
        frontend=manifest.frontend,
        created=manifest.created,
        own_namespace=manifest.own_namespace,
        port=manifest.port,
        ssl=manifest.ssl,
        disabled=True,
    )


def without(manifest: Manifest, hostnames: frozenset[str]) -> Manifest:
    """The manifest with no other hostnames than `hostnames`; released if none is left."""
    kept = tuple(name for name in manifest.hostnames if name in hostnames)
    if kept == manifest.hostnames:
        return manifest
    if not kept:
        return released(manifest)
    certificates = (
        msgspec.structs.replace(
            one, hostnames=tuple(name for name in one.hostnames if name in hostnames)
        )
        for one in manifest.certificates
    )
    return msgspec.structs.replace(
        manifest, hostnames=kept, certificates=tuple(one for one in certificates if one.hostnames)
    )


def manifest_secret(load_balancer: ObjectName, manifest: Manifest) -> dict[str, Any]:
    """The Secret that hands over `manifest`, ready to be applied."""
    namespace, _, name = manifest.frontend.partition("/")
    return _secret(
        load_balancer,
        "manifest",
        secret_name(load_balancer, "manifest", "LoadBalancerFrontend", namespace, name),
        data={MANIFEST_KEY: _versioned(manifest, manifest.version)},
        annotations={FRONTEND_ANNOTATION: manifest.frontend},
    )


def bundle_secret(
    load_balancer: ObjectName,
    *,
    kind: str,
    source: ObjectName,
    tls_crt: bytes,
    tls_key: bytes,
) -> dict[str, Any]:
    """The Secret that hands over a pair; `kind` is Certificate, or Secret where `source` is one."""
    return _secret(
        load_balancer,
        "bundle",
        secret_name(load_balancer, "bundle", kind, source.namespace, source.name),
        data={"tls.crt": tls_crt, "tls.key": tls_key},
        kind="kubernetes.io/tls",
        annotations={CERTIFICATE_ANNOTATION: str(source)},
    )


def challenge_secret(
    load_balancer: ObjectName, *, certificate: ObjectName, challenges: Iterable[Challenge]
) -> dict[str, Any]:
    """The Secret that lets every node answer the challenges of a Certificate's current attempt.

    Raises InvalidHandover for a token or key authorization outside RFC 8555's characters.
    """
    held = Challenges(challenges=tuple(challenges))
    _check_challenges(held)
    return _secret(
        load_balancer,
        "challenge",
        secret_name(
            load_balancer, "challenge", "Certificate", certificate.namespace, certificate.name
        ),
        data={CHALLENGE_KEY: _versioned(held, 1)},
        annotations={CERTIFICATE_ANNOTATION: str(certificate)},
    )


def read_manifest(data: Mapping[str, Any]) -> Manifest:
    """The manifest in a Secret's `data` (base64). Raises NewerVersion or InvalidHandover."""
    manifest, version = _read(data, MANIFEST_KEY, Manifest, "InvalidManifest")
    if version < manifest.version:
        raise InvalidHandover("InvalidManifest", f"version {version} has no field `manage`")
    return manifest


def read_challenges(data: Mapping[str, Any]) -> Challenges:
    """The challenges in a Secret's `data` (base64). Raises NewerVersion or InvalidHandover."""
    held, _ = _read(data, CHALLENGE_KEY, Challenges, "InvalidChallenge")
    _check_challenges(held)
    return held


def read_bytes(data: Mapping[str, Any], key: str, *, largest: int = _LARGEST) -> bytes:
    """One value of a Secret's `data`, decoded. Raises InvalidHandover if absent, torn or too long."""
    try:
        return secret_data.read(data, key, largest=largest)
    except secret_data.UnusableValue as error:
        raise InvalidHandover(error.reason, error.message) from None


V = TypeVar("V", bound=Value)


def _read(data: Mapping[str, Any], key: str, kind: type[V], reason: str) -> tuple[V, int]:
    content = read_bytes(data, key)
    try:
        raw = msgspec.json.decode(content)
    except msgspec.DecodeError:
        raise InvalidHandover(reason, f"{key} is not JSON") from None
    version = raw.get("version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise InvalidHandover(reason, f"{key} has no version")
    if version > VERSION:
        raise NewerVersion(version)
    try:
        return msgspec.convert(raw, kind, strict=True), version
    except msgspec.ValidationError as error:
        # The path of the field is told, the value never.
        where = str(error).rpartition(" - at ")[2]
        place = where if where.startswith("`") and len(where) < 100 else "its fields"
        raise InvalidHandover(reason, f"{key} is not valid at {place}") from None


def _check_challenges(held: Challenges) -> None:
    if len(held.challenges) > _MOST_CHALLENGES:
        raise InvalidHandover("InvalidChallenge", f"more than {_MOST_CHALLENGES} challenges")
    for challenge in held.challenges:
        token, dot, thumbprint = challenge.key_authorization.partition(".")
        if not (
            _TOKEN.fullmatch(challenge.token)
            and token == challenge.token
            and dot
            and _THUMBPRINT.fullmatch(thumbprint)
        ):
            raise InvalidHandover("InvalidChallenge", "a token or key authorization is not valid")


def _versioned(value: Value, version: int) -> bytes:
    return msgspec.json.encode({"version": version, **msgspec.to_builtins(value)})


def _secret(
    load_balancer: ObjectName,
    role: Role,
    name: str,
    *,
    data: Mapping[str, bytes],
    kind: str = "Opaque",
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": load_balancer.namespace,
        "labels": {ROLE_LABEL: role, LOAD_BALANCER_LABEL: load_balancer.name},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
