"""The reasons that only a load balancer of type Kong gives."""

from typing import Final

from certfront.model.reasons import Reason

DATABASE_REQUIRED: Final = Reason(
    "DatabaseRequired",
    "Kong runs without a database, so its Admin API takes no single object: its configuration is one "
    "document that someone else keeps.",
    "Point adminURL at a Kong with a database (in hybrid mode the control plane), or put the "
    "certificates into that document by other means.",
)
ROUTES_REQUIRED: Final = Reason(
    "RoutesRequired",
    "httpsOnly is a setting of Kong's routes, and the frontend names none.",
    "Name the routes in spec.kong.routes, or remove httpsOnly.",
)
ROUTE_NOT_FOUND: Final = Reason(
    "RouteNotFound",
    "Kong has no route of a name or tag in spec.kong.routes. Everything else is done.",
    "Make the route, or correct the name; it is looked for again every minute.",
)
ROUTE_UNSUITABLE: Final = Reason(
    "RouteUnsuitable",
    "A route of spec.kong.routes speaks something else than HTTP and HTTPS, or another frontend or "
    "installation has it. It is left as it is.",
    "Take the route out of spec.kong.routes, or out of the other frontend.",
)
CHANGED_BY_OTHERS: Final = Reason(
    "ChangedByOthers",
    "What Kong has after a change is not what was written: something else writes the same object.",
    "Look for another program that manages Kong (decK, an ingress controller) and exclude the objects "
    "with the tag certfront from it.",
)

REASONS: Final[tuple[Reason, ...]] = (
    DATABASE_REQUIRED,
    ROUTES_REQUIRED,
    ROUTE_NOT_FOUND,
    ROUTE_UNSUITABLE,
    CHANGED_BY_OTHERS,
)
"""Every reason above, for the documentation."""
