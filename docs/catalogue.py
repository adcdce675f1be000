"""Every reason that a condition, an Event, a failure or a node can give, and where it shows.

Reasons are declared beside the decisions that give them; here they are collected, and put into
chapters of those that show in the same place and heal in the same way. docs/reasons/ and
docs/reasons.json are made from `CATALOGUE` (by `generate`); a test compares both with the source.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from certfront import loadbalancers
from certfront.issuance.acme.reasons import REASONS as ACME
from certfront.issuance.reasons import REASONS as ISSUANCE
from certfront.loadbalancers.haproxy.reasons import REASONS as NODES
from certfront.loadbalancers.reasons import REASONS as LOAD_BALANCERS
from certfront.model.reasons import Reason
from certfront.pki.faults import UploadFault
from certfront.pki.issue import AuthorityFault
from certfront.pki.reasons import REASONS as PKI

Commands = tuple[str, ...]

_CERTIFICATE: Final[Commands] = ("kubectl describe lbcert NAME -n NAMESPACE",)
_RETRY: Final[Commands] = (
    *_CERTIFICATE,
    "kubectl get lbcert NAME -n NAMESPACE -o jsonpath='{.status.lastFailure}'",
    "# when the cause is corrected:",
    'kubectl annotate lbcert NAME -n NAMESPACE certfront.io/renew="$(date +%s)" --overwrite',
)
_ISSUER: Final[Commands] = (
    "kubectl get lbissuer -A",
    "kubectl describe lbissuer NAME -n NAMESPACE",
)
_BOTH: Final[Commands] = (*_CERTIFICATE, *_ISSUER)
_FRONTEND: Final[Commands] = ("kubectl describe lbfe NAME -n NAMESPACE",)
_BALANCER: Final[Commands] = (
    "kubectl describe lbsvc NAME -n NAMESPACE",
    "kubectl get lease -n NAMESPACE -l certfront.io/load-balancer=NAME",
)
_CREDENTIALS: Final[Commands] = (
    "kubectl describe lbsvc NAME -n NAMESPACE",
    "kubectl get secret SECRET -n NAMESPACE -o jsonpath='{.data}' | jq keys",
    "# to have a change of it noticed at once:",
    "kubectl label secret SECRET -n NAMESPACE certfront.io/secret=source",
)
_ORDER: Final[Commands] = (
    *_CERTIFICATE,
    "# when the records of all names lead to the load balancer:",
    'kubectl annotate lbcert NAME -n NAMESPACE certfront.io/renew="$(date +%s)" --overwrite',
)
_NODES: Final[Commands] = (
    (
        "kubectl get lbsvc NAME -n NAMESPACE -o jsonpath='{range .status.nodes[*]}"
        '{.name}{"\\t"}{.failed}{"\\n"}{end}\''
    ),
    "kubectl logs -n NAMESPACE POD -c agent --tail=50",
)
_UPLOAD: Final[Commands] = (
    *_CERTIFICATE,
    (
        "kubectl get secret SECRET -n NAMESPACE -o jsonpath='{.data.tls\\.crt}' | base64 -d |"
        " openssl x509 -noout -subject -issuer -dates -ext subjectAltName"
    ),
    "# the two lines must be equal, else the key is of another certificate:",
    (
        "kubectl get secret SECRET -n NAMESPACE -o jsonpath='{.data.tls\\.crt}' | base64 -d |"
        " openssl x509 -noout -pubkey | sha256sum"
    ),
    (
        "kubectl get secret SECRET -n NAMESPACE -o jsonpath='{.data.tls\\.key}' | base64 -d |"
        " openssl pkey -pubout | sha256sum"
    ),
)

_PAIR_STAYS: Final = "What the Secret holds stays as it is, and the frontends serve it on."
_LISTENER_STAYS: Final = "What was installed stays served; nothing new is handed to the nodes."
_NODE_STAYS: Final = "The node serves on what it served before; the other nodes are not concerned."
_PROVIDER_STAYS: Final = (
    "What is installed: nothing is changed or removed at the provider while it cannot be read."
)
_REST_GOES_ON: Final = (
    "What was installed before, and everything else on the load balancer: the other certificates and "
    "frontends go on."
)
_ALL_WELL: Final = "Everything that was asked for."

_CURED_ELSEWHERE: Final = (
    "Yes, as soon as the other object is right: a change of it is noticed at once, and it is looked "
    "at again every few minutes in any case."
)
_PERSON: Final = "No. Nothing is tried again before the spec or the supplied material changes."
_NOTHING: Final = "There is nothing to heal."
_TRIED_AGAIN: Final = (
    "Yes, if the cause goes away: attempts are made after 1, 10 and 100 minutes, then daily (spread "
    "by a quarter), and not before the CA's Retry-After. Where the CA's answer is final, the next "
    "attempt is made after a day. The annotation certfront.io/renew with a new value does not wait."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A reason in one place: `where` it shows, what stays `served`, whether it `heals` by itself.

    `commands` are for a shell, with NAME, NAMESPACE, SECRET and POD to be replaced.
    """

    reason: Reason
    where: tuple[str, ...]
    served: str
    heals: str
    commands: Commands = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chapter:
    """Reasons of one owner that show in the same place."""

    names: tuple[str, ...]
    where: tuple[str, ...]
    served: str
    heals: str
    commands: Commands = ()


_ISSUANCE_CHAPTERS: Final = (
    _Chapter(
        names=("Issued", "Renewing", "Suspended"),
        where=("Certificate: `Ready` is True", "Certificate: Events (Issued)"),
        served=_ALL_WELL,
        heals=_NOTHING,
        commands=_CERTIFICATE,
    ),
    _Chapter(
        names=("Renewed",),
        where=("Certificate: Events only",),
        served=_ALL_WELL,
        heals=_NOTHING,
    ),
    _Chapter(
        names=("Ready",), where=("Issuer: `Ready` is True",), served=_ALL_WELL, heals=_NOTHING
    ),
    _Chapter(
        names=("RenewalFailing",),
        where=("Certificate: `Ready` is True, a warning Event",),
        served="The present certificate, until its end (status.notAfter).",
        heals=_TRIED_AGAIN,
        commands=_RETRY,
    ),
    _Chapter(
        names=("ExpiringSoon",),
        where=("Certificate: `Ready` is True, a warning Event",),
        served="The present certificate, until its end and after it.",
        heals="No. A person must supply the next certificate; it is taken over by itself then.",
        commands=_UPLOAD,
    ),
    _Chapter(
        names=("Expired",),
        where=(
            (
                "Certificate: `Ready` is False; `Stalled` is True for type Uploaded, else "
                "`Reconciling`"
            ),
        ),
        served="The expired certificate, until there is another one.",
        heals="Yes for SelfSigned, CA and ACME, once the cause is gone. No for Uploaded.",
        commands=_RETRY,
    ),
    _Chapter(
        names=("NotYetValid",),
        where=("Certificate: `Ready` is False with `Reconciling`, or RenewalFailing names it",),
        served=_PAIR_STAYS,
        heals="Yes, at the notBefore of the supplied certificate.",
        commands=_UPLOAD,
    ),
    _Chapter(
        names=("InvalidSpec", "UnsupportedField"),
        where=(
            (
                "Certificate and Issuer: `Ready` is False, `Stalled` is True; RenewalFailing names it "
                "while a valid certificate is in force"
            ),
        ),
        served=_PAIR_STAYS,
        heals=_PERSON,
        commands=_BOTH,
    ),
    _Chapter(
        names=("InvalidName", "NoNames", "NotAllowedByIssuer"),
        where=(
            (
                "Certificate: `Ready` is False, `Stalled` is True; RenewalFailing names it while a "
                "valid certificate is in force"
            ),
        ),
        served=_PAIR_STAYS,
        heals=_PERSON,
        commands=_BOTH,
    ),
    _Chapter(
        names=("SecretConflict",),
        where=("Certificate: `Ready` is False, `Reconciling` and `Progressing` are True",),
        served="Nothing of this Certificate; the other owner's Secret is left alone.",
        heals="Yes, when the Secret goes, or is handed over; it is looked at every five minutes.",
        commands=(
            "kubectl get secret SECRET -n NAMESPACE --show-labels",
            "# only if nobody else maintains it:",
            "kubectl annotate secret SECRET -n NAMESPACE certfront.io/adopt=true",
        ),
    ),
    _Chapter(
        names=("SecretNotFound",),
        where=("Certificate and Issuer: `Ready` is False, `Reconciling` is True",),
        served=_PAIR_STAYS,
        heals=_CURED_ELSEWHERE,
        commands=(
            *_CERTIFICATE,
            "kubectl label secret SECRET -n NAMESPACE certfront.io/secret=source",
        ),
    ),
    _Chapter(
        names=("IssuerNotFound", "IssuerNotReady", "IssuerTypeMismatch", "NameNotGranted"),
        where=(
            (
                "Certificate: `Ready` is False, `Reconciling` is True; RenewalFailing names it when a "
                "renewal is due"
            ),
        ),
        served=_PAIR_STAYS,
        heals=_CURED_ELSEWHERE,
        commands=_BOTH,
    ),
    _Chapter(
        names=("IssuanceSuspended",),
        where=("Certificate of type ACME that needs an order: `Ready` or `Progressing`",),
        served=_PAIR_STAYS,
        heals="Yes, when the operator is started with issuance: Normal.",
        commands=_CERTIFICATE,
    ),
    _Chapter(
        names=("TermsNotAgreed",),
        where=("Issuer: `Ready` is False, `Stalled` is True; its Certificates show it, too",),
        served=_PAIR_STAYS,
        heals="No. Somebody must read the terms and agree.",
        commands=_ISSUER,
    ),
    _Chapter(
        names=("Retrying",),
        where=(
            "Certificate: `Progressing` is True",
            "Certificate: `Ready` is False, at the first issue",
        ),
        served=_PAIR_STAYS,
        heals=_TRIED_AGAIN,
        commands=_RETRY,
    ),
    _Chapter(
        names=("NotServed",),
        where=("Certificate: `Installed` is False",),
        served="What the frontend served before.",
        heals=_CURED_ELSEWHERE,
        commands=_FRONTEND,
    ),
)

_ACME_CHAPTERS: Final = (
    _Chapter(
        names=(
            "Ordering",
            "OrderCreated",
            "ChallengePresented",
            "Validating",
            "Finalizing",
            "Downloading",
        ),
        where=(
            "Certificate of type ACME: `Progressing` is True, and `status.task.step`",
            "Certificate: `Ready` is False while the first certificate is obtained",
        ),
        served=_PAIR_STAYS,
        heals="Yes: it is a step on the way. A restart of the operator goes on from here.",
        commands=_CERTIFICATE,
    ),
    _Chapter(
        names=("NoRouteForChallenge",),
        where=("Certificate of type ACME: `Progressing`, and `Ready` (False at the first issue)",),
        served=_PAIR_STAYS,
        heals="Yes, as soon as a frontend uses the Certificate on a load balancer that grants the "
        "names.",
        commands=(*_CERTIFICATE, "kubectl get lbfe -n NAMESPACE", "kubectl get lbsvc -A"),
    ),
    _Chapter(
        names=("CABusy", "AccountLost"),
        where=("Certificate of type ACME: `Progressing`, and `Ready` (False at the first issue)",),
        served=_PAIR_STAYS,
        heals="Yes. The order is kept and the CA is asked again, ever more rarely the longer it "
        "lasts.",
        commands=_BOTH,
    ),
    _Chapter(
        names=("CAUnreachable", "CAUntrusted", "RateLimited", "EndpointRefused"),
        where=(
            "Issuer: `Ready` is False, `Reconciling` is True",
            "Certificate of type ACME: `Progressing`, and `Ready` (False at the first issue)",
        ),
        served=_PAIR_STAYS,
        heals="Yes, once the CA can be used: the order is kept and the CA is asked again, at the "
        "time it named or ever more rarely.",
        commands=_BOTH,
    ),
    _Chapter(
        names=("AccountRefused", "InvalidAccountKey"),
        where=("Issuer: `Ready` is False, `Reconciling` is True; its Certificates show it, too",),
        served=_PAIR_STAYS,
        heals="It is tried again every hour or sooner, but seldom helps by itself.",
        commands=_ISSUER,
    ),
    _Chapter(
        names=("ExternalAccountRequired",),
        where=("Issuer: `Ready` is False, `Stalled` is True; its Certificates show it, too",),
        served=_PAIR_STAYS,
        heals=_PERSON,
        commands=_ISSUER,
    ),
    _Chapter(
        names=(
            "OrderRefused",
            "OrderFailed",
            "OrderLost",
            "OrderExpired",
            "ChallengeFailed",
            "NoUsableChallenge",
            "ChallengeNotServed",
            "ValidationTimedOut",
            "FinalizationRefused",
            "FinalizationTimedOut",
            "KeyLost",
            "IssuedMismatch",
        ),
        where=(
            "Certificate of type ACME: `status.lastFailure.reason`, with `Progressing` Retrying",
            "Certificate: `Ready` is False, at the first issue",
        ),
        served=_PAIR_STAYS,
        heals=_TRIED_AGAIN,
        commands=_RETRY,
    ),
    _Chapter(
        names=("SpecChanged",),
        where=(
            (
                "Certificate of type ACME: told in the message of `Progressing`, when an open order "
                "is given up"
            ),
        ),
        served=_PAIR_STAYS,
        heals="Yes: a new order follows at once.",
    ),
)

_PKI_CHAPTERS: Final = (
    _Chapter(
        names=tuple(fault.value for fault in UploadFault),
        where=(
            (
                "Certificate of type Uploaded: `Ready` is False, `Stalled` is True; RenewalFailing "
                "names it while a valid certificate is in force"
            ),
            "LoadBalancerFrontend with a `secretRef`: told in the message of CertificateRefused",
            "LoadBalancer: `status.nodes[].failed`, if a node cannot read a pair",
        ),
        served=_PAIR_STAYS,
        heals="No. When the Secret's data is replaced, it is looked at again: at once if the Secret "
        "has the label certfront.io/secret: source, else within five minutes.",
        commands=_UPLOAD,
    ),
    _Chapter(
        names=tuple(fault.value for fault in AuthorityFault),
        where=(
            "Issuer of type CA: `Ready` is False",
            "Certificate of type CA that needs a new certificate: `Ready` or `Progressing`",
        ),
        served=_PAIR_STAYS,
        heals="Yes, when the Secret of the authority is replaced: at once if it has the label "
        "certfront.io/secret, else within five minutes.",
        commands=_BOTH,
    ),
    _Chapter(
        names=(
            "IssuedUnreadable",
            "IssuedKeyMismatch",
            "IssuedNamesMismatch",
            "IssuedNotValidNow",
            "IssuedChainBroken",
        ),
        where=("Certificate of type ACME: told in the message of IssuedMismatch",),
        served=_PAIR_STAYS,
        heals=_TRIED_AGAIN,
        commands=_RETRY,
    ),
)

_FRONTEND_READY: Final = "LoadBalancerFrontend: `Ready`, if it is the worst"
_FRONTENDS_TOO: Final = (
    "LoadBalancerFrontend: `Programmed` and `Served` are False, if something is still to be done"
)
_AT_WORK: Final = "LoadBalancerFrontend: `Programmed` or `Served` is False, `Progressing` is True"

_LOAD_BALANCER_CHAPTERS: Final = (
    _Chapter(
        names=("Accepted", "ResolvedRefs", "Programmed"),
        where=("LoadBalancerFrontend: the condition of this name is True",),
        served=_ALL_WELL,
        heals=_NOTHING,
    ),
    _Chapter(
        names=("Served",),
        where=(
            "LoadBalancerFrontend: `Served` and `Ready` are True",
            "Certificate: `Installed` is True",
        ),
        served=_ALL_WELL,
        heals=_NOTHING,
    ),
    _Chapter(
        names=("NothingToProbe",),
        where=("LoadBalancerFrontend with ssl: false: `Served` is Unknown",),
        served=_ALL_WELL,
        heals=_NOTHING,
    ),
    _Chapter(
        names=("Disabled",),
        where=("LoadBalancerFrontend: `Ready` is True, `Served` is False",),
        served="Nothing: the frontend was taken out of service on purpose.",
        heals="No. It stays so until spec.disabled is false.",
    ),
    _Chapter(
        names=("Available",),
        where=("LoadBalancer: `Ready` is True",),
        served=_ALL_WELL,
        heals=_NOTHING,
        commands=_BALANCER,
    ),
    _Chapter(
        names=("InvalidSpec",),
        where=("LoadBalancer and LoadBalancerFrontend: `Ready` is False, `Stalled` is True",),
        served=_LISTENER_STAYS,
        heals=_PERSON,
        commands=(*_FRONTEND, *_BALANCER),
    ),
    _Chapter(
        names=(
            "UnsupportedField",
            "InvalidHostname",
            "FarmRequired",
            "FarmNotFound",
            "FarmEmpty",
            "DefaultCertificateNotListed",
        ),
        where=("LoadBalancerFrontend: `Accepted` is False, `Stalled` is True", _FRONTEND_READY),
        served=_LISTENER_STAYS,
        heals=_PERSON,
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("NoLoadBalancer", "LoadBalancerNotFound", "LoadBalancerNotGranted"),
        where=("LoadBalancerFrontend: `Accepted` is False", _FRONTEND_READY),
        served="What was installed, unless the load balancer itself is gone or has taken its grant "
        "back.",
        heals=_CURED_ELSEWHERE,
        commands=(*_FRONTEND, "kubectl get lbsvc -A"),
    ),
    _Chapter(
        names=("BackendNotGranted", "NoHostnames", "PortConflict"),
        where=("LoadBalancerFrontend: `Accepted` is False", _FRONTEND_READY),
        served=_LISTENER_STAYS,
        heals=_CURED_ELSEWHERE,
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("HostnameNotGranted", "HostnameConflict"),
        where=("LoadBalancerFrontend: `Accepted` is False", _FRONTEND_READY),
        served="All hostnames of the frontend but those that the message names.",
        heals=_CURED_ELSEWHERE,
        commands=(*_FRONTEND, "kubectl get lbfe -A"),
    ),
    _Chapter(
        names=("ServiceNotFound", "ServiceUnsupported"),
        where=("LoadBalancerFrontend: `ResolvedRefs` is False", _FRONTEND_READY),
        served="What was installed, with the servers that were known before.",
        heals="Yes: Services are looked at again every ten seconds.",
        commands=(*_FRONTEND, "kubectl get service -n NAMESPACE"),
    ),
    _Chapter(
        names=(
            "SecretNotFound",
            "CertificateNotFound",
            "CertificateNotReady",
            "CertificateRefused",
            "UnsupportedCertificateType",
            "Expired",
            "NoCertificateForHostname",
        ),
        where=("LoadBalancerFrontend: `ResolvedRefs` is False", _FRONTEND_READY),
        served="The other certificates of the frontend, and for this one what was installed before.",
        heals=_CURED_ELSEWHERE,
        commands=(*_FRONTEND, "kubectl get lbcert -n NAMESPACE"),
    ),
    _Chapter(
        names=("WaitingForCertificate",),
        where=("LoadBalancerFrontend: `Served` is False", _FRONTEND_READY),
        served="Plain HTTP, its redirect and ACME challenges; no TLS yet.",
        heals=_CURED_ELSEWHERE,
        commands=(*_FRONTEND, "kubectl get lbcert -n NAMESPACE"),
    ),
    _Chapter(
        names=("WaitingForNodes",),
        where=(
            "LoadBalancerFrontend: `Programmed` or `Served` is False, `Progressing` is True",
            _FRONTEND_READY,
        ),
        served="What each node served before, until it has come so far.",
        heals="Yes, within seconds; a node that is gone for 15 seconds is not waited for.",
        commands=(*_FRONTEND, *_NODES),
    ),
    _Chapter(
        names=("TooFewNodes",),
        where=(
            "LoadBalancer: `Ready` is False",
            "LoadBalancerFrontend: `Programmed` and `Served` are False",
            _FRONTEND_READY,
        ),
        served="Whatever the nodes that run serve; agents that cannot reach the API server go on "
        "serving, too.",
        heals="Yes, when enough agents report again.",
        commands=(*_BALANCER, *_NODES),
    ),
    _Chapter(
        names=("NodesDown",),
        where=("LoadBalancer: `Ready` is True with this reason",),
        served="Everything, by the nodes that run; they are as many as spec.haproxy.minNodes asks for.",
        heals="Yes, when the node's agent and HAProxy run again. The Lease of a node that is gone for "
        "good is deleted after an hour.",
        commands=(*_BALANCER, *_NODES),
    ),
    _Chapter(
        names=("Releasing",),
        where=(
            "LoadBalancerFrontend: `Ready` is False, `Reconciling` is True, while it is deleted",
        ),
        served="The frontend, by the nodes that the message names, until they have taken it down.",
        heals="Yes. A node that is gone holds it for a minute at most.",
        commands=(*_FRONTEND, *_NODES),
    ),
    _Chapter(
        names=("NodeFailed",),
        where=(
            "LoadBalancer: `Ready` is True with this reason",
            "LoadBalancerFrontend: `Programmed` or `Served` is False",
            _FRONTEND_READY,
        ),
        served=_NODE_STAYS,
        heals="Often: the node tries again every few seconds, and what HAProxy refused every minute.",
        commands=_NODES,
    ),
    _Chapter(
        names=("NotProgrammed",),
        where=("LoadBalancerFrontend: `Programmed` and `Served` are False",),
        served=_LISTENER_STAYS,
        heals="Yes, when the condition that is False beside it is cured.",
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("NoRouteForChallenge",),
        where=("Certificate of type ACME: `Progressing`, and `Ready` (False at the first issue)",),
        served=_PAIR_STAYS,
        heals="Yes, as soon as a frontend uses the Certificate on a load balancer that grants the "
        "names.",
    ),
    _Chapter(
        names=("ProviderUnavailable", "RateLimited"),
        where=("LoadBalancer: `Ready` is False, `Reconciling` is True", _FRONTENDS_TOO),
        served=_PROVIDER_STAYS,
        heals="Yes: the provider is asked again when its Retry-After is over, else ever more rarely, "
        "once a minute at last.",
        commands=_BALANCER,
    ),
    _Chapter(
        names=("CredentialsNotFound", "CredentialsRefused"),
        where=("LoadBalancer: `Ready` is False, `Reconciling` is True", _FRONTENDS_TOO),
        served=_PROVIDER_STAYS,
        heals="No, but a change of the Secret is noticed: at once if it has the label "
        "certfront.io/secret: source, else within five minutes.",
        commands=_CREDENTIALS,
    ),
    _Chapter(
        names=("EndpointRefused", "TargetNotFound", "DuplicateTarget"),
        where=("LoadBalancer: `Ready` is False, `Reconciling` is True", _FRONTENDS_TOO),
        served=_PROVIDER_STAYS,
        heals="Yes, once the settings, the installation or the provider's side is right: it is looked "
        "at again every few minutes at least.",
        commands=("kubectl get lbsvc -A", *_BALANCER),
    ),
    _Chapter(
        names=("QuotaExceeded", "RefusedByProvider"),
        where=("LoadBalancerFrontend: `Programmed` or `Served` is False", _FRONTEND_READY),
        served=_REST_GOES_ON,
        heals="Seldom: it is tried again now and then, and at once when the frontend or the "
        "certificate changes.",
        commands=(*_FRONTEND, *_BALANCER),
    ),
    _Chapter(
        names=("NameTaken", "ListenerExists", "ListenerNotFound"),
        where=("LoadBalancerFrontend: `Accepted` or `Programmed` is False", _FRONTEND_READY),
        served=_REST_GOES_ON,
        heals="Yes, when what is in the way at the provider is gone, or what is missing is there: "
        "it is looked at again within ten minutes.",
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("KeyTypeUnsupported",),
        where=("LoadBalancerFrontend: `ResolvedRefs` is False", _FRONTEND_READY),
        served="The other certificates of the frontend, and for this one what was installed before.",
        heals=_CURED_ELSEWHERE,
        commands=(*_FRONTEND, "kubectl get lbcert -n NAMESPACE"),
    ),
    _Chapter(
        names=("PreconditionUnverified",),
        where=("LoadBalancerFrontend: `Accepted` is True with this reason",),
        served="Everything that was asked for, if the setting is made.",
        heals="It is a note, and stays as long as the spec needs the setting.",
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("Applying", "WaitingForProvider"),
        where=(_AT_WORK, "LoadBalancer: `Ready` is False, until the provider has answered once"),
        served="What was served before, until the provider is done.",
        heals="Yes: it is a step on the way. A restart of the operator goes on from here.",
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("InUse",),
        where=("LoadBalancerFrontend: told while it is deleted; else in the operator's log only",),
        served="Everything that is still referred to; that is why nothing is removed yet.",
        heals="Yes: the removal is tried again until nothing uses it any more.",
        commands=_FRONTEND,
    ),
    _Chapter(
        names=("WaitingForHandshake",),
        where=("LoadBalancerFrontend: `Served` is False, `Progressing` is True", _FRONTEND_READY),
        served="What the handshake shows, as the message says.",
        heals="Yes, when the provider has brought the certificate to where clients connect; a "
        "handshake is tried every few seconds.",
        commands=(
            *_FRONTEND,
            (
                "openssl s_client -connect ADDRESS:PORT -servername HOSTNAME </dev/null |"
                " openssl x509 -noout -fingerprint -sha256 -dates"
            ),
        ),
    ),
    _Chapter(
        names=("OrderedAtProvider", "WaitingForFrontend"),
        where=(
            "Certificate of type Managed: `Progressing`, and `Ready` (False at the first issue)",
        ),
        served="What was served before, until the provider has issued.",
        heals="Yes: it is a step on the way. A restart of the operator goes on from here.",
        commands=_CERTIFICATE,
    ),
    _Chapter(
        names=("ManagedOrderFailed", "NotRouted"),
        where=("Certificate of type Managed: `Ready` or `Progressing`",),
        served="The certificate that the provider issued before, until its end.",
        heals="No. A person must see to the records of the names; then the provider is asked again by "
        "the annotation.",
        commands=_ORDER,
    ),
    _Chapter(
        names=("ManagedByProvider",),
        where=("Certificate of type Managed: `SecretAvailable` is False",),
        served=_ALL_WELL,
        heals=_NOTHING,
        commands=_CERTIFICATE,
    ),
    _Chapter(
        names=("LeftAtProvider",),
        where=("LoadBalancer: a note; `Ready` stays True", "LoadBalancerFrontend: a warning Event"),
        served=_ALL_WELL,
        heals="No. A person removes it at the provider; it does no harm there.",
        commands=_BALANCER,
    ),
)

_NODE_CHAPTERS: Final = (
    _Chapter(
        names=tuple(reason.name for reason in NODES),
        where=(
            "LoadBalancer: `status.nodes[].failed`",
            "LoadBalancerFrontend: told in the message of NodeFailed",
        ),
        served=_NODE_STAYS,
        heals="The node tries again every few seconds, and what HAProxy refused every minute.",
        commands=_NODES,
    ),
)

_PROVIDER_CHAPTERS: Final = (
    _Chapter(
        names=("ServiceNotActive", "LoadBalancerState", "DatabaseRequired", "ProtocolUnsuited"),
        where=(
            "LoadBalancer: `Ready`",
            "LoadBalancerFrontend: `Accepted` or `Programmed` is False",
            _FRONTEND_READY,
        ),
        served=_PROVIDER_STAYS,
        heals="Yes, as soon as the provider's side is right: it is looked at again within ten minutes.",
        commands=_BALANCER,
    ),
    _Chapter(
        names=("OrderOverdue",),
        where=("Certificate of type Managed: `Ready` or `Progressing`",),
        served="The certificate that the provider issued before, until its end.",
        heals="Only if the records of the names are corrected, or the provider ends its task.",
        commands=_ORDER,
    ),
    _Chapter(
        names=(
            "HSTSAgeByProvider",
            "OldTLSPermitted",
            "PlainHTTPRefused",
            "LeftBound",
            "PlainListenerElsewhere",
        ),
        where=("LoadBalancer or LoadBalancerFrontend: a note; `Ready` stays True",),
        served=_ALL_WELL,
        heals="It is a note, and stays as long as it is true.",
    ),
)
"""Reasons of one provider alone that show elsewhere than `_AT_ONE_PROVIDER` says."""

_AT_ONE_PROVIDER: Final = _Chapter(
    names=(),
    where=("LoadBalancerFrontend: `Accepted` or `Programmed` is False", _FRONTEND_READY),
    served=_REST_GOES_ON,
    heals="Yes, when the cause is gone: the provider is looked at again within ten minutes, and at "
    "once when the frontend changes.",
    commands=_FRONTEND,
)


def provider_reasons() -> Mapping[str, tuple[Reason, ...]]:
    """The reasons that only one provider has, by the name of its package."""
    found: dict[str, tuple[Reason, ...]] = {}
    for package in pkgutil.iter_modules(loadbalancers.__path__, f"{loadbalancers.__name__}."):
        name = package.name.rpartition(".")[2]
        if package.ispkg and name != "haproxy":
            found[name] = _declared(f"{package.name}.reasons")
    return found


def _declared(module: str) -> tuple[Reason, ...]:
    """None where a provider does with the reasons that all share."""
    if importlib.util.find_spec(module) is None:
        return ()
    declared: tuple[Reason, ...] = importlib.import_module(module).REASONS
    return declared


_OWNERS: Final = (
    (ISSUANCE, _ISSUANCE_CHAPTERS),
    (ACME, _ACME_CHAPTERS),
    (PKI, _PKI_CHAPTERS),
    (LOAD_BALANCERS, _LOAD_BALANCER_CHAPTERS),
    (NODES, _NODE_CHAPTERS),
    *((reasons, _PROVIDER_CHAPTERS) for reasons in provider_reasons().values()),
)


def _collected() -> Mapping[str, tuple[Entry, ...]]:
    """Every reason by name; several entries where several kinds give it, with a text of their own."""
    found: dict[str, list[Entry]] = {}
    for reasons, chapters in _OWNERS:
        for entry in _entries(reasons, chapters):
            held = found.setdefault(entry.reason.name, [])
            if entry.where not in (other.where for other in held):
                held.append(entry)
    return {name: tuple(found[name]) for name in sorted(found)}


def _entries(reasons: Iterable[Reason], chapters: Iterable[_Chapter]) -> Iterator[Entry]:
    by_name = {name: chapter for chapter in chapters for name in chapter.names}
    for reason in reasons:
        chapter = by_name.get(reason.name)
        if chapter is None and chapters is _PROVIDER_CHAPTERS:
            chapter = _AT_ONE_PROVIDER
        if chapter is None:
            raise LookupError(f"{reason.name} is in no chapter")
        yield Entry(
            reason=reason,
            where=chapter.where,
            served=chapter.served,
            heals=chapter.heals,
            commands=chapter.commands,
        )


CATALOGUE: Final = _collected()
"""Name to what it means, in each place where it shows. Names are sorted."""

REASONS: Final[Mapping[str, Reason]] = {
    name: entries[0].reason for name, entries in CATALOGUE.items()
}
"""Name to the reason of its owner: the first package of issuance, acme, pki, loadbalancers, haproxy, and
then the providers."""
