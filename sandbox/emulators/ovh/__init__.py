"""Stands in for OVHcloud's IP Load Balancing (API v1), as strictly as its description allows.

Objects: :mod:`.signature` (application and consumer keys), :mod:`.oauth2` (service accounts),
:mod:`.service` (one load balancer: frontends, certificates, what is pending and applied),
:mod:`.frontends`, :mod:`.routes`, :mod:`.certificates`, :mod:`.tasks`, :mod:`.fronts` (what the
ports answer),
:mod:`.shapes` (the description's request shapes), :mod:`.steering` (what tests do to it).
The base URL is `http://host:port/1.0`; the token URL is `http://host:port/auth/oauth2/token`.

Follows
- OVHcloud's OpenAPI description of IP Load Balancing (ovh/ovhcloud-cli,
  `internal/assets/api-schemas/iploadbalancing.json`, 2025-10): paths, members, types, null, filters,
  read-only members, enumerations, the IAM action of each call.
- OVH guide "First steps with the OVHcloud APIs": the signature; `GET /auth/time` unsigned. python-ovh
  1.2 (`ovh/client.py`): which errorCode is which exception; ovh/swift-ovh's tests: which key gives
  which status, errorCode and message.
- RFC 6749 section 4.4 for service accounts; scope `all` as python-ovh asks for.
- OVH guides "Configuring an HTTP/HTTPS OVHcloud Load Balancer service" and "Order a free SSL
  certificate": all certificates on every SSL frontend, nothing applied before a refresh, free
  certificates installed automatically, superseding uploads for the same name.
- terraform-provider-ovh: `defaultSslId` 0 answers 500 (issue 297); open `refreshIplb` tasks, then
  pendingChanges, then refresh, then polling.

Not published, decided here so that the stricter client works with both
- null in a POST, a read-only member in a PUT, an unknown member or filter: 400. A PUT leaves
  members alone that it does not have.
- A second refresh while one is open (`blocked` included): 409. A refresh applies what there was
  when it was asked for; its changes count as pending until it is done.
- Credentials that are missing: 401 NOT_CREDENTIAL without an application key, else 403. A timestamp
  more than 30 s off: 400 QUERY_TIME_OUT. A consumer key used from elsewhere: 403 FORBIDDEN.
- Only changes that alter what is served count as pending: a display name does not.
- Overlapping ports of two frontends in one zone: 409. Deleting a certificate that is a default: 409.
- Bad certificates, keys and chains: 400. A full quota of certificates: 403 `Client::Forbidden`
  without an errorCode. Another certificate for names that are there already is taken.
- The form of `fingerprint`, which of two uploads for one name is served, whether a `built`
  certificate can be deleted, whether it keeps its id when it is renewed (yes): options, or as said.
- "like" filters find a part of the value. Lists are not paged. Dates carry an offset.
- A name without a certificate on a frontend without a default: the handshake is refused.

Not emulated: vRack, rules of routes, servers of farms, TCP and UDP, allowedSource and deniedSource when
serving, rate limits (arm a fault with 429), traffic.
"""

from sandbox.emulators.ovh.api import OVH

__all__ = ["OVH"]
