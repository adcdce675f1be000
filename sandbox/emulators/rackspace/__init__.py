"""A strict stand-in for Rackspace Cloud Load Balancers v1.0 and the identity service before it.

:mod:`.api` is the HTTP side, :mod:`.state` the load balancers and their rules, :mod:`.bodies` what
requests may hold, :mod:`.material` the checks of keys and certificates, :mod:`.identity` tokens and
catalogue, :mod:`.limits` rates and absolute limits, :mod:`.faults` the refusals.

It follows, from rackerlabs/docs-cloud-load-balancers (cloud-load-balancers-v1):

- "Authenticate to the Rackspace Cloud", "Service access endpoints" and the Cloud Identity guide:
  POST /v2.0/tokens, catalogue of type `rax:load-balancer`. The regions are told apart by host
  there and by the first path segment here; a load balancer is 404 in any but its own.
- "Show/Update load balancer details": attributes, 202, unsupported attributes refused, redirect
  only with a secure-only termination on port 443.
- "SSL termination": the table of attributes (key `privatekey`), 200 without a body, the table of
  `enabled` and `secureTrafficOnly`, only on a protocol that is not secure itself.
- "Certificate mappings": double wrapping of the list, `privateKey`, one mapping for a host name,
  the most specific wins, `intermediateCertificate` may come alone here, 20 at most, keys never shown.
- "API behavior and statuses", "Faults", "Limits": one mutation at a time, 422 `immutableEntity`,
  413 with Retry-After for rates and without for numbers, 404 for what is deleted.

Where the guide is silent, from the vendor's published implementation, lbrackspace/atlas-lb: texts
of faults; a wrong request is 400 before 422; an expired certificate, several certificates in
`certificate`, a chain out of order and a key that is not RSA are 400; material without
intermediates removes the old ones; a duplicate host name is 422 `unprocessableEntity`; DELETE of an
absent termination is 400; protocol and port beside a termination; any status but ACTIVE is 422.
The body of the rate limit is that of Repose, the proxy before the service (wrapped).

Not known, and chosen: faults are bare JSON objects, as in the guide's one JSON example and in every
answer that clients quote (`wrapped_faults` has the other form); PUT and DELETE of the termination
answer 200 by the guide, 202 by the implementation (`termination_status`); Retry-After as seconds or
date (`retry_after`); a wildcard is the leftmost label and covers one; each authentication gives a
new token; an account other than the token's is 401; how a too large body is refused (400); a change
is served when the status is ACTIVE again; deletion of a termination deletes its mappings;
SUSPENDED serves nothing, ERROR serves what was served.

Not there: XML, creation and deletion of load balancers, nodes, everything else of the API (404).
"""

from sandbox.emulators.rackspace.api import API_KEY, Rackspace

__all__ = ["API_KEY", "Rackspace"]
