"""A certificate with its key, as a node holds it: checked, and in the one form that is written.

Used by `inbox` for what Secrets offer, and by `filing` for what is on disk.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives import hashes

from certfront.agent.runtime import LARGEST_COMMAND
from certfront.loadbalancers.haproxy.handover import InvalidHandover, read_bytes
from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.keys import KeyAlgorithm
from certfront.model.times import to_text
from certfront.pki.faults import UnusableMaterial
from certfront.pki.keys import algorithm_of
from certfront.pki.pair import bundle_pem, parse_pair

_LARGEST_PART: Final = 256 * 1024
_END: Final = b"PRIVATE KEY-----\n"


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Bundle:
    """A pair in HAProxy's form: key, leaf, chain. `digest` is of `pem`; fingerprints are upper-case hex.

    `sha1` and `serial` are what HAProxy shows, `sha256` is of a handshake.
    """

    pem: bytes = field(repr=False)
    digest: str
    key_type: KeyAlgorithm
    sha1: str
    serial: str
    sha256: str
    not_before: datetime
    not_after: datetime

    @property
    def fits_command(self) -> bool:
        """Whether it is small enough for the runtime API; a larger one goes by disk and reload."""
        return len(self.pem) + 600 < LARGEST_COMMAND

    def is_shown_as(self, identity: str) -> bool:
        """Whether that is what `Runtime.identities` says of it. Of Ed25519 it knows the serial only."""
        return identity in {self.sha1, f"serial {self.serial}"}


def from_secret(data: Mapping[str, Any]) -> Bundle:
    """The bundle in a Secret's `data`. Raises InvalidHandover; its text holds nothing of the input."""
    tls_crt = read_bytes(data, "tls.crt", largest=_LARGEST_PART)
    tls_key = read_bytes(data, "tls.key", largest=_LARGEST_PART)
    return _bundle(tls_crt, tls_key)


def from_pem(pem: bytes) -> Bundle:
    """The bundle in a file that we wrote. Raises InvalidHandover if it is torn or foreign."""
    key, end, chain = pem.partition(_END)
    # The first marker with these words opens the key, the second one ends it.
    rest, end_of_key, chain = chain.partition(_END)
    if not end or not end_of_key:
        raise InvalidHandover("InvalidBundle", "the file does not begin with a private key")
    return _bundle(chain, key + end + rest + end_of_key)


def refused_for_dates(bundle: Bundle, now: datetime) -> InvalidHandover | None:
    """Why the pair may not replace what is served now, if it is outside its validity."""
    if bundle.not_after <= now:
        return InvalidHandover("Expired", f"the certificate expired at {to_text(bundle.not_after)}")
    if bundle.not_before > now + CLOCK_TOLERANCE:
        return InvalidHandover(
            "NotYetValid", f"the certificate is valid from {to_text(bundle.not_before)}"
        )
    return None


# The same pair comes from the disk at a start, then from the list: its checks take milliseconds.
_checked: WeakValueDictionary[bytes, Bundle] = WeakValueDictionary()


def _bundle(tls_crt: bytes, tls_key: bytes) -> Bundle:
    content = hashlib.sha256(b"%d:%b%b" % (len(tls_crt), tls_crt, tls_key)).digest()
    known = _checked.get(content)
    if known is None:
        known = _checked[content] = _parse(tls_crt, tls_key)
    return known


def _parse(tls_crt: bytes, tls_key: bytes) -> Bundle:
    try:
        pair = parse_pair(tls_crt, tls_key)
        pem = bundle_pem(pair)
        key_type = algorithm_of(pair.private_key)
    except UnusableMaterial as error:
        raise InvalidHandover(error.reason, error.message) from None
    _try_to_load(pem)
    leaf = pair.leaf
    return Bundle(
        pem=pem,
        digest=hashlib.sha256(pem).hexdigest(),
        key_type=key_type,
        sha1=leaf.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - what HAProxy shows
        serial=_even(f"{leaf.serial_number:X}"),
        sha256=leaf.fingerprint(hashes.SHA256()).hex().upper(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )


def _even(digits: str) -> str:
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def _try_to_load(pem: bytes) -> None:
    """Let OpenSSL take the pair as HAProxy will: one file that it refuses stops a whole start."""
    # In memory, not in a temporary directory: it is a key.
    descriptor = os.memfd_create("certfront", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or "OpenSSL refuses it"
            raise InvalidHandover("InvalidBundle", f"not usable for TLS: {reason}") from None
