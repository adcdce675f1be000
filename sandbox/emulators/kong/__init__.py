"""A stand-in for Kong Gateway 3.9.3: its Admin API as it was recorded, and its proxy by SNI.

:mod:`.emulator` puts it together; :mod:`.admin` has the paths and the order of effects, :mod:`.schema`
the fields and checks, :mod:`.answers` the error bodies, :mod:`.names` the host names, :mod:`.pem` the
certificate checks, :mod:`.store` the entities, :mod:`.proxy` what is served, :mod:`.node` what a node
says of itself, :mod:`.declarative` the configuration without a database.

Conformance
-----------
Recorded from a Kong 3.9.3 and replayed by tests/integration/emulators/test_kong_recorded.py:

- certificates and SNIs: every answer, including what is *not* checked (validity, key size, order and
  form of what follows the leaf), PEM kept byte by byte and returned with the private key;
- names by uuid or SNI, `PUT` as an upsert that always answers 200 and resets `created_at`, names
  removed by a `PUT` without `snis`, the case of names kept;
- not atomic: `DELETE` of a certificate that a service uses loses its SNIs and then fails; `If-Match`
  answers 412 after the write;
- pages, tags, wrong methods, content types, sizes; a Kong without a database, `POST /config`.

Read in Kong's source (kong/db/schema, kong/db/errors.lua, kong/runloop, 3.x) and not recorded: routes
and services through the Admin API, answers of code 4 and 5, the proxy's 426, redirects and
`X-Forwarded-Proto`, the order in which names are tried.

Read in Kong's documentation and not tried on one: `Kong-Admin-Token` (401 without and with a wrong
one), workspaces as a prefix, rows of `/clustering/data-planes`.

Known to differ or not known:

- paths of Kong that are not listed in :mod:`.admin` answer 501 and say so; multipart bodies too;
- every write is atomic towards others: six parallel POSTs of one SNI leave one certificate here, six
  on a Kong;
- `next` within a workspace has no prefix (unknown): follow `offset`;
- a front does not know a client's address (it counts as 127.0.0.1 for `trusted_ips`) nor the server
  name of a request's connection (its host counts); methods, headers and regular expressions of routes
  are not matched; nothing is proxied: a matched route answers 200 with its name;
- a method that is no word of HTTP is refused with 400 by the server underneath, with 405 by a Kong;
- texts of OpenSSL's errors are those of two recorded cases for all.
"""

from sandbox.emulators.kong.emulator import Kong

__all__ = ["Kong"]
