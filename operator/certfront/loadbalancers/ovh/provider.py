"""One OVH IP Load Balancing service, driven by the reconciler: reads it, and takes single steps.

What it keeps between passes is a cache and no more: facts of certificates that never change for an id,
what was live when nothing was pending, and which tasks are whose. A fresh process finds the same from
names, fingerprints and claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Unavailable
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.ovh import orders, places, plan
from certfront.loadbalancers.ovh.client import Absent, Client, Farm, Frontend, OVHTask, Route, Ssl
from certfront.loadbalancers.ovh.state import (
    Act,
    Apply,
    ChangeFrontend,
    ChangeRoute,
    CreateFrontend,
    CreateRoute,
    Live,
    Looked,
    LookUp,
    Observed,
    Order,
    Refresh,
    RemoveCertificate,
    RemoveFrontend,
    RemoveRoute,
    RenameCertificate,
    SetDefault,
    Upload,
)
from certfront.loadbalancers.ovh.stock import BUILT
from certfront.loadbalancers.protocol import CertificateSource, Operation, Plan, Wish
from certfront.pki import certificates, keys

REFRESH: Final = "refreshIplb"
ORDER: Final = "orderFreeCertificate"

_CLAIM_SKEW: Final = timedelta(minutes=5)


class OVHProvider:
    """Implements `protocol.Provider` for one service."""

    def __init__(self, client: Client, scope: Scope) -> None:
        self._client = client
        self._scope = scope
        self._certificates: dict[int, Ssl] = {}
        self._farms: dict[int, Farm] = {}
        self._live: Live | None = None
        self._refresh: Refresh | None = None
        self._ordered: dict[CertificateSource, int] = {}
        self._ended: dict[int, OVHTask] = {}

    async def close(self) -> None:
        """Let connections go."""
        await self._client.close()

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """See `plan.plan`."""
        return plan.plan(wish, observed, self._scope)

    # --- reading

    async def observe(self, wish: Wish) -> Observed:
        """The whole service: about ten calls, and one for each frontend and each new certificate."""
        try:
            return await self._observe(wish)
        except Absent:
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE, "OVH's API does not know a call that is needed."
            ) from None

    async def _observe(self, wish: Wish) -> Observed:
        service = await self._client.service()
        managed = [binding for _, binding in wish.bindings() if binding.managed is not None]
        found = await self._read_certificates(fresh=bool(managed))
        frontends = await self._read_frontends()
        routed = self._needs_routes(wish, frontends.values())
        routes = await self._read_routes() if routed else {}
        farms = await self._find_farms(_farm_names(wish))
        tasks = await self._read_orders(orders.earliest_claim(wish)) if managed else {}
        refresh = await self._read_refresh()
        pending = bool(await self._client.pending_changes())
        self._refresh = refresh
        live = self._keep_live(
            found, frontends, routes, applied=not pending and not (refresh and refresh.is_open)
        )
        return Observed(
            service=service,
            certificates=found,
            frontends=frontends,
            routes=routes,
            orders=tasks,
            ordered=dict(self._ordered),
            looked=Looked(farms=farms, routes=routed, orders=bool(managed)),
            live=live,
            pending=pending,
            refresh=refresh,
        )

    async def look(self, wish: Wish, observed: Observed) -> Observed:
        """Follow open tasks by their ids; everything is read only when one has ended."""
        refresh = observed.refresh
        if refresh is not None and refresh.is_open:
            task = await self._task(refresh.task.id)
            if task is None or task.status not in ("todo", "doing"):
                return await self.observe(wish)
            refresh = replace(refresh, task=task)
            self._refresh = refresh
        tasks = dict(observed.orders)
        for task_id, known in observed.orders.items():
            if known.status in ("todo", "doing"):
                task = await self._task(task_id)
                if task is None or task.status not in ("todo", "doing"):
                    return await self.observe(wish)
                tasks[task_id] = task
        moved = replace(observed, refresh=refresh, orders=tasks)
        return moved if moved.refreshing or _any_open(tasks) else await self.observe(wish)

    async def _read_certificates(self, *, fresh: bool) -> dict[int, Ssl]:
        """All certificates; one call, and one for each that is new.

        Those that OVH issues may be renewed or lose their routing: they are read anew if `fresh`.
        """
        ids = await self._client.certificates()
        kept = {}
        for ssl_id in ids:
            known = self._certificates.get(ssl_id)
            if known is None or (fresh and known.type in BUILT):
                try:
                    known = await self._client.certificate(ssl_id)
                except Absent:
                    continue
            kept[ssl_id] = known
        self._certificates = kept
        return dict(sorted(kept.items()))

    async def _read_frontends(self) -> dict[int, Frontend]:
        found = {}
        for frontend_id in sorted(await self._client.frontends()):
            try:
                found[frontend_id] = await self._client.frontend(frontend_id)
            except Absent:
                continue
        return found

    def _needs_routes(self, wish: Wish, frontends: Iterable[Frontend]) -> bool:
        """Whether there may be routes of ours, or some are wanted."""
        return any(
            listener.manage == "Listener" and places.redirect(listener) is not None
            for listener in wish.listeners
        ) or any(
            not one.ssl and self._scope.mark(one.display_name or "") is not None
            for one in frontends
        )

    async def _read_routes(self) -> dict[int, Route]:
        """Our routes; the list tells their names, so that others' are not read."""
        found = {}
        for one in await self._client.defined_routes():
            if one.type == "http" and self._scope.mark(one.display_name or "") is not None:
                try:
                    found[one.route_id] = await self._client.route(one.route_id)
                except Absent:
                    continue
        return dict(sorted(found.items()))

    async def _find_farms(self, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Ids of the farms of each id or display name; an id goes before a name.

        Farms that have the name are read anew, all of them where none has it (any more), and else
        only those that are not known yet.
        """
        wanted = sorted(names)
        if not wanted:
            return {}
        ids = await self._client.farms()
        self._farms = {one: farm for one, farm in self._farms.items() if one in ids}
        fresh: set[int] = set()
        found: dict[str, tuple[int, ...]] = {}
        for name in wanted:
            if name.isdecimal() and int(name) in ids:
                found[name] = (int(name),)
                continue
            known = self._named(name)
            await self._read_farms(
                [one for one in ids if one not in self._farms or one in known], fresh
            )
            if not self._named(name):
                await self._read_farms(ids, fresh)
            found[name] = self._named(name)
        return found

    async def _read_farms(self, ids: Iterable[int], fresh: set[int]) -> None:
        for farm_id in ids:
            if farm_id in fresh:
                continue
            fresh.add(farm_id)
            try:
                self._farms[farm_id] = await self._client.farm(farm_id)
            except Absent:
                self._farms.pop(farm_id, None)

    def _named(self, name: str) -> tuple[int, ...]:
        return tuple(sorted(one for one, farm in self._farms.items() if farm.display_name == name))

    async def _read_orders(self, since: datetime | None) -> dict[int, OVHTask]:
        """Orders that are open, that began since the oldest claim, or that this process began."""
        ids = set(await self._client.tasks(ORDER, status="todo"))
        ids |= set(await self._client.tasks(ORDER, status="doing"))
        if since is not None:
            ids |= set(await self._client.tasks(ORDER, since=since - _CLAIM_SKEW))
        ids |= set(self._ordered.values())
        found = {}
        for task_id in sorted(ids):
            # One that has ended does not change; it disappears, and its end is still told.
            task = self._ended.get(task_id) or await self._task(task_id)
            if task is not None:
                found[task_id] = task
        self._ended = {
            task_id: task
            for task_id, task in found.items()
            if task.status in ("done", "error", "cancelled")
        }
        self._ordered = {
            source: task_id for source, task_id in self._ordered.items() if task_id in found
        }
        return found

    async def _read_refresh(self) -> Refresh | None:
        """The refresh that is open, else the last that this process knows."""
        open_ones = [
            *await self._client.tasks(REFRESH, status="todo"),
            *await self._client.tasks(REFRESH, status="doing"),
        ]
        known = self._refresh
        if open_ones:
            task = await self._task(min(open_ones))
            if task is not None:
                about = known.about if known is not None and known.task.id == task.id else None
                return Refresh(task=task, about=about or frozenset())
        if known is None or known.task.status in ("done", "error", "cancelled"):
            return known
        task = await self._task(known.task.id)
        return None if task is None else replace(known, task=task)

    async def _task(self, task_id: int) -> OVHTask | None:
        """None for one that has disappeared."""
        try:
            return await self._client.task(task_id)
        except Absent:
            return None

    def _keep_live(
        self,
        found: Mapping[int, Ssl],
        frontends: Mapping[int, Frontend],
        routes: Mapping[int, Route],
        *,
        applied: bool,
    ) -> Live:
        """What is live: all of it if nothing is pending, else what was live before."""
        if applied:
            live = Live(certificates=frozenset(found), frontends=frontends, routes=routes)
        else:
            live = self._live or Live()
        self._live = live
        return live

    # --- acting

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """Do one step. What is there then is told from the answers, without reading it again."""
        try:
            return await self._step(operation.act, observed)
        except Absent:
            raise Unavailable(
                reasons.PROVIDER_UNAVAILABLE,
                "What was to be changed is not there any more; it is looked at anew.",
            ) from None

    async def _step(self, step: Act, observed: Observed) -> Observed:
        match step:
            case LookUp() as act:
                return await self._look_up(act, observed)
            case Apply() as act:
                return await self._apply(act, observed)
            case Order() as act:
                return await self._order(act, observed)
            case Upload() | RenameCertificate() | RemoveCertificate() as act:
                return await self._certificate_step(act, observed)
            case CreateRoute() | ChangeRoute() | RemoveRoute() as act:
                return await self._route_step(act, observed)
            case CreateFrontend() | ChangeFrontend() | SetDefault() | RemoveFrontend() as act:
                return await self._frontend_step(act, observed)

    async def _look_up(self, act: LookUp, observed: Observed) -> Observed:
        looked, routes, tasks = observed.looked, observed.routes, observed.orders
        farms = {**looked.farms, **await self._find_farms(act.farms)}
        live = observed.live
        if act.routes:
            routes = await self._read_routes()
            if not observed.pending and not observed.refreshing:
                live = replace(live, routes=routes)
        if act.orders:
            tasks = await self._read_orders(None)
        return replace(
            observed,
            routes=routes,
            orders=tasks,
            live=live,
            looked=Looked(
                farms=farms,
                routes=looked.routes or act.routes,
                orders=looked.orders or act.orders,
            ),
        )

    async def _certificate_step(
        self, act: Upload | RenameCertificate | RemoveCertificate, observed: Observed
    ) -> Observed:
        held = dict(observed.certificates)
        match act:
            case Upload():
                ssl = await self._upload(act)
                held[ssl.id] = ssl
            case RenameCertificate():
                await _unless_absent(self._client.rename_certificate(act.ssl_id, act.name))
                held[act.ssl_id] = msgspec.structs.replace(held[act.ssl_id], display_name=act.name)
            case RemoveCertificate():
                current = await self._current(act.ssl_id)
                if current is None or self._scope.mark(current.display_name or "") is not None:
                    await self._client.delete_certificate(act.ssl_id)
                    held.pop(act.ssl_id, None)
                else:
                    held[act.ssl_id] = current
        self._certificates = held
        changed = not isinstance(act, RenameCertificate)
        return replace(
            observed,
            certificates=dict(sorted(held.items())),
            pending=observed.pending or changed,
        )

    async def _upload(self, act: Upload) -> Ssl:
        """Key in PKCS #8 or as it came, the leaf, and its issuers apart from it."""
        pair = act.pair
        return await self._client.upload(
            certificate=certificates.to_pem(pair.chain[:1]).decode(),
            chain=certificates.to_pem(pair.chain[1:]).decode() if pair.chain[1:] else "",
            key=keys.to_pem(pair.private_key).decode(),
            display_name=act.name,
        )

    async def _current(self, ssl_id: int) -> Ssl | None:
        """As it is now: nothing is removed that someone has renamed since it was read."""
        try:
            return await self._client.certificate(ssl_id)
        except Absent:
            return None

    async def _frontend_step(
        self,
        act: CreateFrontend | ChangeFrontend | SetDefault | RemoveFrontend,
        observed: Observed,
    ) -> Observed:
        held, routes = dict(observed.frontends), dict(observed.routes)
        match act:
            case CreateFrontend():
                made = await self._client.create_frontend(_members(act.settings))
                held[made.frontend_id] = made
            case ChangeFrontend():
                frontend_id = act.settings.frontend_id
                await self._client.change_frontend(frontend_id, _members(act.settings))
                held[frontend_id] = act.settings
            case SetDefault():
                await self._client.change_frontend(act.frontend_id, {"defaultSslId": act.ssl_id})
                held[act.frontend_id] = msgspec.structs.replace(
                    held[act.frontend_id], default_ssl_id=act.ssl_id
                )
            case RemoveFrontend():
                await self._remove_frontend(act)
                held.pop(act.frontend_id, None)
                for route_id in act.route_ids:
                    routes.pop(route_id, None)
        return replace(observed, frontends=dict(sorted(held.items())), routes=routes, pending=True)

    async def _remove_frontend(self, act: RemoveFrontend) -> None:
        if act.route_ids:
            await _unless_absent(self._client.change_frontend(act.frontend_id, {"disabled": True}))
        for route_id in act.route_ids:
            await self._client.delete_route(route_id)
        await self._client.delete_frontend(act.frontend_id)

    async def _route_step(
        self, act: CreateRoute | ChangeRoute | RemoveRoute, observed: Observed
    ) -> Observed:
        held = dict(observed.routes)
        match act:
            case CreateRoute():
                made = await self._client.create_route(
                    frontend_id=act.frontend_id, name=act.name, action=act.action
                )
                held[made.route_id] = made
            case ChangeRoute():
                await self._client.change_route(
                    act.route_id, frontend_id=act.frontend_id, name=act.name, action=act.action
                )
                held[act.route_id] = msgspec.structs.replace(
                    held[act.route_id],
                    frontend_id=act.frontend_id,
                    display_name=act.name,
                    action=act.action,
                )
            case RemoveRoute():
                await self._client.delete_route(act.route_id)
                held.pop(act.route_id, None)
        return replace(observed, routes=dict(sorted(held.items())), pending=True)

    async def _order(self, act: Order, observed: Observed) -> Observed:
        task = await self._client.order_free_certificate(act.names)
        self._ordered[act.source] = task.id
        return replace(
            observed,
            orders={**observed.orders, task.id: task},
            ordered=dict(self._ordered),
        )

    async def _apply(self, act: Apply, observed: Observed) -> Observed:
        """Open tasks, then pending changes, then the refresh; its end is seen by `look`.

        The sequence of terraform-provider-ovh (`ovh/resource_iploadbalancing_refresh.go`).
        """
        refresh = await self._read_refresh()
        if refresh is not None and refresh.is_open:
            return replace(observed, refresh=refresh)
        if not await self._client.pending_changes():
            live = self._keep_live(
                observed.certificates, observed.frontends, observed.routes, applied=True
            )
            return replace(observed, pending=False, live=live, refresh=refresh)
        task = await self._client.refresh()
        self._refresh = Refresh(task=task, about=act.about)
        return replace(observed, refresh=self._refresh)


def _farm_names(wish: Wish) -> set[str]:
    return {
        listener.farm_name
        for listener in wish.listeners
        if listener.manage == "Listener" and listener.farm_name and not listener.redirect_location
    }


def _any_open(tasks: Mapping[int, OVHTask]) -> bool:
    return any(task.status in ("todo", "doing") for task in tasks.values())


def _members(settings: Frontend) -> dict[str, Any]:
    """The members that a request may have: all but the id, in OVH's spelling."""
    found: dict[str, Any] = msgspec.to_builtins(settings)
    del found["frontendId"]
    return found


async def _unless_absent(call: Any) -> None:
    """What is gone needs no change; the next observation shows it."""
    try:
        await call
    except Absent:
        return
