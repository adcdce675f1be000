"""Load balancers that are reached by their provider's API: one `Target` each, driven from here.

Frontends say what they want of it, the LoadBalancer's reconciler gives it its provider and starts it,
and both are woken when something is new.
"""

from certfront.reconcilers.targets.fleet import Targets
from certfront.reconcilers.targets.situation import Situation
from certfront.reconcilers.targets.target import Target

__all__ = ["Situation", "Target", "Targets"]
