"""The condition reasons that only OpenScaler load balancers give; given by `plan`."""

from typing import Final

from certfront.model.reasons import Reason

ONE_NAME_ONLY: Final = Reason(
    "OneNameOnly",
    "OpenScaler issues certificates of exactly one name, and the Certificate has another number.",
    "Make one Certificate for each name and list them all in the frontend, or use another type of "
    "Certificate, such as ACME.",
)
EMAIL_REQUIRED: Final = Reason(
    "EmailRequired",
    "OpenScaler asks for an address of e-mail to order a certificate of Let's Encrypt.",
    "Set spec.managed.email of the Certificate.",
)

REASONS: Final[tuple[Reason, ...]] = (ONE_NAME_ONLY, EMAIL_REQUIRED)
"""Every reason above, for the documentation."""
