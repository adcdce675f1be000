"""The condition reasons of LoadBalancers and LoadBalancerFrontends: part of the API.

Used by every module of this package and by the reconcilers; docs/reasons/ is made from `REASONS`.
"""

from typing import Final

from certfront.model.reasons import Reason

ACCEPTED: Final = Reason(
    "Accepted",
    "The spec is consistent and everything it asks for is permitted.",
    "Nothing needs to be done.",
)
RESOLVED: Final = Reason(
    "ResolvedRefs",
    "Every object that the spec refers to was found and can be used.",
    "Nothing needs to be done.",
)
PROGRAMMED: Final = Reason(
    "Programmed",
    "The load balancer, every node of it, has taken the configuration.",
    "Nothing needs to be done.",
)
SERVED: Final = Reason(
    "Served",
    "A handshake on every node has shown the certificates.",
    "Nothing needs to be done.",
)
NOTHING_TO_PROBE: Final = Reason(
    "NothingToProbe",
    "There is no certificate that a handshake could show, or no address to try one at.",
    "Nothing, where the frontend terminates no TLS. Else set spec.probeAddress of the LoadBalancer to "
    "have it proven that the certificate is served.",
)
DISABLED: Final = Reason(
    "Disabled",
    "The frontend is switched off by spec.disabled.",
    "Set spec.disabled to false to serve it again.",
)
AVAILABLE: Final = Reason(
    "Available",
    "The load balancer has as many current nodes as it needs, and none has refused anything; one "
    "that a provider runs answers by its API.",
    "Nothing needs to be done.",
)
INVALID_SPEC: Final = Reason(
    "InvalidSpec",
    "The object does not match its schema, as after an incomplete upgrade of the CRDs.",
    "Correct the field that the message names, or apply the CRDs of this version.",
)
NO_LOAD_BALANCER: Final = Reason(
    "NoLoadBalancer",
    "The frontend names no load balancer and the installation has no default one.",
    "Set spec.loadBalancerRef, or ask your administrator to set defaultLoadBalancer.",
)
LOAD_BALANCER_NOT_FOUND: Final = Reason(
    "LoadBalancerNotFound",
    "There is no such LoadBalancer, or it grants nothing to this namespace.",
    "Correct spec.loadBalancerRef, or ask the owner of the LoadBalancer for a grant.",
)
LOAD_BALANCER_NOT_GRANTED: Final = Reason(
    "LoadBalancerNotGranted",
    "The installation's default load balancer grants nothing to this namespace.",
    "Ask your administrator for an entry in spec.grants of that LoadBalancer, or use another one.",
)
UNSUPPORTED_FIELD: Final = Reason(
    "UnsupportedField",
    "The spec sets a field that this load balancer or this version cannot honour.",
    "Remove the field that the message names.",
)
UNSUPPORTED_CERTIFICATE_TYPE: Final = Reason(
    "UnsupportedCertificateType",
    "The certificate is to be issued by the load balancer's provider, and this one issues none.",
    "Use another type of Certificate, such as ACME.",
)
INVALID_HOSTNAME: Final = Reason(
    "InvalidHostname",
    "An entry of spec.hostnames is not a host name.",
    "Correct the name that the message points to.",
)
FARM_REQUIRED: Final = Reason(
    "FarmRequired",
    "Nothing says where traffic goes: neither a farm nor a redirect.",
    "Add a farm to spec.farms, name one of several in spec.defaultFarm, or set spec.redirectLocation.",
)
FARM_NOT_FOUND: Final = Reason(
    "FarmNotFound",
    "spec.defaultFarm names a farm that spec.farms does not have.",
    "Correct spec.defaultFarm or add the farm.",
)
FARM_EMPTY: Final = Reason(
    "FarmEmpty",
    "The farm has neither servers nor a Service.",
    "Give the farm servers or a serviceRef.",
)
BACKEND_NOT_GRANTED: Final = Reason(
    "BackendNotGranted",
    "A server's address lies outside the backendCIDRs granted to this namespace.",
    "Use a Service of this namespace (serviceRef), or ask for the range in spec.grants of the "
    "LoadBalancer.",
)
HOSTNAME_NOT_GRANTED: Final = Reason(
    "HostnameNotGranted",
    "The load balancer does not grant some of the hostnames to this namespace; the others are served.",
    "Remove the names, or ask the owner of the LoadBalancer to grant them.",
)
HOSTNAME_CONFLICT: Final = Reason(
    "HostnameConflict",
    "Another frontend holds some of the hostnames on the same port, or a wildcard of another "
    "namespace collides with them; the others are served.",
    "Remove the names here or from the other frontend; what is free is taken over at once.",
)
PORT_CONFLICT: Final = Reason(
    "PortConflict",
    "Another frontend uses the port with another protocol (TLS or plain HTTP), or TLS is asked for on "
    "port 80 of a load balancer of another namespace, which is kept for plain HTTP and ACME "
    "challenges.",
    "Choose another port here or there.",
)
SERVICE_NOT_FOUND: Final = Reason(
    "ServiceNotFound",
    "The Service of a farm does not exist, or has no such port.",
    "Create the Service or correct serviceRef; it is looked for again every few seconds.",
)
SERVICE_UNSUPPORTED: Final = Reason(
    "ServiceUnsupported",
    "The Service of a farm has no cluster address (headless or ExternalName).",
    "Use a Service of type ClusterIP, NodePort or LoadBalancer that has a cluster address.",
)
SECRET_NOT_FOUND: Final = Reason(
    "SecretNotFound",
    "A Secret that the spec refers to does not exist or lacks the data.",
    "Create the Secret with the keys that the message names; it is taken over at once if it has "
    "the label certfront.io/secret: source, else within five minutes.",
)
CERTIFICATE_NOT_FOUND: Final = Reason(
    "CertificateNotFound",
    "A Certificate that the spec refers to does not exist. One that was installed stays served.",
    "Create the Certificate or remove it from spec.certificates.",
)
CERTIFICATE_NOT_READY: Final = Reason(
    "CertificateNotReady",
    "A certificate has not been issued yet, or its Secret cannot be used at the moment.",
    "See the Certificate's own conditions; everything else is served meanwhile.",
)
CERTIFICATE_REFUSED: Final = Reason(
    "CertificateRefused",
    "The TLS Secret holds something that must not be served; what was served before stays.",
    "Replace the Secret's data; the message says what is wrong with it.",
)
CERTIFICATE_EXPIRED: Final = Reason(
    "Expired",
    "A certificate has expired. It stays served, since an error is better than none.",
    "Renew the certificate; see the Certificate's own conditions.",
)
NO_CERTIFICATE_FOR_HOSTNAME: Final = Reason(
    "NoCertificateForHostname",
    "No certificate of the frontend covers some of its hostnames.",
    "Add a certificate for the names, or remove the names.",
)
NO_HOSTNAMES: Final = Reason(
    "NoHostnames",
    "There is no name to serve: none is listed and the certificates have none yet.",
    "List spec.hostnames, or wait for the certificates.",
)
DEFAULT_CERTIFICATE_NOT_LISTED: Final = Reason(
    "DefaultCertificateNotListed",
    "spec.defaultCertificate is not one of spec.certificates.",
    "List it in spec.certificates too.",
)
WAITING_FOR_CERTIFICATE: Final = Reason(
    "WaitingForCertificate",
    "The frontend is programmed as far as possible and waits for a certificate.",
    "See the Certificate's own conditions.",
)
WAITING_FOR_NODES: Final = Reason(
    "WaitingForNodes",
    "The nodes of the load balancer have not yet reported that they serve the configuration.",
    "Wait; if it lasts, look at status.nodes of the LoadBalancer and at the log of its agents.",
)
TOO_FEW_NODES: Final = Reason(
    "TooFewNodes",
    "Fewer nodes than minNodes are alive and have a HAProxy that answers.",
    "Start HAProxy and the agents beside it, or lower spec.haproxy.minNodes of the LoadBalancer.",
)
NODES_DOWN: Final = Reason(
    "NodesDown",
    "There are as many nodes as needed, but another one sends no heartbeat or its HAProxy is down.",
    "Look at the agent and at HAProxy on the node that the message names. The Lease of a node that "
    "is gone for good is deleted after an hour.",
)
NODE_FAILED: Final = Reason(
    "NodeFailed",
    "A node could not apply a part of the configuration and keeps what it served before.",
    "Correct what the message names, or look at the log of the agent on that node.",
)
RELEASING: Final = Reason(
    "Releasing",
    "The frontend is being deleted and nodes have still to take it down.",
    "Wait: a node that is gone holds it for a minute at most.",
)
NOT_PROGRAMMED: Final = Reason(
    "NotProgrammed",
    "The frontend was not accepted, so nothing new was handed to the load balancer.",
    "See the condition that is False.",
)
NO_ROUTE_FOR_CHALLENGE: Final = Reason(
    "NoRouteForChallenge",
    "No load balancer would answer an HTTP-01 challenge for some of the names.",
    "Use the Certificate in a frontend whose load balancer grants the names to this namespace, or "
    "give the Issuer a solver with the route External.",
)

PROVIDER_UNAVAILABLE: Final = Reason(
    "ProviderUnavailable",
    "The provider's API gives no answer, or one that cannot be used. What is installed stays.",
    "Nothing, if it lasts minutes: it is asked again. Else look at the provider's status page, and at "
    "the network between the operator and the API.",
)
RATE_LIMITED: Final = Reason(
    "RateLimited",
    "The provider asks for fewer calls; nothing is sent until its pause is over.",
    "Nothing needs to be done. If it lasts, look for another program that uses the same account.",
)
ENDPOINT_REFUSED: Final = Reason(
    "EndpointRefused",
    "The endpoint leads to a loopback or link-local address, which is refused.",
    "Correct the endpoint, or name the address in the installation's allowEndpoints.",
)
CREDENTIALS_NOT_FOUND: Final = Reason(
    "CredentialsNotFound",
    "The Secret with the credentials of the load balancer does not exist, or lacks a key.",
    "Create the Secret that credentialsSecretRef names, with the keys that the message lists.",
)
CREDENTIALS_REFUSED: Final = Reason(
    "CredentialsRefused",
    "The provider refuses the credentials, or they do not permit a call that is needed.",
    "Correct the Secret or the permissions; the page of the provider lists those that are needed. "
    "It is noticed at once with the label certfront.io/secret: source, else within five minutes.",
)
TARGET_NOT_FOUND: Final = Reason(
    "TargetNotFound",
    "The provider does not know the load balancer that the settings name.",
    "Correct the settings by a new LoadBalancer, or create the service at the provider.",
)
DUPLICATE_TARGET: Final = Reason(
    "DuplicateTarget",
    "Another, older LoadBalancer is for the same service; two would undo each other's work.",
    "Delete one of the two; frontends of other namespaces can use the one that is left by a grant.",
)
QUOTA_EXCEEDED: Final = Reason(
    "QuotaExceeded",
    "The provider takes no more objects of that kind. What is installed stays served.",
    "Remove what is not needed at the provider, or ask it for a higher limit; it is tried again.",
)
REFUSED_BY_PROVIDER: Final = Reason(
    "RefusedByProvider",
    "The provider refuses what was asked for; trying again would not help.",
    "Correct what the message names.",
)
NAME_TAKEN: Final = Reason(
    "NameTaken",
    "At the provider something that is not certfront's has the hostname or name. It is never taken.",
    "Remove it there if it is not needed, or take the hostname out of the frontend.",
)
LISTENER_EXISTS: Final = Reason(
    "ListenerExists",
    "The port has a listener that certfront did not make.",
    "Set spec.adopt to true to hand it over to certfront, or use manage: CertificatesOnly.",
)
LISTENER_NOT_FOUND: Final = Reason(
    "ListenerNotFound",
    "manage: CertificatesOnly needs a listener, and there is none on the port.",
    "Make the listener where the others are made, correct spec.port, or use manage: Listener.",
)
KEY_TYPE_UNSUPPORTED: Final = Reason(
    "KeyTypeUnsupported",
    "The load balancer does not take keys of that algorithm or size.",
    "Set spec.privateKey.algorithm of the Certificate to one that the message names.",
)
PRECONDITION_UNVERIFIED: Final = Reason(
    "PreconditionUnverified",
    "The spec needs a setting that certfront can neither make nor read.",
    "Make the setting that the message names, once.",
)
APPLYING: Final = Reason(
    "Applying",
    "The load balancer is being changed; the message says what it is at.",
    "Nothing needs to be done.",
)
WAITING_FOR_PROVIDER: Final = Reason(
    "WaitingForProvider",
    "The provider is at work on a change, or asks to wait: it is looked at again.",
    "Nothing needs to be done. The message says what is waited for, and since when.",
)
IN_USE: Final = Reason(
    "InUse",
    "The provider says that something is still in use; it is removed later.",
    "Nothing needs to be done.",
)
WAITING_FOR_HANDSHAKE: Final = Reason(
    "WaitingForHandshake",
    "Everything is configured; a handshake does not show the certificate yet.",
    "Nothing, if it lasts minutes. Else look whether the address that the message names leads to this "
    "load balancer.",
)
ORDERED_AT_PROVIDER: Final = Reason(
    "OrderedAtProvider",
    "The provider has been asked to issue the certificate and is at work on it.",
    "Nothing needs to be done; the task in status is the provider's own.",
)
MANAGED_ORDER_FAILED: Final = Reason(
    "ManagedOrderFailed",
    "The provider could not issue the certificate.",
    "See that every name (A and AAAA) points at the load balancer, then ask again by the annotation "
    "certfront.io/renew.",
)
NOT_ROUTED: Final = Reason(
    "NotRouted",
    "A name of the certificate does not point at the load balancer, so the provider will not renew.",
    "Correct the A and AAAA records of the names that the message lists.",
)
LEFT_AT_PROVIDER: Final = Reason(
    "LeftAtProvider",
    "What nobody needs any more is still at the provider: it offers no deletion, or did not answer "
    "for minutes while the frontend was being deleted.",
    "Remove what the message names at the provider, if it is in the way.",
)
WAITING_FOR_FRONTEND: Final = Reason(
    "WaitingForFrontend",
    "The provider of a load balancer is to issue the certificate, and no frontend uses it yet.",
    "Name the Certificate in spec.certificates of a LoadBalancerFrontend.",
)
MANAGED_BY_PROVIDER: Final = Reason(
    "ManagedByProvider",
    "The provider issued the certificate and keeps its key: there is no Secret.",
    "Nothing needs to be done.",
)

REASONS: Final[tuple[Reason, ...]] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Reason)
)
"""Every reason above, for the documentation."""
