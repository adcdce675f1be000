"""Strict stand-ins for the cloud balancers' APIs, written from their published descriptions.

`python -m sandbox.emulators <name>` runs one; a test takes :func:`sandbox.emulators.server.serving`.
:mod:`.server` has what all share (faults, journal, control API), :mod:`.tls` serves certificates by
SNI so that a handshake proves an installation, :mod:`.control` steers one from another process.
Nothing here is part of the product, and no emulator shares code with the client that it tests.
"""

NAMES = ("aws", "kong", "openscaler", "ovh", "rackspace")
"""The emulators that there are; each is the module of that name."""
