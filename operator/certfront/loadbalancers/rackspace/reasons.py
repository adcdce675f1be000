"""The condition reasons that only Rackspace load balancers give; given by `plan`."""

from typing import Final

from certfront.model.reasons import Reason

LOAD_BALANCER_STATE: Final = Reason(
    "LoadBalancerState",
    "The load balancer is in a state (ERROR, SUSPENDED) in which Rackspace lets nobody change it.",
    "Ask Rackspace's support to bring it back to ACTIVE; what is installed stays, and certfront goes "
    "on by itself.",
)
PROTOCOL_UNSUITED: Final = Reason(
    "ProtocolUnsuited",
    "SSL termination is possible only on load balancers whose own protocol is not a secure one or UDP.",
    "Set the protocol of the load balancer to HTTP (port 80) at Rackspace.",
)
SETTING_CONFLICT: Final = Reason(
    "SettingConflict",
    "The load balancer has one setting for all frontends, and an older frontend asks for another one. "
    "The certificates are served.",
    "Give all frontends of the load balancer the same httpsOnly and disabled.",
)
PLAIN_HTTP_REFUSED: Final = Reason(
    "PlainHTTPRefused",
    "Plain HTTP is refused instead of redirected: Rackspace redirects to port 443 only.",
    "Use port 443, if a redirect is wanted.",
)

REASONS: Final[tuple[Reason, ...]] = (
    LOAD_BALANCER_STATE,
    PROTOCOL_UNSUITED,
    SETTING_CONFLICT,
    PLAIN_HTTP_REFUSED,
)
"""Every reason above, for the documentation."""
