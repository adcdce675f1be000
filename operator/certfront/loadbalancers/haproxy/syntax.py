"""The only way for a value into an HAProxy configuration: checked here, then quoted here.

A function for each kind of value takes what a manifest says, refuses what is not of that kind
(Unfit, which names the field and never the value) and returns the text to be written. Used by
`checks`, `configuration` and the agent. Strings are written in single quotes, where HAProxy expands nothing:
no environment variable, no escape, no comment.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final


class Unfit(ValueError):
    """The value is not what its field takes; the message names the field."""


_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOSTNAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_OBJECT_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~:/?@!$&()*+,;=%-]{0,1023}")
# An absolute http(s) URL without userinfo, quotes, blanks or controls (RFC 3986).
_LOCATION: Final = re.compile(
    r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
    r"(?:[/?#](?:[A-Za-z0-9._~:/?#@!$&()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
_LONGEST_LOCATION: Final = 2048


def quoted(text: str) -> str:
    """`text` as one word of a configuration line, in which nothing is expanded.

    Raises Unfit for a single quote or a control character, which cannot be written that way.
    """
    if "'" in text or any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise Unfit("a value has a quote or a control character")
    return f"'{text}'"


def log_format(text: str) -> str:
    """Like `quoted`, for an argument that HAProxy reads as a log format: percent signs are doubled."""
    return quoted(text.replace("%", "%%"))


def hostname(text: str, field: str) -> str:
    """A lower-case host name with an optional `*.` in front, or an IP literal."""
    if len(text) <= 253 and _HOSTNAME.fullmatch(text):
        return text
    return str(_address(text, field))


def object_name(text: str, field: str) -> str:
    """A name as Kubernetes objects have it (RFC 1123 subdomain)."""
    if not _OBJECT_NAME.fullmatch(text) or ".." in text:
        raise Unfit(f"{field} is no object name")
    return text


def port(number: int, field: str) -> int:
    """A TCP port."""
    if not 1 <= number <= 65535:
        raise Unfit(f"{field} is no port")
    return number


def server_address(address: str, number: int, field: str) -> str:
    """An IP literal and a port, as a `server` line has them."""
    return _with_port(_address(address, f"{field}.address"), port(number, f"{field}.port"))


def bind_address(address: str, number: int) -> str:
    """An IP literal and a port, as a `bind` line has them."""
    return _with_port(_address(address, "the bind address"), port(number, "the port"))


def network_list(networks: Iterable[str], field: str) -> bytes:
    """A file for `src -f`: one network a line, sorted, so that equal sets are equal files."""
    try:
        parsed = {ipaddress.ip_network(network, strict=False) for network in networks}
    except ValueError:
        raise Unfit(f"{field} has an entry that is no CIDR") from None
    return "".join(f"{line}\n" for line in sorted(map(str, parsed))).encode()


def health_path(text: str, field: str) -> str:
    """The path of a health check, quoted."""
    if not _PATH.fullmatch(text):
        raise Unfit(f"{field} is no path")
    return quoted(text)


def header_host(text: str, field: str) -> str:
    """A host for a Host header or for SNI, quoted as a log format."""
    if len(text) > 253 or not _HOSTNAME.fullmatch(text.lower()) or text.startswith("*"):
        _address(text, field)
    return log_format(text)


def location(text: str, field: str) -> str:
    """An absolute http or https URL for a Location header, quoted as a log format."""
    if len(text) > _LONGEST_LOCATION or not _LOCATION.fullmatch(text):
        raise Unfit(f"{field} is no absolute http or https URL of printable characters")
    return log_format(text)


def _address(text: str, field: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Unfit(f"{field} is neither a host name nor an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise Unfit(f"{field} has a zone")
    return address


def _with_port(address: ipaddress.IPv4Address | ipaddress.IPv6Address, number: int) -> str:
    return f"[{address}]:{number}" if address.version == 6 else f"{address}:{number}"
