"""An object whose spec does not parse: its status, alike for every kind, and what its end needs."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from certfront.engine.store import Object
from certfront.loadbalancers.reasons import INVALID_SPEC
from certfront.model.conditions import Condition, merged, with_page
from certfront.model.frontend import Frontend, FrontendStatus
from certfront.model.issuer import IssuerStatus
from certfront.model.loadbalancer import LoadBalancerStatus
from certfront.model.meta import InvalidObject, parsed
from certfront.reconcilers.context import Context


def bare_frontend(obj: Object) -> Frontend | None:
    """A frontend whose spec does not parse, as far as taking it off needs it."""
    spec = obj.get("spec")
    named = spec.get("loadBalancerRef") if isinstance(spec, dict) else None
    status = obj.get("status") or {}
    told = status.get("loadBalancer") if isinstance(status, dict) else None
    bare = {"metadata": obj["metadata"], "status": {"loadBalancer": told or ""}}
    return parsed(Frontend, {**bare, "spec": {"loadBalancerRef": named}}) or parsed(Frontend, bare)


S = TypeVar("S", FrontendStatus, IssuerStatus, LoadBalancerStatus)


def status_of(
    kind: type[S],
    obj: Object,
    error: InvalidObject,
    context: Context,
    *,
    false: Sequence[str] = ("Ready",),
) -> tuple[S, S]:
    """The status before, and the one to write: Stalled, and False the conditions `false`.

    Other conditions go, as nothing is known of them. What is not a condition stays as it is: what is
    installed is not gone because the spec cannot be read.
    """
    raw: dict[str, Any] = obj.get("status") or {}
    before = parsed(kind, raw) or kind()
    generation = obj["metadata"].get("generation", 0)
    page = f"{context.settings.documentation_url}/{INVALID_SPEC.name}"
    message = with_page(f"The object cannot be read: {error}.", page)
    wanted = [
        Condition(type=name, status="False", reason=INVALID_SPEC.name, message=message)
        for name in false
    ]
    wanted.append(
        Condition(type="Stalled", status="True", reason=INVALID_SPEC.name, message=message)
    )
    conditions = merged(before.conditions, wanted, generation=generation, now=context.clock.now())
    after = msgspec.structs.replace(before, observed_generation=generation, conditions=conditions)
    return before, after
