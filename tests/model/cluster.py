"""What the API server and the CA do with a call, and the invariants that every call is held to.

Server-side apply, status patches and deletions follow protocols.md section 1 (rows 1, 2, 5), as far
as a pass over a Certificate uses them. Each answer is a value for the pass, or `Raised`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from certfront.issuance.acme.problems import Operation
from tests import merge_patch
from tests.model import authority
from tests.model.state import (
    CERTIFICATE,
    MARKER,
    NAMESPACE,
    OBJECTS,
    SECRET,
    SITE,
    WATCHED,
    Call,
    Event,
    Object,
    Order,
    Raised,
    Violation,
    Where,
    World,
    find,
    get,
    put,
)

Answer = Any


def execute(world: World, call: Call) -> tuple[World, Answer]:
    """The world after the call, and its answer. Raises Violation."""
    if call.to == "ca":
        return _CA[call.what](world, *call.args)
    return _API[call.what](world, *call.args)


def check(world: World) -> None:
    """Hold a state to the invariants about what is stored. Raises Violation."""
    _pair_is_atomic(world)
    _open_key_is_stored(world)


# The API server


def _get(world: World, kind: str, name: str) -> tuple[World, Answer]:
    held = get(world.objects, (kind, name))
    return world, Raised("NotFound") if held is None else held


def _create(world: World, kind: str, name: str, body: int) -> tuple[World, Answer]:
    if get(world.objects, (kind, name)) is not None:
        return world, Raised("AlreadyExists")
    return _written(world, (kind, name), _born(world, OBJECTS[body]))


def _apply(world: World, kind: str, name: str, number: int, force: bool) -> tuple[World, Answer]:
    body: Object = OBJECTS[number]
    metadata = body["metadata"]
    version, uid = metadata.get("resourceVersion"), metadata.get("uid")
    held = find(world, (kind, name))
    if held is None:
        if uid is not None:
            return world, Raised("Conflict")
        return _written(world, (kind, name), _born(world, body))
    if version is not None and version != held["metadata"]["resourceVersion"]:
        return world, Raised("Conflict")
    if uid is not None and uid != held["metadata"]["uid"]:
        return world, Raised("Invalid")
    if not force and not is_ours(held):
        return world, Raised("Conflict")
    _may_be_written(held, f"applied over {name}")
    return _written(world, (kind, name), _merged(held, body))


def _status(
    world: World, kind: str, name: str, uid: str, version: str | None, patch: int
) -> tuple[World, Answer]:
    held = find(world, (kind, name))
    if held is None:
        return world, Raised("NotFound")
    if version is not None and version != held["metadata"]["resourceVersion"]:
        return world, Raised("Conflict")
    if held["metadata"]["uid"] != uid:
        raise Violation("NoForeignWrite", "a status landed in another incarnation of the object")
    merged = {**held, "status": merge_patch.merged(held.get("status"), OBJECTS[patch])}
    before, now = (o.get("status", {}).get("revision", 0) for o in (held, merged))
    if now < before:
        raise Violation("RevisionMonotone", f"status.revision went from {before} to {now}")
    world = _note_attempt(_note_recorded(world, merged), held, merged)
    return _written(world, (kind, name), merged)


def _delete(
    world: World, kind: str, name: str, uid: str | None, version: str | None
) -> tuple[World, Answer]:
    held = find(world, (kind, name))
    if held is None:
        return world, Raised("NotFound")
    metadata = held["metadata"]
    if uid not in (None, metadata["uid"]) or version not in (None, metadata["resourceVersion"]):
        return world, Raised("Conflict")
    labels = metadata.get("labels") or {}
    if labels.get(WATCHED) != "pending" or not is_ours(held):
        raise Violation("NoForeignWrite", f"{kind} {name} was deleted")
    return remove(world, (kind, name)), None


_API: Mapping[str, Any] = {
    "get": _get,
    "create": _create,
    "apply": _apply,
    "status": _status,
    "delete": _delete,
}


def _written(world: World, where: Where, obj: Object) -> tuple[World, Answer]:
    if where == SECRET:
        world = _tls_written(world, obj)
    world = store(world, where, obj)
    return world, get(world.objects, where)


def store(world: World, where: Where, obj: Object) -> World:
    """Store an object as it is, with its next version, and tell the watches. The same is no write."""
    before = find(world, where)
    if before is not None and _same(before, obj):
        return world
    version = (get(world.versions, where) or 0) + 1
    metadata = {**obj["metadata"], "resourceVersion": str(version)}
    after_ = {**obj, "metadata": metadata}
    world = world._replace(
        objects=put(world.objects, where, OBJECTS.number(after_)),
        versions=put(world.versions, where, version),
    )
    return _tell(world, where[0], before, after_)


def remove(world: World, where: Where) -> World:
    """Delete an object, and tell the watches."""
    before = find(world, where)
    assert before is not None
    version = (get(world.versions, where) or 0) + 1
    world = world._replace(
        objects=put(world.objects, where, None), versions=put(world.versions, where, version)
    )
    return _tell(world, where[0], before, None)


def born(world: World, where: Where, obj: Object) -> World:
    """Create an object with a uid of its own."""
    return store(world, where, _born(world, obj, where))


def watched(kind: str, obj: Object | None) -> bool:
    """Whether the operators' watches see it."""
    if obj is None:
        return False
    return kind != "Secret" or WATCHED in (obj["metadata"].get("labels") or {})


def _tell(world: World, kind: str, before: Object | None, now: Object | None) -> World:
    seen, seen_now = watched(kind, before), watched(kind, now)
    if not seen and not seen_now:
        return world
    type_ = ("MODIFIED" if seen else "ADDED") if seen_now else "DELETED"
    event = Event(kind, type_, OBJECTS.number(now if now is not None else before))
    told = tuple(o._replace(pending=(*o.pending, event)) for o in world.operators)
    return world._replace(operators=told)


def _same(one: Object, other: Object) -> bool:
    def bare(obj: Object) -> Object:
        metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
        return {**obj, "metadata": metadata}

    return bare(one) == bare(other)


def _born(world: World, body: Object, where: Where | None = None) -> Object:
    kind, name = where or ("Secret", body["metadata"]["name"])
    version = (get(world.versions, (kind, name)) or 0) + 1
    metadata = {k: v for k, v in body["metadata"].items() if k != "resourceVersion"}
    uid = f"{kind}-{name}-{version}"
    made = {"apiVersion": "v1", "kind": kind, **body}
    return {**made, "metadata": {"namespace": NAMESPACE, **metadata, "uid": uid}}


def _merged(held: Object, body: Object) -> Object:
    """What we apply wins; what others have put beside it stays."""
    mine, theirs = body["metadata"], held["metadata"]
    metadata = {
        **theirs,
        "labels": {**(theirs.get("labels") or {}), **(mine.get("labels") or {})},
        "annotations": {**(theirs.get("annotations") or {}), **(mine.get("annotations") or {})},
    }
    return {**held, "metadata": metadata, "data": {**held.get("data", {}), **body.get("data", {})}}


# What is held of the stored


def is_ours(secret: Object) -> bool:
    """Whether the Secret's annotation names the Certificate."""
    annotations = secret["metadata"].get("annotations") or {}
    return bool(annotations.get(MARKER) == f"{NAMESPACE}/{SITE}")


def _may_be_written(held: Object, what: str) -> None:
    if not is_ours(held):
        raise Violation("NoForeignWrite", f"a foreign object was {what}")
    if held.get("immutable"):
        raise Violation("KeyBeforeRequest", f"{what}: the stored key of an order was replaced")


def _tls_written(world: World, obj: Object) -> World:
    """A write of ours to the TLS Secret: its revision never falls, and says whose need it is."""
    annotations = obj["metadata"]["annotations"]
    revision = int(annotations["certfront.io/revision"])
    held = find(world, SECRET)
    same_pair = held is not None and held.get("data") == obj.get("data")
    if revision < world.revision or (revision == world.revision and not same_pair):
        raise Violation(
            "RevisionMonotone", f"revision {revision} was written after {world.revision}"
        )
    crt = base64.b64decode(obj["data"]["tls.crt"])
    number = authority.serial_of(crt)
    ordered = world.orders[number - 1]
    if ordered.need != annotations["certfront.io/need"]:
        raise Violation("PairAtomic", "the Secret names another need than its certificate is for")
    return world._replace(revision=revision)


def _pair_is_atomic(world: World) -> None:
    secret = find(world, SECRET)
    if secret is None or not is_ours(secret):
        return
    crt, key = (base64.b64decode(secret["data"].get(f"tls.{part}", "")) for part in ("crt", "key"))
    if authority.public_key_of_certificate(crt) != authority.public_key_of_key(key):
        raise Violation("PairAtomic", "the Secret's key is not that of its certificate")


def _open_key_is_stored(world: World) -> None:
    """The key of a finalized order is in a Secret as long as status names that order."""
    certificate = find(world, CERTIFICATE)
    order = ((certificate or {}).get("status") or {}).get("order") or {}
    url = order.get("orderURL")
    if not url:
        return
    ordered = world.orders[authority.number_of(url) - 1]
    if not ordered.finalized or ordered.need in world.excused:
        return
    if ordered.public_key not in _stored_keys(world):
        raise Violation("KeyBeforeRequest", "the key of the open order is in no Secret any more")


def _stored_keys(world: World) -> set[bytes]:
    found = set()
    for (kind, _), number in world.objects:
        key = OBJECTS[number].get("data", {}).get("tls.key") if kind == "Secret" else None
        if key:
            found.add(authority.public_key_of_key(base64.b64decode(key)))
    return found


def _note_recorded(world: World, certificate: Object) -> World:
    url = (certificate["status"].get("order") or {}).get("orderURL")
    if not url:
        return world
    number = authority.number_of(url)
    return with_order(world, number, world.orders[number - 1]._replace(recorded=True))


def _note_attempt(world: World, before: Object, now: Object) -> World:
    """An attempt that has come to its end, whichever, is never begun again under its number."""
    was, is_ = (str((o.get("status", {}).get("order") or {}).get("id", "")) for o in (before, now))
    if is_ in world.ended:
        raise Violation("BoundedOrders", f"attempt {is_} is claimed again after its end")
    return world._replace(ended=world.ended | {was}) if was not in ("", is_) else world


# The CA


def with_order(world: World, number: int, order: Order) -> World:
    """The world with another value for the order `number`, counted from 1."""
    orders = (*world.orders[: number - 1], order, *world.orders[number:])
    return world._replace(orders=orders)


def _known(world: World, url: str) -> tuple[int, Order]:
    number = authority.number_of(url)
    return number, world.orders[number - 1]


def _new_order(world: World, need: str, names: tuple[str, ...]) -> tuple[World, Answer]:
    order = Order(need=need, names=names)
    world = world._replace(orders=(*world.orders, order))
    return world, authority.order(len(world.orders), order)


def _read_order(world: World, url: str) -> tuple[World, Answer]:
    number, order = _known(world, url)
    if order.forgotten:
        return world, Raised("Lost", Operation.READ_ORDER)
    return world, authority.order(number, order)


def _read_authorization(world: World, url: str) -> tuple[World, Answer]:
    number, order = _known(world, url)
    if order.forgotten:
        return world, Raised("Lost", Operation.READ_AUTHORIZATION)
    return world, authority.authorization(number, order)


def _start(world: World, url: str) -> tuple[World, Answer]:
    number, order = _known(world, url)
    if order.status == "pending":
        status = "validating" if order.failing else "ready"
        order = order._replace(status=status)
        world = with_order(world, number, order)
    return world, authority.authorization(number, order).challenges[0]


def _finalize(world: World, need: str, url: str, key: bytes) -> tuple[World, Answer]:
    number, order = _known(world, url)
    if order.forgotten:
        return world, Raised("Lost", Operation.FINALIZE)
    if order.status != "ready":
        return world, Raised("orderNotReady")
    if not order.recorded:
        raise Violation("RecordedBeforeFinalize", f"order {number} is finalized, and in no status")
    if key not in _stored_keys(world) and need not in world.excused:
        raise Violation("KeyBeforeRequest", f"the key of order {number} is in no Secret")
    if need != order.need:
        raise Violation("OneFinalized", f"order {number} is finalized for another need")
    if need not in world.excused and any(
        other.finalized and other.need == need for other in world.orders
    ):
        raise Violation("OneFinalized", f"order {number} is the second one of its need")
    order = order._replace(status="processing", finalized=True, public_key=key)
    world = with_order(world, number, order)
    return world, authority.order(number, order)


def _download(world: World, url: str) -> tuple[World, Answer]:
    number, order = _known(world, url)
    if order.forgotten:
        return world, Raised("Lost", Operation.DOWNLOAD)
    return world, authority.chain(number, order.names, order.public_key)


def _make_key(world: World) -> tuple[World, Answer]:
    world = world._replace(keys=world.keys + 1)
    return world, authority.key_pem(world.keys)


_CA: Mapping[str, Any] = {
    "newOrder": _new_order,
    "readOrder": _read_order,
    "readAuthorization": _read_authorization,
    "start": _start,
    "finalize": _finalize,
    "download": _download,
    "makeKey": _make_key,
}


def ca_works(world: World) -> World:
    """What the CA has done by the time somebody asks again."""
    done = {"processing": "valid", "validating": "invalid"}
    orders = tuple(o._replace(status=done.get(o.status, o.status)) for o in world.orders)
    return world._replace(orders=orders)
