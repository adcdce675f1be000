"""What people, the garbage collector and an unwilling CA do to the Certificate, within the budget."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.model import authority, cluster
from tests.model.state import (
    CERTIFICATE,
    OBJECTS,
    SECRET,
    SITE,
    WATCHED,
    Object,
    Violation,
    World,
    find,
)

FIRST, SECOND = "a.example", "b.example"
RENEW = "certfront.io/renew"


def manifest() -> Object:
    """The Certificate that the search is about."""
    return {
        "apiVersion": "certfront.io/v1alpha1",
        "kind": "Certificate",
        "metadata": {"name": SITE, "generation": 1},
        "spec": {
            "type": "ACME",
            "dnsNames": [FIRST],
            "acme": {"issuerRef": {"name": "ca"}},
            "privateKey": {"algorithm": "Ed25519"},
        },
    }


def actions(
    world: World, user: tuple[str, ...]
) -> Iterator[tuple[str, Callable[[World], World | None]]]:
    """Each with a label; those of a user and of the CA cost something of the budget."""
    if orphans(world):
        yield "the garbage is collected", _collect
    if world.budget.user:
        for name in user:
            yield f"a user: {name}", lambda w, n=name: _user(w, n)
    if world.budget.trouble:
        for number, order in enumerate(world.orders, 1):
            if not order.failing and not order.forgotten and order.status == "pending":
                yield f"order {number} will fail", lambda w, n=number: _fails(w, n)
            if not order.forgotten:
                yield f"the CA forgets order {number}", lambda w, n=number: _forgets(w, n)


def check_wanted(certificate: Object, secret: Object) -> None:
    """The Secret has a certificate for the names in the spec. Raises Violation."""
    crt = base64.b64decode(secret["data"]["tls.crt"])
    names = list(authority.names_of(crt))
    if names != certificate["spec"]["dnsNames"]:
        raise Violation("Convergence", f"the Secret's names are {names}")


def _user(world: World, name: str) -> World | None:
    budget = world.budget._replace(user=world.budget.user - 1)
    acted = USERS[name](world)
    return None if acted is None else acted._replace(budget=budget, ended=frozenset())


def _recreate(world: World) -> World | None:
    """Delete the Certificate and apply the same manifest again."""
    held = find(world, CERTIFICATE)
    if held is None:
        return None
    secret = find(world, SECRET)
    annotations = ((secret or {}).get("metadata") or {}).get("annotations") or {}
    revision = int(annotations.get("certfront.io/revision", "0"))
    world = cluster.remove(world, CERTIFICATE)
    world = cluster.born(world, CERTIFICATE, {**manifest(), "spec": held["spec"]})
    return world._replace(revision=revision, justified=world.justified + 1)


def _delete(world: World) -> World | None:
    """Delete the Certificate for good."""
    return None if find(world, CERTIFICATE) is None else cluster.remove(world, CERTIFICATE)


def _delete_secret(world: World) -> World | None:
    if find(world, SECRET) is None:
        return None
    status = (find(world, CERTIFICATE) or {}).get("status") or {}
    world = cluster.remove(world, SECRET)
    return world._replace(revision=status.get("revision", 0), justified=world.justified + 1)


def _replace_secret(world: World) -> World | None:
    """Put a Secret of one's own in place of the TLS Secret, or before it."""
    world = cluster.remove(world, SECRET) if find(world, SECRET) is not None else world
    pair = {"tls.crt": "", "tls.key": ""}
    theirs = {"type": "kubernetes.io/tls", "metadata": {"name": SITE}, "data": pair}
    return cluster.born(world, SECRET, theirs)


def _delete_pending(world: World) -> World | None:
    where = next((w for w, _ in world.objects if w not in (CERTIFICATE, SECRET)), None)
    if where is None:
        return None
    needs = frozenset(order.need for order in world.orders)
    return cluster.remove(world, where)._replace(excused=world.excused | needs)


def _unlabel(world: World) -> World | None:
    secret = find(world, SECRET)
    labels = ((secret or {}).get("metadata") or {}).get("labels") or {}
    if secret is None or WATCHED not in labels:
        return None
    metadata = {**secret["metadata"], "labels": {k: v for k, v in labels.items() if k != WATCHED}}
    return cluster.store(world, SECRET, {**secret, "metadata": metadata})


def _rename(world: World) -> World | None:
    """Ask for another name."""
    held = find(world, CERTIFICATE)
    if held is None or held["spec"]["dnsNames"] == [SECOND]:
        return None
    return _edited(world, held, dnsNames=[SECOND])._replace(justified=world.justified + 1)


def _rotate_never(world: World) -> World | None:
    """Ask for the key to be kept; the order that is open is the same need."""
    held = find(world, CERTIFICATE)
    key = {"algorithm": "Ed25519", "rotation": "Never"}
    if held is None or held["spec"]["privateKey"] == key:
        return None
    return _edited(world, held, privateKey=key)


def _renew(world: World) -> World | None:
    held = find(world, CERTIFICATE)
    if held is None:
        return None
    annotations = held["metadata"].get("annotations") or {}
    number = int(annotations.get(RENEW, "0")) + 1
    metadata = {**held["metadata"], "annotations": {**annotations, RENEW: str(number)}}
    renewed = cluster.store(world, CERTIFICATE, {**held, "metadata": metadata})
    return renewed._replace(justified=world.justified + 1)


USERS: Mapping[str, Callable[[World], World | None]] = {
    "recreate": _recreate,
    "delete": _delete,
    "delete secret": _delete_secret,
    "replace secret": _replace_secret,
    "delete pending": _delete_pending,
    "unlabel": _unlabel,
    "rename": _rename,
    "rotate never": _rotate_never,
    "renew": _renew,
}
"""What a user may do, by the names that scenarios call it by."""


def _edited(world: World, held: Object, **spec: Any) -> World:
    metadata = {**held["metadata"], "generation": held["metadata"]["generation"] + 1}
    edited = {**held, "metadata": metadata, "spec": {**held["spec"], **spec}}
    return cluster.store(world, CERTIFICATE, edited)


def orphans(world: World) -> list[tuple[str, str]]:
    """What the garbage collector is about to delete."""
    certificate = find(world, CERTIFICATE)
    uid = certificate["metadata"]["uid"] if certificate else ""
    return [
        where
        for where, number in world.objects
        if (owners := OBJECTS[number]["metadata"].get("ownerReferences"))
        and all(owner["uid"] != uid for owner in owners)
    ]


def _collect(world: World) -> World | None:
    """What goes with a Certificate that a user has deleted is excused, as a deletion of theirs."""
    needs = frozenset(order.need for order in world.orders)
    for where in orphans(world):
        world = cluster.remove(world, where)
    return world._replace(excused=world.excused | needs)


def _fails(world: World, number: int) -> World:
    return _troubled(world, number, failing=True)


def _forgets(world: World, number: int) -> World:
    need = world.orders[number - 1].need
    return _troubled(world, number, forgotten=True)._replace(excused=world.excused | {need})


def _troubled(world: World, number: int, **change: Any) -> World:
    budget = world.budget._replace(trouble=world.budget.trouble - 1)
    order = world.orders[number - 1]._replace(**change)
    return cluster.with_order(world, number, order)._replace(budget=budget)
