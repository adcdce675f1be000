"""The kind Issuer: where certificates come from."""

from datetime import datetime
from typing import Literal

import msgspec

from certfront.model.conditions import Condition
from certfront.model.grants import Grant
from certfront.model.meta import Meta, Value
from certfront.model.references import LocalReference, SecretKeyReference


class ExternalAccountBinding(Value, frozen=True, kw_only=True):
    """Ties the ACME account to one that exists at the CA (RFC 8555 section 7.3.4)."""

    key_id: str = msgspec.field(name="keyID")
    key_secret_ref: SecretKeyReference


class SolverSelector(Value, frozen=True, kw_only=True):
    """For which names a solver is used; the most specific selector wins."""

    dns_names: tuple[str, ...] = ()
    dns_zones: tuple[str, ...] = ()
    match_labels: dict[str, str] = {}


class HTTP01Solver(Value, frozen=True, kw_only=True):
    """HTTP-01, answered by the load balancers or by an external route to the challenge port."""

    route: Literal["LoadBalancer", "External"] = "LoadBalancer"


class RFC2136Solver(Value, frozen=True, kw_only=True):
    """DNS-01 by dynamic update (a later capability)."""

    server: str
    zone: str = ""
    tsig_key_name: str = ""
    tsig_algorithm: str = ""
    tsig_secret_ref: SecretKeyReference | None = None


class LexiconSolver(Value, frozen=True, kw_only=True):
    """DNS-01 through a hosted provider (a later capability)."""

    provider: str
    credentials_secret_ref: LocalReference | None = None


class DNS01Solver(Value, frozen=True, kw_only=True):
    """DNS-01 (a later capability)."""

    rfc2136: RFC2136Solver | None = None
    lexicon: LexiconSolver | None = None


class DNSPersist01Solver(Value, frozen=True, kw_only=True):
    """dns-persist-01 (a later capability)."""


class Solver(Value, frozen=True, kw_only=True):
    """One way to answer challenges."""

    name: str = ""
    selector: SolverSelector | None = None
    http01: HTTP01Solver | None = None
    dns01: DNS01Solver | None = None
    dns_persist01: DNSPersist01Solver | None = None


class ACMEIssuer(Value, frozen=True, kw_only=True):
    """A CA that speaks RFC 8555."""

    directory_url: str = msgspec.field(name="directoryURL")
    email: str = ""
    terms_of_service_agreed: bool = False
    ca_bundle: str = ""
    external_account_binding: ExternalAccountBinding | None = None
    private_key_secret_ref: LocalReference | None = None
    profile: str = ""
    preferred_chain: str = ""
    solvers: tuple[Solver, ...] = ()


class CAIssuer(Value, frozen=True, kw_only=True):
    """A private CA whose key pair is in a TLS Secret of the Issuer's namespace."""

    secret_ref: LocalReference
    allow_ca: bool = msgspec.field(name="allowCA", default=False)
    allowed_usages: tuple[str, ...] = ("digital signature", "key encipherment", "server auth")
    max_duration: str = ""


class IssuerSpec(Value, frozen=True, kw_only=True):
    """What the admin asks for."""

    type: Literal["ACME", "CA"]
    acme: ACMEIssuer | None = None
    ca: CAIssuer | None = None
    grants: tuple[Grant, ...] = ()
    reissue_before: datetime | None = None


class IssuerStatus(Value, frozen=True, kw_only=True):
    """What certfront reports about an Issuer."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    account_url: str = msgspec.field(name="accountURL", default="")
    directory_url: str = msgspec.field(name="directoryURL", default="")
    fingerprint: str = ""
    not_after: str = ""


class Issuer(Value, frozen=True, kw_only=True):
    """An Issuer as the API server holds it."""

    metadata: Meta
    spec: IssuerSpec
    status: IssuerStatus = IssuerStatus()
