"""What a Certificate asks for, normalised, and the hashes that tell one need from another.

The spec hash is stored on the TLS Secret; equal hashes mean that nothing has to be issued.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec

from certfront.model.certificate import Certificate
from certfront.model.durations import parse_duration
from certfront.model.errors import Refused
from certfront.model.keys import KeyAlgorithm, KeyEncoding
from certfront.pki.names import is_ip
from certfront.pki.request import InvalidRequest, Request, alternative_names

DEFAULT_SIZE = {KeyAlgorithm.ECDSA: 256, KeyAlgorithm.RSA: 2048, KeyAlgorithm.ED25519: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedKey:
    """The key that is asked for. `size` is in bits; 0 where the algorithm has only one."""

    algorithm: KeyAlgorithm
    size: int
    encoding: KeyEncoding
    keep: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A Certificate's spec, normalised: names are lower-case A-labels, folded and sorted."""

    type: str
    request: Request
    key: WantedKey
    profile: str
    preferred_chain: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and address that the certificate must cover."""
        return (*self.request.dns_names, *self.request.ip_addresses)

    @cached_property
    def hash(self) -> str:
        """Identifies the spec, whoever issues it; 16 hex digits."""
        return digest(
            {
                "type": self.type,
                "commonName": self.request.common_name,
                "dnsNames": self.request.dns_names,
                "ipAddresses": self.request.ip_addresses,
                "subject": self.request.subject,
                "duration": self.request.duration.total_seconds(),
                "usages": sorted(self.request.usages),
                "isCA": self.request.is_ca,
                "algorithm": self.key.algorithm,
                "size": self.key.size,
                "profile": self.profile,
                "preferredChain": self.preferred_chain,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecHash:
    """The two halves of the annotation `certfront.io/spec-hash`: the spec's, and the issuer's."""

    spec: str
    issuer: str

    def __str__(self) -> str:
        return f"{self.spec}-{self.issuer}"

    @classmethod
    def of(cls, wanted: Wanted, issuer_identity: str) -> "SpecHash":
        """`issuer_identity`: the CA's fingerprint or the directory URL; empty for none."""
        return cls(spec=wanted.hash, issuer=digest(issuer_identity))

    @classmethod
    def parse(cls, text: str) -> "SpecHash | None":
        """What `str` made; None for anything else."""
        spec, dash, issuer = text.partition("-")
        return cls(spec=spec, issuer=issuer) if dash and spec and issuer else None


def need(uid: str, spec_hash: SpecHash, revision: int) -> str:
    """Identifies the one issue of `revision` (the one to come) for this object; 32 hex digits."""
    return hashlib.sha256(f"{uid}/{spec_hash}/{revision}".encode()).hexdigest()[:32]


def wanted(
    certificate: Certificate, *, unset_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA
) -> Wanted:
    """What `certificate` asks for. Raises Refused (InvalidName, NoNames).

    `unset_algorithm` is taken where the spec names none.
    """
    spec = certificate.spec
    algorithm = spec.private_key.wished_algorithm or unset_algorithm
    return Wanted(
        type=spec.type,
        request=_request(certificate),
        key=WantedKey(
            algorithm=algorithm,
            size=spec.private_key.size or DEFAULT_SIZE[algorithm],
            encoding=spec.private_key.encoding,
            keep=spec.private_key.rotation == "Never",
        ),
        profile=spec.acme.profile if spec.acme else "",
        preferred_chain=spec.acme.preferred_chain if spec.acme else "",
    )


def _request(certificate: Certificate) -> Request:
    """The request with canonical names: A-labels in lower case, folded and sorted."""
    spec = certificate.spec
    request = Request(
        common_name=spec.common_name or None,
        dns_names=spec.dns_names,
        ip_addresses=spec.ip_addresses,
        subject=spec.subject,
        usages=spec.usages,
        is_ca=spec.is_ca,
        duration=parse_duration(spec.duration),
    )
    try:
        names = sorted(alternative_names(request))
    except InvalidRequest as error:
        raise Refused("InvalidName", f"A name cannot be used: {error}. Correct the spec.") from None
    if not names and not spec.common_name and spec.type != "Uploaded":
        raise Refused("NoNames", "No name is given. Set commonName, dnsNames or ipAddresses.")
    return replace(
        request,
        dns_names=tuple(name for name in names if not is_ip(name)),
        ip_addresses=tuple(name for name in names if is_ip(name)),
    )


def digest(value: Any) -> str:
    """Identifies a value that JSON can hold, whatever the order of its keys; 16 hex digits."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]
