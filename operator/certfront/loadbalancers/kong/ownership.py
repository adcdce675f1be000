"""Ids and tags by which our objects in Kong are known, from a fresh process or another cluster.

A certificate of ours has an id that is computed from our scope and the **set of sources** that it is
made of: one, or two of different key type. So the id stays when a half rotates, two frontends that
use the same certificates share one object, and a set that changes is another object to which the names
are moved one by one. Tags hold no comma and no slash (Kong refuses them).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.meta import ObjectName

OURS: Final = "certfront"
_SCOPE: Final = "certfront-scope:"
_SOURCE: Final = "certfront-source:"
_FRONTEND: Final = "certfront-frontend:"
_WAS: Final = "certfront-was:"

Sources = frozenset[CertificateSource]


def scope_tag(scope: Scope) -> str:
    """The tag of everything that one LoadBalancer of one installation has made or changed."""
    return f"{_SCOPE}{scope.digits}"


@lru_cache(maxsize=8192)
def certificate_id(scope: Scope, sources: Sources) -> str:
    """The id of the Kong certificate that is made of `sources`."""
    parts = sorted(f"{source.kind}|{source.namespace}|{source.name}" for source in sources)
    return scope.uuid("kong-certificate", *parts)


def certificate_tags(
    scope: Scope, sources: Sources, frontends: Iterable[ObjectName]
) -> frozenset[str]:
    """The tags of a certificate: whose it is, what it is made of, which frontends use it."""
    made_of = {f"{_SOURCE}{s.kind}:{s.namespace}:{s.name}" for s in sources}
    used_by = {f"{_FRONTEND}{name.namespace}:{name.name}" for name in frontends}
    return frozenset({OURS, scope_tag(scope)} | made_of | used_by)


def route_tags(
    scope: Scope, frontend: ObjectName, protocols: Iterable[str], status: int
) -> frozenset[str]:
    """The tags of a route that was changed for `frontend`, with what it was before."""
    was = ":".join((str(status), *protocols))
    return frozenset(
        {OURS, scope_tag(scope), f"{_FRONTEND}{frontend.namespace}:{frontend.name}", f"{_WAS}{was}"}
    )


def is_of(scope: Scope, tags: Iterable[str]) -> bool:
    """Whether an object with these tags was made or changed by this scope."""
    return scope_tag(scope) in tags


def is_of_another(scope: Scope, tags: Iterable[str]) -> bool:
    """Whether another LoadBalancer or installation of certfront has the object."""
    return any(tag.startswith(_SCOPE) and tag != scope_tag(scope) for tag in tags)


def frontends_of(tags: Iterable[str]) -> frozenset[ObjectName]:
    """The frontends that use an object, as its tags tell."""
    return frozenset(filter(None, (_frontend(tag) for tag in tags)))


def before(tags: Iterable[str]) -> tuple[tuple[str, ...], int] | None:
    """Protocols and redirect status of a route before it was changed; None where no tag tells."""
    for tag in tags:
        status, *protocols = tag.removeprefix(_WAS).split(":")
        if tag.startswith(_WAS) and status.isdecimal() and len(status) == 3 and protocols:
            return tuple(protocols), int(status)
    return None


def foreign(tags: Iterable[str]) -> frozenset[str]:
    """Those of the tags that other people have put there: they stay."""
    return frozenset(
        tag
        for tag in tags
        if tag != OURS and not tag.startswith((_SCOPE, _SOURCE, _FRONTEND, _WAS))
    )


def _frontend(tag: str) -> ObjectName | None:
    if not tag.startswith(_FRONTEND):
        return None
    namespace, _, name = tag.removeprefix(_FRONTEND).partition(":")
    return ObjectName(namespace, name) if namespace and name else None
