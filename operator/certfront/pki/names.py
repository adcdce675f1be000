"""Names a certificate can carry: their one canonical spelling, and which name covers which.

Every comparison of names in the operator is made on what `normalise_dns` and `normalise_ip`
return, so that upper case, a trailing dot or a Unicode spelling never cause a new certificate.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

import idna

MAX_NAME_LENGTH = 253
"""Octets of a DNS name in its text form, without the trailing dot (RFC 1035 section 2.3.4)."""

# A Unicode spelling is shorter than its A-labels except for combining forms that are mapped away;
# four times the limit leaves room for those and still bounds the work.
_MAX_INPUT = 4 * MAX_NAME_LENGTH
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_WITH_UNDERSCORE = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class InvalidName(ValueError):
    """A text is not a name that a certificate can carry; the message says what is wrong with it."""


def normalise_dns(name: str) -> str:
    """Return the canonical form of a DNS name: lower case A-labels without a trailing dot.

    A wildcard is accepted as the first whole label only (RFC 9525 section 6.3). Raises
    `InvalidName` for everything that is not a host name, addresses included.
    """
    return _normalise(name, _LABEL)


def normalise_san_dns(name: str) -> str:
    """Like `normalise_dns`, for names found in certificates of others: underscores are accepted.

    Private authorities put them there and clients match them, though no public CA would.
    """
    return _normalise(name, _LABEL_WITH_UNDERSCORE)


def normalise_ip(text: str) -> str:
    """Return the canonical text of an address (RFC 5952 for IPv6); raises `InvalidName`.

    Zones are refused, and so are IPv4-mapped addresses: clients compare the four octets.
    """
    if len(text) > 45:
        raise InvalidName("too long for an IP address")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidName("not an IPv4 or IPv6 address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise InvalidName("an IPv6 address in a certificate has no zone")
        if address.ipv4_mapped is not None:
            raise InvalidName(f"an IPv4-mapped address: write {address.ipv4_mapped}")
    return address.compressed


def normalise_name(text: str) -> str:
    """Return the canonical form of a DNS name or an address; raises `InvalidName`."""
    return normalise_ip(text) if is_ip(text) else normalise_dns(text)


def is_ip(text: str) -> bool:
    """Say whether a text is the literal of an address, canonical or not."""
    # Nearly every text is a name, and an exception costs more than this.
    if ":" not in text and text.strip("0123456789."):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def covers(pattern: str, name: str) -> bool:
    """Say whether a certificate for `pattern` is valid for `name`; both canonical.

    A wildcard stands for exactly one label: never the apex, never two labels (RFC 9525 section
    6.3). Addresses are covered by themselves alone. The wildcard name `*.a` is covered by `*.a`.
    """
    if pattern == name:
        return True
    if not pattern.startswith("*.") or name.startswith("*.") or is_ip(name):
        return False
    first, dot, rest = name.partition(".")
    return bool(first and dot) and rest == pattern[2:]


def covered_by(san_names: Iterable[str], name: str) -> bool:
    """Say whether one of the names of a certificate covers `name`; all canonical."""
    return any(covers(pattern, name) for pattern in san_names)


@lru_cache(maxsize=1024)
def _normalise(name: str, label_syntax: re.Pattern[str]) -> str:
    """Remembered, because one pass over a certificate asks for the same few names several times."""
    if len(name) > _MAX_INPUT:
        raise InvalidName(f"longer than {MAX_NAME_LENGTH} octets")
    if is_ip(name):
        raise InvalidName("an IP address, not a DNS name: it belongs in ipAddresses")
    wildcard, host = _split_wildcard(name)
    ascii_host = _to_ascii(host).removesuffix(".")
    labels = ascii_host.split(".")
    for label in labels:
        _check_label(label, label_syntax)
    if labels[-1].isdigit():
        raise InvalidName("the last label of a DNS name is not a number")
    result = wildcard + ascii_host
    if len(result) > MAX_NAME_LENGTH:
        raise InvalidName(f"longer than {MAX_NAME_LENGTH} octets")
    return result


def _split_wildcard(name: str) -> tuple[str, str]:
    wildcard, host = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    if "*" in host:
        raise InvalidName("a wildcard stands for the whole first label, as in *.example.com")
    if not host or host == ".":
        raise InvalidName("an empty name")
    return wildcard, host


def _to_ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        # UTS 46 maps case and width as browsers do; transitional processing stays off (IDNA 2008).
        encoded = idna.encode(host, uts46=True, std3_rules=True).decode("ascii").lower()
    except UnicodeError:
        raise InvalidName("not a valid internationalised name (IDNA 2008)") from None
    if is_ip(encoded):
        raise InvalidName("an IP address, not a DNS name: it belongs in ipAddresses")
    return encoded


def _check_label(label: str, syntax: re.Pattern[str]) -> None:
    if not label:
        raise InvalidName("an empty label")
    if len(label) > 63:
        raise InvalidName("a label of more than 63 octets")
    if not syntax.fullmatch(label):
        raise InvalidName("a label may hold letters, digits and inner hyphens only")
    if label[2:4] != "--":
        return
    if not label.startswith("xn--"):
        raise InvalidName("hyphens in the third and fourth place are reserved for A-labels")
    try:
        canonical = idna.alabel(label).decode("ascii")
    except UnicodeError:
        raise InvalidName("a label that begins with xn-- but is no A-label (IDNA 2008)") from None
    if canonical != label:
        raise InvalidName("a label that begins with xn-- but is no A-label (IDNA 2008)")
