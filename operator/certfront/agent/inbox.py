"""What the Secrets of the load balancer say, read and checked, one by one.

A Secret that cannot be read says nothing and takes nothing away. Used by `watching`, which fills
it, and by `node`, which takes snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from certfront.agent.bundles import Bundle, from_secret
from certfront.loadbalancers.haproxy import syntax
from certfront.loadbalancers.haproxy.checks import check
from certfront.loadbalancers.haproxy.handover import (
    LOAD_BALANCER_LABEL,
    ROLE_LABEL,
    Challenges,
    InvalidHandover,
    Manifest,
    read_challenges,
    read_manifest,
)
from certfront.loadbalancers.haproxy.watermark import Failed

T = TypeVar("T")
_ROLES: Final = frozenset({"manifest", "bundle", "challenge"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """A snapshot: what can be read, by the name of its Secret, and what cannot.

    `resource_version` is how far the Secrets have been read; empty before the first list.
    """

    resource_version: str = ""
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    bundles: Mapping[str, Bundle] = field(default_factory=dict)
    challenges: Mapping[str, Challenges] = field(default_factory=dict)
    unreadable: Mapping[str, Failed] = field(default_factory=dict)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of all Secrets that are there."""
        return frozenset([*self.manifests, *self.bundles, *self.challenges, *self.unreadable])


@dataclass(slots=True)
class _Held:
    """Everything that was read, by the name of the Secret."""

    versions: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    bundles: dict[str, Bundle] = field(default_factory=dict)
    challenges: dict[str, Challenges] = field(default_factory=dict)
    unreadable: dict[str, Failed] = field(default_factory=dict)

    def put(self, load_balancer: str, manage: str, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        name, version = metadata["name"], metadata.get("resourceVersion", "")
        if version and self.versions.get(name) == version:
            return
        self.forget(name)
        labels = metadata.get("labels") or {}
        role = labels.get(ROLE_LABEL)
        if labels.get(LOAD_BALANCER_LABEL) != load_balancer or role not in _ROLES:
            return
        self.versions[name] = version
        data = secret.get("data") or {}
        if role == "manifest":
            self._take(name, self.manifests, lambda: _manifest(data, manage))
        elif role == "bundle":
            self._take(name, self.bundles, lambda: _bundle(name, data))
        else:
            self._take(name, self.challenges, lambda: read_challenges(data))

    def forget(self, name: str) -> None:
        for held in (
            self.versions,
            self.manifests,
            self.bundles,
            self.challenges,
            self.unreadable,
        ):
            held.pop(name, None)

    def copy(self) -> _Held:
        return _Held(
            dict(self.versions),
            dict(self.manifests),
            dict(self.bundles),
            dict(self.challenges),
            dict(self.unreadable),
        )

    def _take(self, name: str, held: dict[str, T], read: Callable[[], T]) -> None:
        try:
            held[name] = read()
        except InvalidHandover as error:
            self.unreadable[name] = Failed(secret=name, reason=error.reason, message=error.message)


class Inbox:
    """The Secrets with the label of one load balancer, as last seen.

    `replace` may run in another thread than the rest: it shows its result all at once.
    """

    def __init__(self, load_balancer: str, *, certificates_only: bool = False) -> None:
        self._load_balancer = load_balancer
        self._manage = manage_of(certificates_only=certificates_only)
        self._resource_version = ""
        self._held = _Held()

    @property
    def resource_version(self) -> str:
        """How far the Secrets have been read."""
        return self._resource_version

    def versions(self) -> Mapping[str, str]:
        """The resourceVersion of every Secret that is held."""
        return dict(self._held.versions)

    def replace(self, secrets: Iterable[Mapping[str, Any]], resource_version: str) -> None:
        """Take a whole list; what is not in it is gone."""
        listed = {secret["metadata"]["name"]: secret for secret in secrets}
        held = self._held.copy()
        for name in set(held.versions) - set(listed):
            held.forget(name)
        for secret in listed.values():
            held.put(self._load_balancer, self._manage, secret)
        self._held = held
        self._resource_version = resource_version

    def put(self, secret: Mapping[str, Any]) -> None:
        """Take one Secret as it is now. Never raises for what is in it."""
        self._held.put(self._load_balancer, self._manage, secret)

    def drop(self, name: str) -> None:
        """A Secret is gone, or no longer labelled for us."""
        self._held.forget(name)

    def reached(self, resource_version: str) -> None:
        """Everything up to here has been seen."""
        self._resource_version = resource_version

    def snapshot(self) -> Offers:
        """What is offered now, as a value that later events do not change."""
        held = self._held.copy()
        return Offers(
            resource_version=self._resource_version,
            manifests=held.manifests,
            bundles=held.bundles,
            challenges=held.challenges,
            unreadable=held.unreadable,
        )


def manage_of(*, certificates_only: bool) -> str:
    """What a node's manifests must say in `manage`."""
    return "CertificatesOnly" if certificates_only else "Listener"


def _manifest(data: Mapping[str, Any], manage: str) -> Manifest:
    manifest = read_manifest(data)
    check(manifest)
    # One that asks for nothing is understood by every node.
    if manifest.manage != manage and not manifest.disabled:
        raise InvalidHandover(
            "ManageMismatch", f"manage is {manifest.manage}, and this node is for {manage}"
        )
    return manifest


def _bundle(name: str, data: Mapping[str, Any]) -> Bundle:
    try:
        syntax.object_name(name, "the Secret's name")
    except syntax.Unfit as error:
        raise InvalidHandover("InvalidName", str(error)) from None
    return from_secret(data)
