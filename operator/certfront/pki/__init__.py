"""Keys, requests, certificates, chains and the policy for uploaded material.

Everything here is a pure function of its arguments: no I/O, no clock, no knowledge of Kubernetes.
`certfront.issuance`, `certfront.loadbalancers`, `certfront.reconcilers` and `certfront.agent` are the
users.
"""
