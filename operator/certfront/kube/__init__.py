"""The Kubernetes API: one thin asynchronous client, Leases and Events.

Only this package imports `kubernetes`; reconcilers, the agent and `app` use it.
"""
