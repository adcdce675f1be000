"""The reasons that only load balancers of AWS give."""

from typing import Final

from certfront.model.reasons import Reason

PROPAGATING: Final = Reason(
    "Propagating",
    "AWS has the certificate, but its load balancers do not know it yet. What is installed stays.",
    "Nothing needs to be done: it takes seconds, at times minutes.",
)
ONE_CERTIFICATE_ONLY: Final = Reason(
    "OneCertificateOnly",
    "A listener of a classic load balancer offers one certificate (it has no SNI), and another of the "
    "frontend's certificates, or of a frontend on the same port, is the one.",
    "Put all names into one certificate, give each certificate a port of its own, or use an "
    "application load balancer.",
)
INSTANCE_PORT_REQUIRED: Final = Reason(
    "InstancePortRequired",
    "A listener of a classic load balancer leads to a port of its instances, and none is given.",
    "Set spec.awsClassic.instancePort.",
)
LISTENER_FIXED: Final = Reason(
    "ListenerFixed",
    "AWS does not change protocol or instance port of a classic listener that exists, and certfront "
    "never takes a working listener away to make it anew.",
    "Delete the listener yourself when an outage does no harm: it is made as asked for at once. Or "
    "give the old values again.",
)
SETTING_CONFLICT: Final = Reason(
    "SettingConflict",
    "An older frontend has the same port with another setting, and the listener can have only one.",
    "Give both the same setting, or another port to one of them.",
)
TARGET_GROUP_NOT_FOUND: Final = Reason(
    "TargetGroupNotFound",
    "There is no target group of the name or ARN in spec.defaultFarm.",
    "Correct spec.defaultFarm or create the target group; it is looked for again every minute.",
)
REDIRECT_UNSUPPORTED: Final = Reason(
    "RedirectUnsupported",
    "An application load balancer redirects with status 301 or 302 only, and not to an address like "
    "that of the message.",
    "Set spec.redirectStatusCode to 301 or 302, or correct spec.redirectLocation.",
)
PLAIN_LISTENER_ELSEWHERE: Final = Reason(
    "PlainListenerElsewhere",
    "httpsOnly is asked for, and a listener that certfront did not make answers plain HTTP.",
    "Delete that listener, or let the instances redirect by X-Forwarded-Proto.",
)
LEFT_BOUND: Final = Reason(
    "LeftBound",
    "A listener that was made elsewhere offers certfront's certificate, and the one it offered before "
    "is not known, is gone or has expired. So both listener and certificate stay as they are.",
    "Give the listener another certificate; then the one of certfront can be deleted in IAM or ACM.",
)

REASONS: Final[tuple[Reason, ...]] = (
    PROPAGATING,
    ONE_CERTIFICATE_ONLY,
    INSTANCE_PORT_REQUIRED,
    LISTENER_FIXED,
    SETTING_CONFLICT,
    TARGET_GROUP_NOT_FOUND,
    REDIRECT_UNSUPPORTED,
    PLAIN_LISTENER_ELSEWHERE,
    LEFT_BOUND,
)
"""Every reason above, for the documentation."""
