"""A real cluster on one machine, started by one command: `python -m sandbox up`.

etcd, kube-apiserver, kube-controller-manager, Pebble with its DNS server, HAProxy nodes with their
agents and the operator run as ordinary processes on loopback addresses. The demo, the tests and
people drive it in the same way: through :mod:`sandbox.cli` or, in Python, :mod:`sandbox.lifecycle`.
Nothing here is part of the product, and the product imports nothing from here.
"""
