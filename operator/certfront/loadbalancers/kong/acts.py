"""The single steps that Kong is changed by: made by `planning`, done by `provider`."""

from __future__ import annotations

from dataclasses import dataclass, field

from certfront.loadbalancers.kong.state import Selector
from certfront.pki.pair import KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """PUT a certificate: all its material, all its SNIs and tags in one step."""

    id: str
    main: KeyPair = field(repr=False)
    alternative: KeyPair | None = field(repr=False)
    names: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """PATCH a certificate: its SNIs and tags, and one half where the other's key is not at hand."""

    id: str
    names: tuple[str, ...]
    tags: tuple[str, ...]
    main: KeyPair | None = field(default=None, repr=False)
    alternative: KeyPair | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """PUT an SNI so that it leads to another certificate. `adopted`: it is someone else's so far."""

    name: str
    id: str
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """DELETE a certificate of ours, and with it the SNIs that still lead to it."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFor:
    """Find the routes that a frontend names."""

    selector: Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRoute:
    """PATCH a route's protocols, redirect status and tags. None leaves the field as it is."""

    id: str
    protocols: tuple[str, ...] | None
    redirect_status: int | None
    tags: tuple[str, ...]


Act = Store | Amend | Move | Remove | LookFor | EditRoute
