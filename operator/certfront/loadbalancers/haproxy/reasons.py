"""Why a node has not applied a Secret: the reasons in its watermark, for the documentation.

They show in `status.nodes[].failed` of a LoadBalancer and in the message of NodeFailed. Given by
`handover`, `checks` and `merging` here, and by certfront.agent; collected by the catalogue.
"""

from typing import Final

from certfront.model.reasons import Reason

REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        "HAProxyDown",
        "The agent runs, but the HAProxy beside it does not answer on its socket. The node counts as "
        "down: frontends stay Ready while minNodes others serve them, and turn TooFewNodes else.",
        "Look at the HAProxy process or container of that node and at its log. It starts from the "
        "directory that the agent keeps; the agent goes on as soon as it answers.",
    ),
    Reason(
        "PortInUse",
        "Another process on the node has the port that a frontend asks for.",
        "Stop that process, choose another spec.port, or map the port with the agent's --port-map.",
    ),
    Reason(
        "ListenerUnreachable",
        "HAProxy has the port in its configuration, but a connection to it fails or shows a "
        "certificate that is not ours.",
        "Look for a firewall or another process on the address that the message names.",
    ),
    Reason(
        "ManageMismatch",
        "spec.manage of the frontend does not fit the node: CertificatesOnly needs an agent with "
        "--certificates-only beside a HAProxy that someone else configures, Listener one without. "
        "What the node serves stays.",
        "Set spec.manage to what the nodes of this load balancer are; nodes of both kinds do not "
        "belong to one load balancer.",
    ),
    Reason(
        "CrtListNotUsed",
        "The HAProxy that someone else configures does not use the crt-list of the frontend's port, "
        "so nothing in it is served. Certificates and crt-list are on the node's disk.",
        "Add `bind … ssl crt-list <file> strict-sni` with the file of the message to the frontend in "
        "haproxy.cfg, exactly as it is written there, and reload HAProxy; the agent goes on by itself.",
    ),
    Reason(
        "ReloadNeeded",
        "A certificate with its chain is too long for HAProxy's runtime commands, and a reload of the "
        "HAProxy that someone else configures was not possible. What was served before stays.",
        "Give the agent the master socket (`haproxy -W -S`, --master-socket), see that haproxy.cfg as "
        "it is can be loaded, or use a shorter chain. It is tried again every minute.",
    ),
    Reason(
        "ConfigurationRefused",
        "HAProxy refuses the configuration with this frontend in it (`haproxy -c`). The frontend "
        "keeps its last accepted version; all others are applied.",
        "Correct the field that HAProxy's message names; the same version is tried again every "
        "minute, a new one at once.",
    ),
    Reason(
        "ReloadRefused",
        "HAProxy did not start a new worker with this frontend in the configuration. The old "
        "worker and the last accepted configuration stay.",
        "Read HAProxy's message and its log; often a port is taken, or a limit of the machine is "
        "reached.",
    ),
    Reason(
        "RefusedByHAProxy",
        "HAProxy refuses a certificate that passed all checks of ours. The one that was served "
        "before stays.",
        "Read the message; often HAProxy's TLS library does not take the key type or signature. "
        "Use an ECDSA P-256 or RSA key.",
    ),
    Reason(
        "BundleMissing",
        "A manifest names a certificate whose bundle Secret the node cannot see, and the node has "
        "no copy of it.",
        "Do not delete Secrets with the label certfront.io/secret: bundle. The operator writes it "
        "again; check that it runs and may write Secrets in this namespace.",
    ),
    Reason(
        "NotServed",
        "A handshake on the node does not show the certificate that it should.",
        "Look at the agent's log on that node; the handshake is repeated every few seconds.",
    ),
    Reason(
        "NoRouteForChallenge",
        "There are ACME challenges to answer, but no frontend of this load balancer has a plain "
        "HTTP port.",
        "Set spec.httpsOnly or spec.httpPort on a frontend that uses the Certificate.",
    ),
    Reason(
        "PortConflict",
        "Two frontends want one port of the node, with different protocols or through the "
        "agent's --port-map. The earlier one has it.",
        "Choose another port for one of the two frontends.",
    ),
    Reason(
        "HostnameConflict",
        "Two manifests name the same host on one port. The earlier one serves it.",
        "Remove the name from one of the two frontends; the message names the holder.",
    ),
    Reason(
        "CertificateConflict",
        "Two certificates of the same key type are bound to one name on one port. The earlier one "
        "is served.",
        "Remove one of them, or bind them to different names with certificates[].hostnames.",
    ),
    Reason(
        "ShadowedByWildcard",
        "An RSA certificate for an exact name lies under an ECDSA wildcard: HAProxy would serve "
        "the wildcard instead, so the exact one is not installed.",
        "Use an ECDSA key for the exact name, or add an ECDSA certificate beside the RSA one.",
    ),
    Reason(
        "TooManyListeners",
        "One certificate is used on more than five ports of a node, which HAProxy does not "
        "survive.",
        "Use fewer ports, or a second Certificate for some of them.",
    ),
    Reason(
        "NewerVersion",
        "The Secret was written by a newer operator than this agent understands. What is served "
        "stays.",
        "Update the agents to the version of the operator: agents first, the operator last.",
    ),
    Reason(
        "InvalidManifest",
        "A Secret with the label certfront.io/secret: manifest does not hold a valid manifest. "
        "The last accepted version stays.",
        "Only the operator may write these Secrets. Delete it: the operator writes it again.",
    ),
    Reason(
        "InvalidChallenge",
        "A Secret with the label certfront.io/secret: challenge holds no valid answers.",
        "Only the operator may write these Secrets. Delete it; the order ends and a new one "
        "follows.",
    ),
    Reason(
        "InvalidBundle",
        "A Secret with the label certfront.io/secret: bundle holds a pair that OpenSSL does not "
        "load. What was served stays.",
        "Only the operator may write these Secrets. Delete it: the operator writes it again from "
        "the certificate's own Secret.",
    ),
    Reason(
        "InvalidData",
        "A value in a Secret for the agents is not base64.",
        "Only the operator may write these Secrets. Delete it: the operator writes it again.",
    ),
    Reason(
        "InvalidName",
        "A Secret for the agents has a name that cannot be a file name on the node.",
        "Delete the Secret: the operator did not write it.",
    ),
    Reason(
        "KeyMissing",
        "A Secret for the agents lacks one of its keys.",
        "Only the operator may write these Secrets. Delete it: the operator writes it again.",
    ),
    Reason(
        "TooLarge",
        "A value in a Secret for the agents is larger than anything that the operator writes.",
        "Only the operator may write these Secrets. Delete it: the operator writes it again.",
    ),
    Reason(
        "Expired",
        "The certificate that was handed over has expired. The node keeps what it serves.",
        "Renew the certificate; compare the clock of the node (the message has the date).",
    ),
    Reason(
        "NotYetValid",
        "The certificate that was handed over is valid later. The node keeps what it serves.",
        "Compare the clock of the node with the date in the message; it is taken when its time "
        "comes.",
    ),
)
"""Every reason that a node gives, beside those of `certfront.pki` for pairs that cannot be read."""

NAMES: Final = frozenset(reason.name for reason in REASONS)


def page_of(given: str, otherwise: Reason) -> str:
    """The page about what a node has given as its reason, where there is one, else `otherwise`'s."""
    return given if given in NAMES else otherwise.name
