"""Reasons that the conditions of Certificates and Issuers give, beside those of uploads and of ACME."""

from certfront.model.reasons import Reason

REASONS: tuple[Reason, ...] = (
    Reason("Issued", "The Secret holds a valid certificate that matches the spec.", "Nothing."),
    Reason(
        "Renewing",
        "The certificate is valid; its successor is being obtained.",
        "Nothing; Progressing and status.task tell how far it is.",
    ),
    Reason(
        "Suspended",
        "The certificate is valid, and spec.renewal.suspend stops renewals by time.",
        "Remove spec.renewal.suspend before status.notAfter.",
    ),
    Reason(
        "ExpiringSoon",
        "An uploaded certificate ends soon and nobody but you renews it.",
        "Put the new pair into the Secret that spec.uploaded.secretRef names.",
    ),
    Reason(
        "RenewalFailing",
        "The certificate is valid and served, but its successor cannot be obtained.",
        "Read status.lastFailure, correct the cause; the next attempt is at status.nextAttemptTime, or at"
        " once with the annotation certfront.io/renew set to a new value.",
    ),
    Reason(
        "Expired",
        "The certificate in force has expired. It stays installed until there is another one.",
        "Correct the cause that the message names; for an uploaded certificate put a new pair into its Secret.",
    ),
    Reason(
        "NotYetValid",
        "The supplied certificate becomes valid later. What is in force stays until then.",
        "Nothing, if the date is meant; else supply a certificate that is valid now.",
    ),
    Reason(
        "InvalidSpec",
        "The spec does not have the shape that this version understands.",
        "Correct the field that the message names; check that the CRDs belong to this version.",
    ),
    Reason(
        "InvalidName",
        "A name is no host name or address that a certificate can carry.",
        "Correct the name in the spec.",
    ),
    Reason(
        "NoNames",
        "The spec names nothing that the certificate would be for.",
        "Set dnsNames, ipAddresses or commonName.",
    ),
    Reason(
        "UnsupportedField",
        "The spec uses a field whose capability this version does not have.",
        "Remove the field that the message names.",
    ),
    Reason(
        "SecretConflict",
        "The Secret exists and belongs to something else. It is not touched and nothing is ordered.",
        "Choose another spec.secret.name, or hand the Secret over with the annotation"
        " certfront.io/adopt: 'true' on it.",
    ),
    Reason(
        "SecretNotFound",
        "A Secret that is referred to does not exist, or lacks the key that is named.",
        "Create the Secret in the same namespace, or correct the reference.",
    ),
    Reason(
        "IssuerNotFound",
        "The Issuer does not exist, or grants nothing to this namespace.",
        "Correct the reference, create the Issuer, or have its admin add a grant.",
    ),
    Reason(
        "IssuerNotReady",
        "The Issuer exists but cannot issue now.",
        "Look at the conditions of the Issuer that the message names.",
    ),
    Reason(
        "IssuerTypeMismatch",
        "The Issuer is of another type than the Certificate asks for.",
        "Refer to an Issuer of the same type, or change spec.type.",
    ),
    Reason(
        "NameNotGranted",
        "The Issuer does not grant a name to this namespace.",
        "Remove the name, or have the Issuer's admin add it to spec.grants.",
    ),
    Reason(
        "NotAllowedByIssuer",
        "The Issuer does not sign what the spec asks for (isCA, usages or duration).",
        "Change the spec, or have the Issuer's admin allow it in spec.ca.",
    ),
    Reason(
        "IssuanceSuspended",
        "The installation adopts and installs certificates, but orders none (issuance: AdoptOnly).",
        "Set issuance to Normal once everything restored is in place.",
    ),
    Reason(
        "TermsNotAgreed",
        "The CA has terms of service and the Issuer does not agree to them.",
        "Read them and set spec.acme.termsOfServiceAgreed to true.",
    ),
    Reason(
        "IssuerUnreachable",
        "The CA does not answer, or not as RFC 8555 says.",
        "Check spec.acme.directoryURL, spec.acme.caBundle and the network; it is tried again.",
    ),
    Reason(
        "EndpointRefused",
        "The address of the CA is a loopback or link-local one that the installation does not allow.",
        "Use another address, or have the installation's allowEndpoints name it.",
    ),
    Reason("Retrying", "The last attempt failed and is made again.", "Read status.lastFailure."),
    Reason(
        "NotServed",
        "A frontend that uses the certificate does not serve it yet.",
        "Look at the frontend.",
    ),
)
