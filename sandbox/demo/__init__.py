"""`make demo`: certfront at work on real parts, told step by step.

story (what is done, in order) draws on setting (namespace, backend, bought certificate), progress
(what statuses say meanwhile), probes (handshakes from outside) and traffic (requests during a rotation).
"""
