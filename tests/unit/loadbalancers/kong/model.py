"""A small Kong in memory with the methods of `AdminAPI`: names are unique, a PUT replaces names.

It keeps what a Kong keeps and refuses what matters here; the strict stand-in is sandbox/emulators/kong.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import NotYet
from certfront.loadbalancers.kong.admin import (
    CertificateRecord,
    Holder,
    NameInUse,
    NameRecord,
    RouteRecord,
)


class ModelKong:
    """`stored` are certificates, `snis` lead to them, `calls` is what was asked, in order."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.snis: dict[str, str] = {}
        self.all_routes: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.elsewhere: set[str] = set()
        self._ids = itertools.count(1)

    # --- what tests do as someone else

    def add_foreign(self, *names: str, tags: tuple[str, ...] = (), cert: str = "x") -> str:
        key = f"00000000-0000-4000-8000-{next(self._ids):012d}"
        self.stored[key] = {"cert": cert, "tags": tags}
        self.snis.update(dict.fromkeys(names, key))
        return key

    def add_route(self, name: str, **fields: Any) -> str:
        key = f"00000000-0000-4000-9000-{next(self._ids):012d}"
        self.all_routes[key] = {
            "name": name,
            "protocols": ["http", "https"],
            "https_redirect_status_code": 426,
            "tags": None,
            **fields,
        }
        return key

    def writes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("GET")]

    # --- AdminAPI

    async def check_database(self) -> None:
        self.calls.append("GET /")

    async def certificates(self, tag: str) -> list[CertificateRecord]:
        self.calls.append("GET /certificates")
        return [self._record(key) for key, c in self.stored.items() if tag in (c["tags"] or ())]

    async def certificate(self, key: str) -> CertificateRecord | None:
        self.calls.append("GET /certificates/{}")
        return self._record(key) if key in self.stored else None

    async def put_certificate(self, key: str, body: Mapping[str, Any]) -> None:
        self.calls.append("PUT /certificates/{}")
        self._check_names(key, body.get("snis", ()))
        self.stored[key] = {"cert": None, "cert_alt": None, "tags": None} | _fields(body)
        self._set_names(key, body.get("snis", ()))

    async def patch_certificate(self, key: str, body: Mapping[str, Any]) -> None:
        self.calls.append("PATCH /certificates/{}")
        if key not in self.stored:
            raise NotYet(reasons.APPLYING, "gone")
        self._check_names(key, body.get("snis", ()))
        self.stored[key] |= _fields(body)
        if "snis" in body:
            self._set_names(key, body["snis"])

    async def delete_certificate(self, key: str) -> None:
        self.calls.append("DELETE /certificates/{}")
        self._set_names(key, ())
        self.stored.pop(key, None)

    async def names(self) -> list[NameRecord]:
        self.calls.append("GET /snis")
        return [NameRecord(name=n, certificate=Holder(key)) for n, key in self.snis.items()]

    async def name(self, name: str) -> NameRecord | None:
        self.calls.append("GET /snis/{}")
        key = self.snis.get(name)
        return None if key is None else NameRecord(name=name, certificate=Holder(key))

    async def put_name(self, name: str, certificate_id: str) -> None:
        self.calls.append("PUT /snis/{}")
        if certificate_id not in self.stored:
            raise NotYet(reasons.APPLYING, "gone")
        self.snis[name] = certificate_id

    async def routes(self, tag: str) -> list[RouteRecord]:
        self.calls.append("GET /routes")
        return [self._route(k) for k, r in self.all_routes.items() if tag in (r["tags"] or ())]

    async def route(self, key: str) -> RouteRecord | None:
        self.calls.append("GET /routes/{}")
        found = [k for k, r in self.all_routes.items() if key in (k, r["name"])]
        return self._route(found[0]) if found else None

    async def patch_route(self, key: str, body: Mapping[str, Any]) -> None:
        self.calls.append("PATCH /routes/{}")
        self.all_routes[key] |= dict(body)

    async def close(self) -> None:
        """There is nothing to close."""

    def _check_names(self, key: str, names: Any) -> None:
        for name in names:
            if name in self.elsewhere or self.snis.get(name, key) != key:
                raise NameInUse(name)

    def _set_names(self, key: str, names: Any) -> None:
        for name in [n for n, holder in self.snis.items() if holder == key and n not in names]:
            del self.snis[name]
        self.snis.update(dict.fromkeys(names, key))

    def _record(self, key: str) -> CertificateRecord:
        kept = self.stored[key]
        return CertificateRecord(
            id=key,
            cert=kept["cert"],
            cert_alt=kept.get("cert_alt"),
            tags=None if kept["tags"] is None else tuple(kept["tags"]),
            snis=tuple(sorted(n for n, holder in self.snis.items() if holder == key)),
        )

    def _route(self, key: str) -> RouteRecord:
        kept = self.all_routes[key]
        return RouteRecord(
            id=key,
            name=kept["name"],
            protocols=tuple(kept["protocols"]),
            https_redirect_status_code=kept["https_redirect_status_code"],
            tags=None if kept["tags"] is None else tuple(kept["tags"]),
        )


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a body; keys are not."""
    return {name: body[name] for name in ("cert", "cert_alt", "tags") if name in body}
