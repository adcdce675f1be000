"""Where a certificate's material comes from in this pass, or what stands in the way of it.

Gathered by the reconciler, read by the decision: a closed value per type.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from certfront.issuance.needs import Wanted
from certfront.issuance.outcomes import Blocked, Impossible
from certfront.model.certificate import Certificate
from certfront.model.durations import parse_duration
from certfront.model.errors import Refused
from certfront.model.issuer import CAIssuer, Issuer
from certfront.pki.issue import Authority
from certfront.pki.upload import Accepted

DEFAULT_USAGES = ("digital signature", "key encipherment")
CA_USAGES = ("cert sign", "crl sign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """`identity` names the issuer in the spec hash: the CA's fingerprint, the directory URL, or ''.

    `problem` is what stands in the way; `identity` is None where it cannot be known for that.
    `poll` is set where a change of the source would not be noticed by a watch.
    """

    identity: str | None = ""
    problem: Blocked | Impossible | None = None
    issuer: Issuer | None = None
    authority: Authority | None = None
    accepted: Accepted | None = None
    reissue_before: datetime | None = None
    poll: timedelta | None = None


def check_supported(certificate: Certificate) -> None:
    """Refuse, with UnsupportedField, what this version does not do."""
    spec = certificate.spec
    unsupported = {
        "spec.secret.formats": bool(spec.secret.formats),
        "spec.secret.deletionPolicy RevokeAndDelete": spec.secret.deletion_policy
        == "RevokeAndDelete",
        "spec.acme.preferredChain": spec.acme is not None and bool(spec.acme.preferred_chain),
    }
    for field, used in unsupported.items():
        if used:
            raise Refused("UnsupportedField", f"This version does not support {field}. Remove it.")
    if spec.type == "ACME" and any(name.startswith("*.") for name in spec.dns_names):
        raise Refused(
            "UnsupportedField",
            "A wildcard name needs a DNS-01 challenge, which this version does not support."
            " List the names, or use type CA or Uploaded.",
        )


def check_allowed(settings: CAIssuer, wanted: Wanted) -> None:
    """Refuse, with NotAllowedByIssuer, what a CA Issuer does not sign."""
    request = wanted.request
    if request.is_ca and not settings.allow_ca:
        raise Refused("NotAllowedByIssuer", "The Issuer does not sign CAs: remove spec.isCA.")
    allowed = {*settings.allowed_usages, *DEFAULT_USAGES, *(CA_USAGES if request.is_ca else ())}
    forbidden = ", ".join(sorted(set(request.usages) - allowed))
    if forbidden:
        raise Refused(
            "NotAllowedByIssuer",
            f"The Issuer does not allow the usages {forbidden}: remove them from spec.usages.",
        )
    if settings.max_duration and request.duration > parse_duration(settings.max_duration):
        message = f"The Issuer signs for {settings.max_duration} at most: lower spec.duration."
        raise Refused("NotAllowedByIssuer", message)
