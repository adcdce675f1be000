"""What a load balancer is asked to do, decided without any I/O.

`acceptance`, `claims` and `bindings` turn a frontend and what surrounds it into a `Listener`
(`protocol`), `challenges` says who answers HTTP-01; a package per provider turns the Listener into
what that provider understands. `certfront.reconcilers` observes, acts and reports.
"""
