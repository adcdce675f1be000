"""Name constraints (RFC 5280 section 4.2.1.10), applied to the names of a server certificate.

Host names, addresses and directory names are looked at; a server certificate has no others that a
client would match. Used by `policy`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from cryptography import x509

from certfront.pki import certificates, names


def allow(constraints: x509.NameConstraints, leaf: x509.Certificate) -> bool:
    """Say whether every name of the leaf is permitted and none is excluded."""
    dns_names, addresses = certificates.san_names(leaf)
    permitted = tuple(constraints.permitted_subtrees or ())
    excluded = tuple(constraints.excluded_subtrees or ())
    hosts = [name.lower().removesuffix(".") for name in dns_names]
    subjects = [leaf.subject] if leaf.subject.rdns else []
    return (
        _within(hosts, _values(permitted, x509.DNSName), _is_below)
        and _outside(hosts, _values(excluded, x509.DNSName), _overlaps)
        and _within(addresses, _values(permitted, x509.IPAddress), _is_in_network)
        and _outside(addresses, _values(excluded, x509.IPAddress), _is_in_network)
        and _within(subjects, _values(permitted, x509.DirectoryName), _is_in_directory)
        and _outside(subjects, _values(excluded, x509.DirectoryName), _is_in_directory)
    )


def _values(subtrees: Iterable[x509.GeneralName], kind: type[x509.GeneralName]) -> list[object]:
    return [one.value for one in subtrees if isinstance(one, kind)]


def _within(
    found: Iterable[object], bases: list[object], matches: Callable[[object, object], bool]
) -> bool:
    """Say whether each name is in one of the bases; no base of this type permits everything."""
    return not bases or all(any(matches(one, base) for base in bases) for one in found)


def _outside(
    found: Iterable[object], bases: list[object], matches: Callable[[object, object], bool]
) -> bool:
    return not any(matches(one, base) for one in found for base in bases)


def _is_below(name: object, base: object) -> bool:
    """Say whether a host is the base or lies below it; a leading dot leaves the base itself out."""
    host, limit = str(name).removeprefix("*."), str(base).lower().removesuffix(".")
    if not limit:
        return True
    if limit.startswith("."):
        return host.endswith(limit) or (str(name).startswith("*.") and host == limit[1:])
    return host == limit or host.endswith(f".{limit}")


def _overlaps(name: object, base: object) -> bool:
    """Say whether a host, or any host that a wildcard stands for, lies in an excluded base."""
    return _is_below(name, base) or names.covers(str(name), str(base).lower().lstrip("."))


def _is_in_network(address: object, base: object) -> bool:
    try:
        return ipaddress.ip_network(str(address)).subnet_of(ipaddress.ip_network(str(base)))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _is_in_directory(subject: object, base: object) -> bool:
    if not isinstance(subject, x509.Name) or not isinstance(base, x509.Name):
        return False
    return subject.rdns[: len(base.rdns)] == base.rdns
