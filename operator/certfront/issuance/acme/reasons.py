"""The condition reasons of ACME, each with its meaning and remedy (they become docs pages)."""

from typing import Final

from certfront.model.reasons import Reason

# Steps of an order, as the condition Progressing and the task show them.
ORDERING: Final = "Ordering"
ORDER_CREATED: Final = "OrderCreated"
CHALLENGE_PRESENTED: Final = "ChallengePresented"
VALIDATING: Final = "Validating"
FINALIZING: Final = "Finalizing"
DOWNLOADING: Final = "Downloading"

# Why an order waits although nothing of it has failed.
NO_ROUTE_FOR_CHALLENGE: Final = "NoRouteForChallenge"
CA_UNREACHABLE: Final = "CAUnreachable"
CA_UNTRUSTED: Final = "CAUntrusted"
CA_BUSY: Final = "CABusy"
RATE_LIMITED: Final = "RateLimited"
ENDPOINT_REFUSED: Final = "EndpointRefused"
ACCOUNT_LOST: Final = "AccountLost"
ACCOUNT_REFUSED: Final = "AccountRefused"
EXTERNAL_ACCOUNT_REQUIRED: Final = "ExternalAccountRequired"
INVALID_ACCOUNT_KEY: Final = "InvalidAccountKey"

# Why an attempt failed or was given up.
ORDER_REFUSED: Final = "OrderRefused"
ORDER_FAILED: Final = "OrderFailed"
ORDER_LOST: Final = "OrderLost"
ORDER_EXPIRED: Final = "OrderExpired"
CHALLENGE_FAILED: Final = "ChallengeFailed"
NO_USABLE_CHALLENGE: Final = "NoUsableChallenge"
CHALLENGE_NOT_SERVED: Final = "ChallengeNotServed"
VALIDATION_TIMED_OUT: Final = "ValidationTimedOut"
FINALIZATION_REFUSED: Final = "FinalizationRefused"
FINALIZATION_TIMED_OUT: Final = "FinalizationTimedOut"
KEY_LOST: Final = "KeyLost"
ISSUED_MISMATCH: Final = "IssuedMismatch"
SPEC_CHANGED: Final = "SpecChanged"

REASONS: Final = (
    Reason(ORDERING, "An order is about to be placed with the CA.", "Nothing to do."),
    Reason(
        ORDER_CREATED,
        "The CA has accepted the order and asks for proof of control.",
        "Nothing to do.",
    ),
    Reason(
        CHALLENGE_PRESENTED,
        "The answers to the challenges have been handed to whoever serves them.",
        "Nothing to do; if it stays, look at the nodes of the load balancer.",
    ),
    Reason(
        VALIDATING,
        "The CA is checking the challenges.",
        "Nothing to do; the names must be reachable from the CA on port 80.",
    ),
    Reason(FINALIZING, "The CA is signing the certificate.", "Nothing to do."),
    Reason(DOWNLOADING, "The certificate is ready at the CA and is fetched.", "Nothing to do."),
    Reason(
        NO_ROUTE_FOR_CHALLENGE,
        "No load balancer and no external route would answer the CA's challenges; nothing has "
        "been ordered.",
        "Reference the Certificate from a LoadBalancerFrontend, or give the Issuer's http01 "
        "solver the route External and send challenge paths to the operator's solver address.",
    ),
    Reason(
        CA_UNREACHABLE,
        "The CA did not give a usable answer. The order is kept and asked about again.",
        "Check the Issuer's directoryURL, the network and the CA's status page.",
    ),
    Reason(
        CA_UNTRUSTED,
        "The certificate of the CA's own server does not verify.",
        "Set the Issuer's acme.caBundle to the roots that sign the CA's server.",
    ),
    Reason(
        CA_BUSY,
        "The CA answered with an internal error. The order is kept and asked about again.",
        "Nothing to do; if it lasts, look at the CA's status page.",
    ),
    Reason(
        RATE_LIMITED,
        "The CA asks to wait. This is not a failure, and the wait is kept.",
        "Nothing to do; fewer names or fewer repeated orders reach the limit later.",
    ),
    Reason(
        ENDPOINT_REFUSED,
        "The Issuer names a URL that this installation does not talk to.",
        "Use an https:// URL, and have allowEndpoints name its address if it is a loopback or "
        "link-local one.",
    ),
    Reason(
        ACCOUNT_LOST,
        "The CA does not know the Issuer's account. It is registered again.",
        "Nothing to do; if it comes back, check the Issuer's status.",
    ),
    Reason(
        ACCOUNT_REFUSED,
        "The CA refuses to register the Issuer's account, or has closed it.",
        "Do what the CA's text in the message asks for, often another spec.acme.email; for a "
        "closed account name another Secret in spec.acme.privateKeySecretRef, and a new account "
        "is registered.",
    ),
    Reason(
        EXTERNAL_ACCOUNT_REQUIRED,
        "The CA registers only accounts that are bound to one at the CA (RFC 8555, section 7.3.4).",
        "Get a key id and a key from the CA, put the key into a Secret and set "
        "spec.acme.externalAccountBinding.",
    ),
    Reason(
        INVALID_ACCOUNT_KEY,
        "The Secret of the account key cannot be used: it is unreadable, lacks tls.key, or belongs "
        "to another directory. It is never overwritten.",
        "Restore the Secret, or name another one in spec.acme.privateKeySecretRef; an absent one is "
        "created with a new key.",
    ),
    Reason(
        ORDER_REFUSED,
        "The CA refused the order itself.",
        "Correct the names, profile or account that the message names.",
    ),
    Reason(
        ORDER_FAILED,
        "The CA declared the order invalid after it was placed.",
        "Do what the CA's text in the message asks for.",
    ),
    Reason(
        ORDER_LOST,
        "The CA no longer knows the order; a new one follows.",
        "Nothing to do.",
    ),
    Reason(
        ORDER_EXPIRED,
        "The order expired before the certificate was issued; a new one follows.",
        "Nothing to do; if it comes back, look at what the attempts wait for.",
    ),
    Reason(
        CHALLENGE_FAILED,
        "The CA could not validate a name.",
        "Make the name resolve to the load balancer and its port 80 reachable, or remove it.",
    ),
    Reason(
        NO_USABLE_CHALLENGE,
        "The CA offers no challenge type that the Issuer has a solver for.",
        "Add a solver to the Issuer, or remove the name; wildcards need a DNS solver.",
    ),
    Reason(
        CHALLENGE_NOT_SERVED,
        "The answer to a challenge was not served by all nodes in time.",
        "Look at the nodes in the LoadBalancer's status.",
    ),
    Reason(
        VALIDATION_TIMED_OUT,
        "The CA did not finish its checks in time; a new order follows.",
        "Make the names reachable from the CA on port 80; look at the CA's status page.",
    ),
    Reason(
        FINALIZATION_REFUSED,
        "The CA refused to sign.",
        "Do what the CA's text in the message asks for, often another key type or profile.",
    ),
    Reason(
        FINALIZATION_TIMED_OUT,
        "The CA did not deliver the certificate in time; a new order follows.",
        "Look at the CA's status page.",
    ),
    Reason(
        KEY_LOST,
        "The key of the open order is gone, so its certificate could not be used; a new order "
        "follows.",
        "Do not delete Secrets with the label certfront.io/secret: pending.",
    ),
    Reason(
        ISSUED_MISMATCH,
        "The CA returned a certificate that is not what was ordered; it was not stored. The message "
        "says whether key, names, dates or chain differ.",
        "Nothing: another order follows. If it lasts, report it to the CA.",
    ),
    Reason(
        SPEC_CHANGED,
        "What is wanted has changed while an order was open; the order is given up.",
        "Nothing to do.",
    ),
)
