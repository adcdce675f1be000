"""ACME (RFC 8555): the only package of certfront that imports `acme` and `josepy`.

From the wire upwards:

`retry_after`, `problems`, `nonces`, `endpoints`  values and small rules;
`transport`     one HTTPS exchange with a byte cap and a deadline that holds;
`account_key`   the account's key as a JSON Web Key;
`resources`     directory, orders, authorizations as frozen values;
`session`       one step of the protocol per (blocking) call;
`worker`        the asyncio side of a session: a bounded executor per account;
`order`         the pure state machine: what to do next for one attempt;
`driver`        executes exactly one step of it against the reconciler's ports;
`solver`        the operator's own HTTP-01 challenge port;
`reasons`       the condition reasons of all this.

When a failed attempt is repeated is `certfront.issuance.schedule`'s.
"""
