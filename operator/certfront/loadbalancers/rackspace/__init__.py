"""Rackspace Cloud Load Balancers v1.0: one SSL termination per load balancer, others by host name.

`identity` gets tokens, `client` has one method per call, `state` is what was observed and what may be
done, `plan` compares (pure), `provider` joins them, `kind` is how it is chosen. Facts and their
sources: docs/rackspace.md, and the docstrings of `client` and `plan`.
"""

from certfront.loadbalancers.rackspace.kind import KIND

__all__ = ["KIND"]
