"""The Admin API: paths, methods, bodies and what they do to the store, in the order in which Kong does.

The order matters where a call fails half way: names are looked up before a certificate is checked,
names are removed before their certificate, and `If-Match` is looked at after the write (recorded
from Kong 3.9.3; kong/db/dao/{certificates,snis}.lua, kong/api/endpoints.lua).
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from sandbox.emulators.kong import answers, schema
from sandbox.emulators.kong.answers import Reply
from sandbox.emulators.kong.declarative import Declarations
from sandbox.emulators.kong.names import sni_error
from sandbox.emulators.kong.node import Node, NodeState
from sandbox.emulators.kong.schema import KINDS, REFERENCES, Entity
from sandbox.emulators.kong.store import DEFAULT, Store

LARGEST_BODY = 10 << 20
"""Bytes: `nginx_admin_client_max_body_size`."""

_FORM = "application/x-www-form-urlencoded"
_LISTS = ("snis", "tags", "hosts", "paths", "methods", "protocols")
_WRITES = ("POST", "PUT", "PATCH")
_PAGE = 100
_UNMODELLED = frozenset(
    (
        *("acls", "acme", "acme_storage", "basic-auths", "ca_certificates", "consumers", "debug"),
        *("endpoints", "filter-chains", "key-auths", "key-sets", "keys", "plugins", "tags"),
        *("targets", "timers", "upstreams", "vaults"),
    )
)
_Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, taken apart."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    workspace: str = DEFAULT


class Admin:
    """Answers requests to the Admin API."""

    def __init__(self, store: Store, state: NodeState, node: Node) -> None:
        self._store = store
        self._state = state
        self._node = node
        self._declarations = Declarations(store)
        item = {"GET": self._get, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        collection = {"GET": self._list, "POST": self._post}
        certificate: dict[str, _Handler] = {
            "GET": self._get_certificate,
            "PUT": self._put_certificate,
            "PATCH": self._patch_certificate,
            "DELETE": self._delete_certificate,
        }
        config = {"GET": self._get_config, "POST": self._post_config}
        self._resources: list[tuple[tuple[str, ...], dict[str, _Handler]]] = [
            ((), {"GET": lambda _call: node.root()}),
            (("status",), {"GET": lambda _call: node.status()}),
            (("plugins", "enabled"), {"GET": lambda _call: node.plugins()}),
            (("clustering", "data-planes"), {"GET": lambda _call: node.data_planes()}),
            (("clustering", "status"), {"GET": lambda _call: node.cluster_status()}),
            (("workspaces",), {"GET": lambda _call: node.workspaces()}),
            (("workspaces", "*"), {"GET": lambda _call, name: node.workspace(name)}),
            (("config",), config),
            (("tags", "*"), {"GET": self._get_tag}),
            (("schemas", "*", "validate"), {"POST": self._validate}),
            (("certificates",), {"GET": self._list, "POST": self._post_certificate}),
            (("certificates", "*"), certificate),
            (("certificates", "*", "snis"), {"GET": self._list_below, "POST": self._post_below}),
            (("certificates", "*", "services"), {"GET": self._list_below}),
            (("services", "*", "routes"), {"GET": self._list_below, "POST": self._post_below}),
            (("routes", "*", "service"), {"GET": self._get_service}),
        ]
        for kind in ("snis", "routes", "services"):
            self._resources += [((kind,), collection), ((kind, "*"), item)]

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """Answer one request; `target` as it was sent, header names in lower case."""
        try:
            reply = self._answer(method, target, headers, body)
        except answers.Refused as refused:
            reply = refused.reply
        reply = _conditional(reply, headers)
        return replace(reply, body=None, html="") if method == "HEAD" else reply

    def name_of(self, method: str, target: str) -> str:
        """The call's name for journals: its method and its path's pattern, workspace left out."""
        path = _segments(target.partition("?")[0])
        if path and path[0] in self._state.workspaces:
            path = path[1:]
        found = self._resource(path)
        pattern = found[0] if found else path
        return f"{method} /" + "/".join("{}" if part == "*" else part for part in pattern)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if method == "TRACE":
            return answers.page(405)
        raw_path, _, raw_query = target.partition("?")
        path = _segments(raw_path)
        if not self._state.reachable and path != ("status",):
            raise answers.unexpected()
        self._authenticate(headers)
        workspace, path = self._workspace(path)
        found = self._resource(path)
        if found is None:
            if path[0] in _UNMODELLED or (path[0] in KINDS and len(path) > 2):
                raise answers.unmodelled()
            raise answers.not_found()
        pattern, handlers = found
        if method == "OPTIONS":
            return _options(handlers)
        handler = handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            raise answers.message(405, "Method not allowed")
        query: dict[str, str] = {}
        for name, value in parse_qsl(raw_query, keep_blank_values=True):
            query.setdefault(name, value)
        call = Call(
            method=method, path=path, query=query, headers=headers, body=body, workspace=workspace
        )
        parameters = [part for part, wild in zip(path, pattern, strict=True) if wild == "*"]
        return handler(call, *parameters)

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        if not self._state.token:
            return
        given = headers.get("kong-admin-token")
        if given is None:
            text = "Invalid credentials. Token or User credentials required"
            raise answers.message(401, text)
        if not hmac.compare_digest(given.encode(), self._state.token.encode()):
            raise answers.message(401, "Unauthorized")

    def _workspace(self, path: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        if not path or not self._state.workspaces:
            return DEFAULT, path
        if path[0] in self._state.workspaces:
            return path[0], path[1:]
        heads = {pattern[0] for pattern, _ in self._resources if pattern} | _UNMODELLED
        if path[0] in heads:
            return DEFAULT, path
        raise answers.message(404, f"Workspace '{path[0]}' not found")

    def _resource(
        self, path: tuple[str, ...]
    ) -> tuple[tuple[str, ...], dict[str, _Handler]] | None:
        for pattern, handlers in self._resources:
            if len(pattern) == len(path) and all(
                wild in ("*", part) and part for wild, part in zip(pattern, path, strict=True)
            ):
                return pattern, handlers
        return None

    # What all kinds share.

    def _list(self, call: Call) -> Reply:
        kind = call.path[0]
        entities = self._store.all(kind, call.workspace)
        return self._page(call, [self._shown(kind, entity) for entity in entities])

    def _post(self, call: Call) -> Reply:
        return self._insert(call, call.path[0], _given(call))

    def _insert(self, call: Call, kind: str, given: Entity) -> Reply:
        whole = self._whole(kind, given, given.get("id"))
        self._needs_database(f"create '{kind}' entities")
        self._insert_whole(call, kind, whole)
        return Reply(status=201, body=self._shown(kind, whole))

    def _get(self, call: Call, key: str) -> Reply:
        entity = self._find(call, call.path[0], key)
        if entity is None:
            raise answers.not_found()
        return Reply(status=200, body=self._shown(call.path[0], entity))

    def _put(self, call: Call, key: str) -> Reply:
        kind = call.path[0]
        given, found = _given(call), self._find(call, kind, key)
        by_name = not schema.is_uuid(key)
        identifier = found["id"] if found else self._store.new_id() if by_name else key.lower()
        if by_name:
            given = given | {"name": key}
        whole = self._whole(kind, given, identifier)
        self._needs_database(f"create or update '{kind}' entities{_by_name(by_name)}")
        self._check_unique(call, kind, whole)
        self._check_reference(call, kind, whole)
        self._store.put(kind, whole, call.workspace)
        return Reply(status=200, body=self._shown(kind, whole))

    def _patch(self, call: Call, key: str) -> Reply:
        kind = call.path[0]
        given, old = _given(call), self._find(call, kind, key)
        if old is None:
            raise _missing(key)
        whole = self._changed(kind, old, given)
        self._needs_database(f"update '{kind}' entities{_by_name(not schema.is_uuid(key))}")
        self._check_unique(call, kind, whole)
        self._check_reference(call, kind, whole)
        self._store.put(kind, whole, call.workspace)
        return Reply(status=200, body=self._shown(kind, whole))

    def _delete(self, call: Call, key: str) -> Reply:
        kind = call.path[0]
        found = self._find(call, kind, key)
        if found is not None:
            self._needs_database(f"remove '{kind}' entities{_by_name(not schema.is_uuid(key))}")
            self._check_unused(kind, found["id"])
            self._store.remove(kind, found["id"])
        return Reply(status=204)

    def _list_below(self, call: Call, key: str) -> Reply:
        parent, kind = call.path[0], call.path[2]
        found = self._find(call, parent, key)
        if found is None:
            raise answers.not_found()
        entities = self._store.referring(kind, REFERENCES[kind][0], found["id"])
        shown = [self._shown(kind, entity) for entity in entities]
        return self._page(call, sorted(shown, key=lambda entity: str(entity["id"])))

    def _post_below(self, call: Call, key: str) -> Reply:
        kind = call.path[2]
        found = self._find(call, call.path[0], key)
        if found is None:
            raise answers.not_found()
        given = _given(call) | {REFERENCES[kind][0]: {"id": found["id"]}}
        return self._insert(call, kind, given)

    def _get_service(self, call: Call, key: str) -> Reply:
        route = self._find(call, "routes", key)
        service = ((route or {}).get("service") or {}).get("id")
        found = self._store.get("services", service, call.workspace) if service else None
        if found is None:
            raise answers.not_found()
        return Reply(status=200, body=found)

    def _validate(self, call: Call, kind: str) -> Reply:
        if kind not in KINDS:
            if kind in _UNMODELLED:
                raise answers.unmodelled()
            raise answers.message(404, f"No entity named '{kind}'")
        self._whole(kind, _given(call), None)
        return Reply(status=200, body={"message": "schema validation successful"})

    def _get_tag(self, call: Call, tag: str) -> Reply:
        if error := schema.tag_error(tag):
            raise answers.bad_unique("tag", error)
        rows = [
            {"tag": tag, "entity_name": kind, "entity_id": entity["id"]}
            for kind in KINDS
            for entity in self._store.all(kind, call.workspace)
            if tag in (entity["tags"] or ())
        ]
        return self._page(call, rows, key="entity_id")

    # Certificates, whose names are entities of their own.

    def _get_certificate(self, call: Call, key: str) -> Reply:
        return Reply(status=200, body=self._shown("certificates", self._certificate(call, key)))

    def _post_certificate(self, call: Call) -> Reply:
        given = _given(call)
        names = self._names(given, None)
        whole = self._whole("certificates", given, given.get("id"))
        self._needs_database("create 'certificates' entities")
        whole.pop("snis")
        self._insert_whole(call, "certificates", whole)
        self._give_names(call, whole["id"], names or [])
        return Reply(status=201, body=self._shown("certificates", whole))

    def _put_certificate(self, call: Call, key: str) -> Reply:
        given = _given(call)
        if schema.is_uuid(key):
            identifier = key.lower()
        else:
            sni = self._sni(call, key)
            identifier = sni["certificate"]["id"] if sni else self._store.new_id()
            # The name of the path belongs to the certificate only where the body lists names.
            if isinstance(given.get("snis"), list) and key not in given["snis"]:
                given = given | {"snis": [*given["snis"], key]}
        names = self._names(given | {"snis": given.get("snis")}, identifier)
        whole = self._whole("certificates", given, identifier)
        self._needs_database("create or update 'certificates' entities")
        whole.pop("snis")
        self._store.put("certificates", whole, call.workspace)
        self._give_names(call, identifier, names or [])
        return Reply(status=200, body=self._shown("certificates", whole))

    def _patch_certificate(self, call: Call, key: str) -> Reply:
        given = _given(call)
        old = self._certificate(call, key)
        names = self._names(given, old["id"])
        if self._state.dbless and "snis" not in given and self._store.snis_of(old["id"]):
            # It reads the names that it keeps as the records that they are without a database.
            count = len(self._store.snis_of(old["id"]))
            raise answers.violation({"snis": ["expected a string"] * count})
        whole = self._changed("certificates", old, given)
        self._needs_database("update 'certificates' entities")
        whole.pop("snis", None)
        self._store.put("certificates", whole, call.workspace)
        if names is not None:
            self._give_names(call, old["id"], names)
        return Reply(status=200, body=self._shown("certificates", whole))

    def _delete_certificate(self, call: Call, key: str) -> Reply:
        identifier = key.lower() if schema.is_uuid(key) else self._certificate(call, key)["id"]
        if self._store.get("certificates", identifier, call.workspace) is None:
            return Reply(status=204)
        for sni in self._store.snis_of(identifier):
            self._needs_database("remove 'snis' entities by 'name'")
            self._store.remove("snis", sni["id"])
        self._needs_database("remove 'certificates' entities")
        # Too late: the names are gone, and the certificate stays where a service uses it.
        self._check_unused("certificates", identifier)
        self._store.remove("certificates", identifier)
        return Reply(status=204)

    def _certificate(self, call: Call, key: str) -> Entity:
        if schema.is_uuid(key):
            identifier = key.lower()
        else:
            sni = self._sni(call, key)
            if sni is None:
                raise answers.message(404, "SNI not found")
            identifier = str(sni["certificate"]["id"])
        found = self._store.get("certificates", identifier, call.workspace)
        if found is None:
            raise answers.no_such_entity(id=identifier)
        return found

    def _sni(self, call: Call, name: str) -> Entity | None:
        if error := sni_error(name):
            raise answers.bad_unique("name", error)
        return self._store.named("snis", name, call.workspace)

    def _names(self, given: Entity, certificate: str | None) -> list[str] | None:
        """The names that a body gives a certificate, in order; None where it says nothing of them."""
        if "snis" not in given or not isinstance(given["snis"], list | dict | None):
            return None
        names = list(given["snis"] or ()) if isinstance(given["snis"], list) else []
        for position, name in enumerate(names):
            if name in names[:position]:
                raise answers.violation({"snis": f"{name} is duplicated"})
        if not all(isinstance(name, str) for name in names):
            raise answers.unexpected()
        names.sort(key=lambda name: str(name).encode())
        for name in names:
            if error := sni_error(name):
                raise answers.bad_unique("name", error)
            taken = self._store.named("snis", name, None)
            if taken is not None and taken["certificate"]["id"] != certificate:
                owner = taken["certificate"]["id"]
                text = f"{name} already associated with existing certificate '{owner}'"
                raise answers.violation({"snis": text})
        return names

    def _give_names(self, call: Call, certificate: str, names: Iterable[str]) -> None:
        """Give a certificate these names and no other; the ones it has keep their entity."""
        wanted = list(names)
        current = {sni["name"]: sni for sni in self._store.snis_of(certificate)}
        for name in wanted:
            if name not in current:
                given = {"name": name, "certificate": {"id": certificate}}
                self._store.put("snis", self._whole("snis", given, None), call.workspace)
        for name, sni in current.items():
            if name not in wanted:
                self._store.remove("snis", sni["id"])

    # What writes have in common.

    def _find(self, call: Call, kind: str, key: str) -> Entity | None:
        if schema.is_uuid(key):
            return self._store.get(kind, key.lower(), call.workspace)
        if kind == "certificates":
            sni = self._sni(call, key)
            return sni and self._store.get(kind, sni["certificate"]["id"], call.workspace)
        try:
            KINDS[kind].fields["name"].take(key)
        except schema.Wrong as wrong:
            raise answers.bad_unique("name", wrong.errors) from None
        return self._store.named(kind, key, call.workspace)

    def _whole(self, kind: str, given: Entity, identifier: Any) -> Entity:
        """A whole new entity of this body; raises the violations."""
        if kind == "services":
            given = schema.service_url(given)
        taken, errors = schema.read(KINDS[kind], {**given, "id": identifier})
        whole = schema.complete(KINDS[kind], taken, errors)
        schema.check(KINDS[kind], whole, errors)
        if errors:
            raise answers.violation(errors)
        whole["id"] = whole["id"] or self._store.new_id()
        whole["created_at"] = whole["created_at"] or self._store.seconds()
        whole["updated_at"] = self._store.seconds()
        return whole

    def _changed(self, kind: str, old: Entity, given: Entity) -> Entity:
        """An entity with these changes; raises the violations."""
        if kind == "services":
            given = schema.service_url(given)
        taken, errors = schema.read(KINDS[kind], given)
        if taken.get("id") not in (None, old["id"]):
            raise answers.no_such_entity(id=old["id"])
        for name, value in taken.items():
            if value is None and KINDS[kind].fields[name].required:
                errors[name] = schema.MISSING
        whole = old | taken
        schema.check(KINDS[kind], whole, errors)
        if errors:
            raise answers.violation(errors)
        kept = {"id": old["id"], "created_at": taken.get("created_at") or old["created_at"]}
        return whole | kept | {"updated_at": self._store.seconds()}

    def _insert_whole(self, call: Call, kind: str, whole: Entity) -> None:
        if self._store.exists(kind, whole["id"]):
            raise answers.primary_key_taken(whole["id"])
        self._check_unique(call, kind, whole)
        self._check_reference(call, kind, whole)
        self._store.put(kind, whole, call.workspace)

    def _check_unique(self, call: Call, kind: str, whole: Entity) -> None:
        if not KINDS[kind].unique_name or not whole["name"]:
            return
        # The names of certificates are unique across workspaces, all others within one.
        where = None if kind == "snis" else call.workspace
        taken = self._store.named(kind, whole["name"], where)
        if taken is not None and taken["id"] != whole["id"]:
            raise answers.name_taken(whole["name"])

    def _check_reference(self, call: Call, kind: str, whole: Entity) -> None:
        if kind not in REFERENCES:
            return
        field, parent = REFERENCES[kind]
        reference = whole[field]
        if reference is None:
            return
        found = None
        if "id" in reference:
            found = self._store.get(parent, reference["id"], call.workspace)
        elif "name" in reference:
            found = self._store.named(parent, reference["name"], call.workspace)
        if found is None:
            raise answers.unknown_reference(field, reference, parent)
        whole[field] = {"id": found["id"]}

    def _check_unused(self, kind: str, identifier: str) -> None:
        for child, (field, parent) in REFERENCES.items():
            if parent == kind and any(self._store.referring(child, field, identifier)):
                raise answers.referenced(kind, child)

    def _needs_database(self, operation: str) -> None:
        if self._state.dbless:
            raise answers.without_database(operation)

    def _shown(self, kind: str, entity: Entity) -> Entity:
        shown = dict(entity)
        if kind == "certificates":
            shown["snis"] = [sni["name"] for sni in self._store.snis_of(entity["id"])]
        return shown

    def _page(self, call: Call, rows: list[Entity], *, key: str = "id") -> Reply:
        """A page of rows that are sorted by `key`."""
        size = _size(call.query.get("size"))
        if "offset" in call.query:
            after = _offset(call.query["offset"])
            rows = [row for row in rows if row[key] > after]
        if "tags" in call.query:
            wanted = _tag_filter(call.query["tags"])
            rows = [row for row in rows if wanted(set(row.get("tags") or ()))]
        if len(rows) <= size:
            return Reply(status=200, body={"data": rows, "next": None})
        offset = base64.urlsafe_b64encode(json.dumps([rows[size - 1][key]]).encode())
        text = offset.decode().rstrip("=")
        below = "/".join(quote(part, safe="*") for part in call.path)
        following = f"/{below}?offset={text}"
        if len(call.path) == 1:
            # Below an entity the size is forgotten, and pages are of the default size again.
            if "tags" in call.query:
                following += "&tags=" + quote(call.query["tags"], safe="")
            if "size" in call.query:
                following += f"&size={size}"
        return Reply(status=200, body={"data": rows[:size], "offset": text, "next": following})

    # Without a database.

    def _get_config(self, _call: Call) -> Reply:
        self._without_database_only()
        return Reply(status=200, body={"config": self._declarations.text()})

    def _post_config(self, call: Call) -> Reply:
        self._without_database_only()
        kind = call.headers.get("content-type", "")
        if kind.startswith(("text/yaml", "application/yaml")):
            given: Any = call.body.decode("utf-8", "replace")
        else:
            body = _given(call)
            given = body.get("config", body)
        check_hash = call.query.get("check_hash") in ("1", "true")
        return self._declarations.load(given, self._whole, check_hash=check_hash)

    def _without_database_only(self) -> None:
        if not self._state.dbless:
            text = "this endpoint is only available when Kong is configured to not use a database"
            raise answers.message(400, text)


def _segments(raw_path: str) -> tuple[str, ...]:
    """The parts of a path; one slash at its end is forgiven, an empty part never matches."""
    parts = [unquote(part) for part in raw_path.split("/")[1:]]
    if parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _given(call: Call) -> Entity:
    """The body's object, as Kong reads it."""
    content_type = call.headers.get("content-type")
    if not call.body and not (content_type and call.method in _WRITES):
        return {}
    kind = content_type or ""
    if kind.startswith("application/json"):
        return _json(call.body)
    if kind.startswith(_FORM):
        return _form(call.body)
    if kind.startswith("multipart/form-data"):
        raise answers.unmodelled()
    raise answers.Refused(answers.page(415))


def _json(body: bytes) -> Entity:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise answers.message(400, "Cannot parse JSON body") from None
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise answers.unexpected()
    return value


def _form(body: bytes) -> Entity:
    given: Entity = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        if found := re.fullmatch(r"(\w+)\[\d*\]", name):
            given.setdefault(found.group(1), []).append(value)
        elif name in _LISTS:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return given


def _conditional(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """What nginx makes of conditions on an answer without ETag: after the write, too late for it."""
    if reply.status != 200:
        return reply
    if headers.get("if-match", "*") != "*" or "if-unmodified-since" in headers:
        return answers.page(412)
    if headers.get("if-none-match") == "*":
        return Reply(status=304)
    return reply


def _options(handlers: Mapping[str, _Handler]) -> Reply:
    allowed = ", ".join(sorted({*handlers, "HEAD", "OPTIONS"}))
    headers = {
        "Allow": allowed,
        "Access-Control-Allow-Methods": allowed,
        "Access-Control-Allow-Headers": "Content-Type",
    }
    return Reply(status=204, headers=headers)


def _missing(key: str) -> answers.Refused:
    if schema.is_uuid(key):
        return answers.no_such_entity(id=key.lower())
    return answers.no_such_entity(name=key)


def _by_name(by_name: bool) -> str:
    return " by 'name'" if by_name else ""


def _size(given: str | None) -> int:
    if given is None:
        return _PAGE
    try:
        size = float(given)
    except ValueError:
        raise answers.bad_size("size must be a number") from None
    if size != size or not 1 <= size <= 1000 or size != int(size):
        raise answers.bad_size("size must be an integer between 1 and 1000")
    return int(size)


def _offset(given: str) -> str:
    try:
        decoded = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        raise answers.bad_offset(given, "bad base64 encoding") from None
    try:
        after = json.loads(decoded)[0]
    except (ValueError, LookupError, TypeError):
        raise answers.bad_offset(given, "bad json encoding") from None
    if not isinstance(after, str) or not schema.is_uuid(after):
        raise answers.unexpected()
    return after


def _tag_filter(given: str) -> Callable[[set[str]], bool]:
    if not given:
        raise answers.bad_tags("cannot be null")
    if ("," in given and "/" in given) or not given.strip(",/"):
        raise answers.bad_tags("invalid filter syntax")
    if "/" in given:
        any_of = set(given.split("/"))
        return lambda tags: bool(tags & any_of)
    all_of = set(given.split(","))
    return lambda tags: all_of <= tags
