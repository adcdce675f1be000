"""Reasons that the conditions of Certificates and Issuers give, beside those of uploads and of ACME."""

from typing import Final

from certfront.model.reasons import Reason

REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        "Issued",
        "The Secret holds a certificate that is valid now and matches the spec. The message may "
        "add warnings about uploaded material.",
        "Nothing to do.",
    ),
    Reason(
        "Renewed",
        "The certificate was replaced; the Event has the new serial number and its end.",
        "Nothing to do.",
    ),
    Reason("Ready", "The Issuer can issue certificates.", "Nothing to do."),
    Reason(
        "Renewing",
        "The certificate is valid; its successor is being obtained.",
        "Nothing to do; Progressing and status.task tell how far it is.",
    ),
    Reason(
        "Suspended",
        "The certificate is valid, and spec.renewal.suspend stops renewals by time. Repairs, a "
        "changed spec and the annotation certfront.io/renew still act.",
        "Set spec.renewal.suspend to false before status.notAfter.",
    ),
    Reason(
        "ExpiringSoon",
        "An uploaded certificate ends soon, and nobody but you renews it. How early this is said "
        "is spec.renewal.warnBefore (30 days, a third of the lifetime at most).",
        "Get a new certificate and put the new pair into the Secret that spec.uploaded.secretRef "
        "names.",
    ),
    Reason(
        "RenewalFailing",
        "The certificate is valid, but its successor cannot be obtained. The message names the "
        "cause; status.lastFailure has the reason, the name and what the CA said.",
        "Correct the cause. The next attempt is at status.nextAttemptTime, or at once when the "
        "annotation certfront.io/renew gets a new value.",
    ),
    Reason(
        "Expired",
        "The certificate in force has expired. It stays in its Secret and stays served until there "
        "is another one: clients see a warning instead of a refused connection.",
        "Correct the cause that the message names, then ask for a renewal at once; for an uploaded "
        "certificate put a new pair into its Secret.",
    ),
    Reason(
        "NotYetValid",
        "The supplied certificate becomes valid later. What is in force stays until then, and the "
        "supplied one takes over at its notBefore.",
        "Nothing to do if the date is meant; else supply a certificate that is valid now, or "
        "compare the clocks.",
    ),
    Reason(
        "InvalidSpec",
        "The spec does not have the shape that this version understands, as after an incomplete "
        "upgrade of the CRDs.",
        "Correct the field that the message names; check that the CRDs belong to this version of "
        "the operator.",
    ),
    Reason(
        "InvalidName",
        "One of commonName, dnsNames or ipAddresses is no name that a certificate can carry.",
        "Correct the name in the spec. A leading *. is the only star that is allowed.",
    ),
    Reason(
        "NoNames",
        "The spec names nothing that the certificate would be for.",
        "Set dnsNames, ipAddresses or commonName.",
    ),
    Reason(
        "UnsupportedField",
        "The spec uses a field whose capability this version does not have. It is refused rather "
        "than ignored.",
        "Remove the field that the message names, or use a version that supports it.",
    ),
    Reason(
        "SecretConflict",
        "The Secret that the certificate should be stored in exists and belongs to something else. "
        "It is not touched, and nothing is ordered.",
        "Choose another spec.secret.name; or, if the Secret may be taken over, annotate it with "
        "certfront.io/adopt=true.",
    ),
    Reason(
        "SecretNotFound",
        "A Secret that the spec refers to does not exist, or lacks the key that is named.",
        "Create the Secret in the namespace of the object with the keys that the message names. "
        "With the label certfront.io/secret: source it is noticed at once, else within five "
        "minutes.",
    ),
    Reason(
        "IssuerNotFound",
        "There is no Issuer of that name, or it grants nothing to this namespace (the two look the "
        "same on purpose), or none is named and the installation has no default.",
        "Correct issuerRef (name and namespace), create the Issuer, or ask its owner for an entry "
        "in spec.grants.",
    ),
    Reason(
        "IssuerNotReady",
        "The Issuer exists but cannot issue now.",
        "Look at the conditions of the Issuer that the message names.",
    ),
    Reason(
        "IssuerTypeMismatch",
        "The Issuer is of another type than the Certificate asks for.",
        "Refer to an Issuer of the Certificate's type, or change spec.type.",
    ),
    Reason(
        "NameNotGranted",
        "The Issuer does not grant one of the names to this namespace. A common name must be "
        "granted too.",
        "Remove the name that the message names, or ask the Issuer's owner to add it to "
        "spec.grants[].hostnames.",
    ),
    Reason(
        "NotAllowedByIssuer",
        "The private CA does not sign what the spec asks for (isCA, usages or duration).",
        "Change the spec, or ask the Issuer's owner to allow it in spec.ca (allowCA, "
        "allowedUsages, maxDuration).",
    ),
    Reason(
        "IssuanceSuspended",
        "The installation adopts and installs certificates, but orders none (issuance: AdoptOnly).",
        "Set issuance to Normal in the operator's settings once everything restored is in place.",
    ),
    Reason(
        "TermsNotAgreed",
        "The CA has terms of service, and the Issuer does not agree to them.",
        "Read them and set spec.acme.termsOfServiceAgreed to true.",
    ),
    Reason(
        "Retrying",
        "The last attempt failed and is made again: after 1, 10 and 100 minutes, then daily.",
        "Read status.lastFailure and correct the cause; the annotation certfront.io/renew with a "
        "new value makes the next attempt at once.",
    ),
    Reason(
        "NotServed",
        "A frontend that uses the certificate does not serve it yet.",
        "Look at the conditions of the frontends that the message names.",
    ),
)
"""Every reason, with what it means and what a person does about it."""
