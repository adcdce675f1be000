"""LoadBalancerFrontends: observe, decide, act, report.

`observation` gathers, `certfront.loadbalancers.listeners` decides, `handover` acts on HAProxy load
balancers, `report` makes the status, `release` takes everything back; `reconciler` runs one pass.
"""

from certfront.reconcilers.frontends.reconciler import FrontendReconciler

__all__ = ["FrontendReconciler"]
