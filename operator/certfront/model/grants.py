"""Grants: the one model of consent, on Issuers and LoadBalancers alike. Everything fails closed."""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

import idna
import msgspec

from certfront.model.meta import Value


class LabelExpression(Value, frozen=True, kw_only=True):
    """One requirement of a label selector, as in Kubernetes."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Value, frozen=True, kw_only=True):
    """A label selector; an empty one selects nothing here, where consent is at stake."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelExpression, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with `labels` is selected. Empty and unknown requirements never match."""
        if not self.match_labels and not self.match_expressions:
            return False
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _holds(expression, labels) for expression in self.match_expressions
        )


class GrantNamespaces(Value, frozen=True, kw_only=True):
    """Whom a grant is for: by name, by the labels of the namespace, or everyone."""

    names: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    all: bool = False

    def include(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether `namespace`, which has `labels`, is meant."""
        return (
            self.all
            or namespace in self.names
            or (self.selector is not None and self.selector.selects(labels))
        )


class Grant(Value, frozen=True, kw_only=True):
    """Lets other namespaces use an Issuer or LoadBalancer for the hostnames it lists."""

    namespaces: GrantNamespaces = GrantNamespaces()
    hostnames: tuple[str, ...] = ()
    backend_cidrs: tuple[str, ...] = msgspec.field(name="backendCIDRs", default=())

    def allows_hostname(self, hostname: str, namespace: str) -> bool:
        """Whether `hostname` (normalised; a wildcard, an address or a common name too) is covered.

        `$(namespace)` in a pattern stands for `namespace`.
        """
        return any(
            _pattern_covers(_normalised(pattern.replace("$(namespace)", namespace)), hostname)
            for pattern in self.hostnames
        )


def applying(
    grants: Iterable[Grant], namespace: str, labels: Mapping[str, str]
) -> tuple[Grant, ...]:
    """The grants that are for `namespace`."""
    return tuple(grant for grant in grants if grant.namespaces.include(namespace, labels))


def withheld(hostnames: Iterable[str], grants: Iterable[Grant], namespace: str) -> tuple[str, ...]:
    """Those of `hostnames` that no grant covers."""
    held = tuple(grants)
    return tuple(
        name for name in hostnames if not any(g.allows_hostname(name, namespace) for g in held)
    )


def backend_allowed(address: str, grants: Iterable[Grant]) -> bool:
    """Whether traffic may be sent to `address`, an IP literal, under any of `grants`."""
    target = _address(address)
    if target is None:
        return False
    return any(
        target in network
        for grant in grants
        for network in map(_network, grant.backend_cidrs)
        if network is not None and network.version == target.version
    )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _pattern_covers(pattern: str, hostname: str) -> bool:
    if not pattern or not hostname:
        return False
    if pattern == "*":
        return True
    address = _address(hostname)
    if address is not None:
        return _address(pattern) == address
    if pattern == hostname:
        return "*" not in pattern[2:]
    if not pattern.startswith("*.") or "*" in pattern[1:]:
        return False
    label, dot, rest = hostname.partition(".")
    return bool(label and dot) and label != "*" and rest == pattern[2:]


@lru_cache(maxsize=4096)
def _normalised(pattern: str) -> str:
    """`pattern` in lower case, with A-labels and without a final dot; empty if it can mean nothing."""
    star, rest = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    rest = rest.lower().removesuffix(".")
    if rest.isascii():
        return star + rest
    try:
        return star + idna.encode(rest, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value is not None and value in expression.values
        case "NotIn":
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
