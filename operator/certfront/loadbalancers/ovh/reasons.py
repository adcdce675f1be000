"""Reasons that only load balancers of type OVH have; those shared with others are one level up.

Used by `plan`; docs/reasons/ is made from `REASONS`.
"""

from typing import Final

from certfront.model.reasons import Reason

SERVICE_NOT_ACTIVE: Final = Reason(
    "ServiceNotActive",
    "OVH has suspended the IP Load Balancing service, or holds it in quarantine.",
    "See the service in OVH's control panel: an unpaid invoice is the most frequent cause.",
)
ORDER_OVERDUE: Final = Reason(
    "OrderOverdue",
    "OVH has been at work on a free certificate for more than an hour, which means that a name does "
    "not lead to the service.",
    "See that the A and AAAA records of every name point at the service, then ask OVH's support to "
    "cancel the task, or wait until it ends.",
)
REFRESH_FAILED: Final = Reason(
    "RefreshFailed",
    "OVH could not apply the configuration of the service; what was applied before stays.",
    "It is tried again. If it lasts, look at the tasks of the service in OVH's control panel and ask "
    "its support.",
)
HSTS_AGE_BY_PROVIDER: Final = Reason(
    "HSTSAgeByProvider",
    "OVH sends the Strict-Transport-Security header with a max-age of its own.",
    "Nothing needs to be done; leave spec.hsts.maxAge at its default to be rid of the note.",
)
OLD_TLS_PERMITTED: Final = Reason(
    "OldTLSPermitted",
    "The service accepts versions of TLS older than 1.2 (sslConfiguration is intermediate).",
    "Set sslConfiguration of the service to modern in OVH's control panel; it is for all frontends.",
)

REASONS: Final[tuple[Reason, ...]] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Reason)
)
"""Every reason above, for the documentation."""
