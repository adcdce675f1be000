"""The tags by which certfront knows what it made, from a fresh process or another cluster.

Certificates in ACM have a scope and an owner (the source that they are a version of); listeners a
scope and a mark (the frontend that they were made for). What is tagged otherwise is never removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from certfront.loadbalancers.identity import Scope, owner_of
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.meta import ObjectName

_SCOPE: Final = "certfront:scope"
_OWNER: Final = "certfront:owner"
_MARK: Final = "certfront:frontend"
_SOURCE: Final = "certfront:source"
_INSTALLATION: Final = "certfront:installation"
_LONGEST: Final = 256


def certificate_tags(scope: Scope, source: CertificateSource) -> dict[str, str]:
    """The tags of a certificate; `certfront:source` is for people."""
    return {
        **_scope_tags(scope),
        _OWNER: owner_of(source),
        _SOURCE: f"{source.kind}/{source.namespace}/{source.name}"[:_LONGEST],
    }


def owner_told(scope: Scope, tags: Mapping[str, str]) -> str:
    """Whose a certificate is, "" where it is not of this scope."""
    return tags.get(_OWNER, "") if tags.get(_SCOPE) == scope.digits else ""


def listener_mark(scope: Scope, frontend: ObjectName, port: int) -> str:
    """What says for whom a listener was made."""
    return scope.frontend_name(frontend, str(port))


def listener_tags(scope: Scope, mark: str) -> dict[str, str]:
    """The tags of a listener."""
    return {**_scope_tags(scope), _MARK: mark}


def mark_told(scope: Scope, tags: Mapping[str, str]) -> str:
    """For whom a listener was made, "" where it is not of this scope."""
    return tags.get(_MARK, "") if tags.get(_SCOPE) == scope.digits else ""


def _scope_tags(scope: Scope) -> dict[str, str]:
    return {_SCOPE: scope.digits, _INSTALLATION: scope.installation[:_LONGEST]}
