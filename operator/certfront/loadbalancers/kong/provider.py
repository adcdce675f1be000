"""A load balancer of type Kong: observes, plans and executes; the registry knows it as `KIND`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied, NotYet, Refused
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.kong import ownership
from certfront.loadbalancers.kong.acts import (
    Act,
    Amend,
    EditRoute,
    LookFor,
    Move,
    Remove,
    Store,
)
from certfront.loadbalancers.kong.admin import (
    AdminAPI,
    CertificateRecord,
    NameInUse,
    RouteRecord,
)
from certfront.loadbalancers.kong.planning import plan
from certfront.loadbalancers.kong.reasons import CHANGED_BY_OTHERS
from certfront.loadbalancers.kong.routing import UPGRADE_REQUIRED, selectors
from certfront.loadbalancers.kong.state import (
    UNREADABLE,
    KongCertificate,
    Observed,
    Route,
    Selector,
    half_of_chain,
    half_of_pem,
)
from certfront.loadbalancers.kong.wanting import gather
from certfront.loadbalancers.protocol import Capabilities, Operation, Plan, Provider, Wish
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import KongAdmin, LoadBalancerSpec
from certfront.pki.pair import KeyPair

_LONGEST_TOKEN: Final = 4096


class KongProvider(Provider[Observed, Act]):
    """One Kong (or one workspace of it) at its Admin API.

    `probe` is where its proxy is reached, with port 0 for the port of each frontend; None where no
    address was told.
    """

    def __init__(self, api: AdminAPI, scope: Scope, probe: tuple[str, int] | None) -> None:
        self._api = api
        self._scope = scope
        self._probe = probe
        self._has_database = False

    async def observe(self, wish: Wish) -> Observed:
        """Read our certificates, all SNIs, and the routes that are ours to change."""
        if not self._has_database:
            await self._api.check_database()
            self._has_database = True
        tag = ownership.scope_tag(self._scope)
        found = {record.id: record for record in await self._api.certificates(tag)}
        names = {record.name: record.certificate.id for record in await self._api.names()}
        for key in self._untagged(wish, names.values()) - found.keys():
            record = await self._api.certificate(key)
            if record is not None:
                found[key] = record
        routes = {record.id: _route(record) for record in await self._api.routes(tag)}
        observed = Observed(
            certificates={key: _certificate(record) for key, record in found.items()},
            names=names,
            routes=routes,
        )
        for listener in wish.listeners:
            for selector in selectors(listener):
                observed = await self._look_for(selector, observed)
        return observed

    async def look(self, wish: Wish, observed: Observed) -> Observed:
        """Whether the routes have been made that were not there."""
        for listener in wish.listeners:
            for selector in selectors(listener):
                if not any(selector.selects(route) for route in observed.routes.values()):
                    observed = await self._look_for(selector, observed, again=True)
        return observed

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """See `planning`."""
        return plan(self._scope, wish, observed, self._probe)

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """Do one step and read back what it was about."""
        act = operation.act
        try:
            match act:
                case Store() | Amend():
                    return await self._write(act, observed)
                case Move():
                    return await self._move(act, observed)
                case Remove():
                    return await self._remove(act, observed)
                case LookFor():
                    return await self._look_for(act.selector, observed, again=True)
                case EditRoute():
                    return await self._edit(act, observed)
        except NameInUse as conflict:
            return await self._refreshed_names(conflict.name, observed)

    async def close(self) -> None:
        """Let connections go."""
        await self._api.close()

    async def _write(self, act: Store | Amend, observed: Observed) -> Observed:
        body: dict[str, Any] = {"snis": list(act.names), "tags": list(act.tags)}
        if isinstance(act, Store):
            body |= _keys(act.main, "") | _keys(act.alternative, "_alt")
            if act.alternative is None:
                body |= {"cert_alt": None, "key_alt": None}
            await self._api.put_certificate(act.id, body)
        else:
            body |= _keys(act.main, "") | _keys(act.alternative, "_alt")
            await self._api.patch_certificate(act.id, body)
        record = await self._api.certificate(act.id)
        if record is None or not _is_written(act, record):
            raise _changed_by_others(f"certificate {act.id}")
        return _with_certificate(observed, record)

    async def _move(self, act: Move, observed: Observed) -> Observed:
        if act.adopted:
            await self._check_adoptable(act, observed)
        await self._api.put_name(act.name, act.id)
        record = await self._api.name(act.name)
        if record is None or record.certificate.id != act.id:
            raise _changed_by_others(f"SNI {act.name}")
        return replace(observed, names={**observed.names, act.name: act.id})

    async def _check_adoptable(self, act: Move, observed: Observed) -> None:
        """What another LoadBalancer of certfront keeps would be taken back at once."""
        holder = await self._api.certificate(observed.names.get(act.name, ""))
        if holder is not None and ownership.is_of_another(self._scope, holder.tags or ()):
            raise Refused(
                reasons.NAME_TAKEN,
                f"{act.name} is kept by another LoadBalancer or installation of certfront.",
            )

    async def _remove(self, act: Remove, observed: Observed) -> Observed:
        await self._api.delete_certificate(act.id)
        if await self._api.certificate(act.id) is not None:
            raise _changed_by_others(f"certificate {act.id}")
        return replace(
            observed,
            certificates={k: v for k, v in observed.certificates.items() if k != act.id},
            names={n: holder for n, holder in observed.names.items() if holder != act.id},
        )

    async def _edit(self, act: EditRoute, observed: Observed) -> Observed:
        body: dict[str, Any] = {"tags": list(act.tags)}
        if act.protocols is not None:
            body["protocols"] = list(act.protocols)
        if act.redirect_status is not None:
            body["https_redirect_status_code"] = act.redirect_status
        await self._api.patch_route(act.id, body)
        record = await self._api.route(act.id)
        route = None if record is None else _route(record)
        if route is None or not _is_edited(act, route):
            raise _changed_by_others(f"route {act.id}")
        return replace(observed, routes={**observed.routes, act.id: route})

    async def _look_for(
        self, selector: Selector, observed: Observed, *, again: bool = False
    ) -> Observed:
        """Find the routes that are meant; one that is known by its name is not asked for twice."""
        if selector in observed.looked_for and not again:
            return observed
        found: Iterable[RouteRecord] = ()
        if selector.kind == "tag":
            found = await self._api.routes(selector.value)
        elif not any(selector.selects(route) for route in observed.routes.values()):
            record = await self._api.route(selector.value)
            found = () if record is None else (record,)
        return replace(
            observed,
            routes={**observed.routes, **{record.id: _route(record) for record in found}},
            looked_for=observed.looked_for | {selector},
        )

    async def _refreshed_names(self, name: str, observed: Observed) -> Observed:
        """After a refusal that changed nothing: who has the name that was thought to be free?"""
        names = {record.name: record.certificate.id for record in await self._api.names()}
        taken = observed.taken | ({name} if name not in names else set())
        return replace(observed, names=names, taken=frozenset(taken))

    def _untagged(self, wish: Wish, holders: Iterable[str]) -> set[str]:
        """Ids that only we can have computed: certificates of ours that lost their tags."""
        computed = set(gather(self._scope, wish).certificates)
        for memory in wish.memory.values():
            made_of: dict[str, set[Any]] = {}
            for one in memory.installed:
                made_of.setdefault(one.provider_id, set()).add(one.source)
            for key, sources in made_of.items():
                if key == ownership.certificate_id(self._scope, frozenset(sources)):
                    computed.add(key)
        return computed & set(holders)


def _keys(pair: KeyPair | None, suffix: str) -> dict[str, str]:
    """The two fields of a half, as they are sent."""
    if pair is None:
        return {}
    return {
        f"cert{suffix}": pair.tls_crt.decode("ascii"),
        f"key{suffix}": pair.private_key_pem.decode("ascii"),
    }


def _certificate(record: CertificateRecord) -> KongCertificate:
    return KongCertificate(
        id=record.id,
        main=half_of_pem(record.cert) or UNREADABLE,
        alternative=half_of_pem(record.cert_alt),
        tags=frozenset(record.tags or ()),
    )


def _route(record: RouteRecord) -> Route:
    return Route(
        id=record.id,
        name=record.name or "",
        protocols=tuple(sorted(record.protocols or ())),
        redirect_status=record.https_redirect_status_code or UPGRADE_REQUIRED,
        tags=frozenset(record.tags or ()),
    )


def _with_certificate(observed: Observed, record: CertificateRecord) -> Observed:
    names = {name: holder for name, holder in observed.names.items() if holder != record.id}
    names.update(dict.fromkeys(record.snis or (), record.id))
    certificates = {**observed.certificates, record.id: _certificate(record)}
    return replace(observed, certificates=certificates, names=names)


def _is_written(act: Store | Amend, record: CertificateRecord) -> bool:
    """Whether Kong has what was just written; compared by certificates, never by keys."""
    stored = _certificate(record)
    pairs = [(act.main, stored.main), (act.alternative, stored.alternative)]
    material = all(pair is None or half_of_chain(pair.chain) == half for pair, half in pairs)
    if isinstance(act, Store) and act.alternative is None:
        material = material and stored.alternative is None
    return (
        material
        and stored.tags == frozenset(act.tags)
        and frozenset(record.snis or ()) == frozenset(act.names)
    )


def _is_edited(act: EditRoute, route: Route) -> bool:
    return (
        route.tags == frozenset(act.tags)
        and (act.protocols is None or route.protocols == tuple(sorted(act.protocols)))
        and (act.redirect_status is None or route.redirect_status == act.redirect_status)
    )


def _changed_by_others(what: str) -> NotYet:
    return NotYet(
        CHANGED_BY_OTHERS, f"Read back, {what} in Kong is not what was written.", retry_after=30
    )


# --- the kind


def _settings(spec: LoadBalancerSpec) -> KongAdmin:
    if spec.kong is None:
        raise Denied(reasons.INVALID_SPEC, "spec.kong is missing.")
    return spec.kong


def _target(spec: LoadBalancerSpec) -> str:
    """The Admin API's address without what is spelled in several ways."""
    url = urlsplit(_settings(spec).admin_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return f"kong|{(url.hostname or '').lower()}:{port}{url.path.rstrip('/')}"


def _secret(spec: LoadBalancerSpec) -> str:
    reference = _settings(spec).credentials_secret_ref
    return reference.name if reference else ""


def _token(credentials: Credentials) -> str:
    """The admin token, "" where no Secret is named. It goes into a header: visible ASCII only."""
    given = credentials.get("token", b"").strip()
    if credentials and not given:
        raise Denied(reasons.CREDENTIALS_NOT_FOUND, "The Secret has no key token.")
    if len(given) > _LONGEST_TOKEN or not all(0x20 < octet < 0x7F for octet in given):
        raise Denied(reasons.CREDENTIALS_REFUSED, "The key token of the Secret is no admin token.")
    return given.decode("ascii")


def _proxy(address: str) -> tuple[str, int] | None:
    """Host and port of `proxyAddress`; port 0 where it names none."""
    if not address:
        return None
    host, separator, port = address.rpartition(":")
    if not separator or (address.count(":") > 1 and not address.startswith("[")):
        host, port = address, ""
    if address.endswith("]"):
        host, port = address, ""
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> KongProvider:
    settings = _settings(spec)
    bundle = settings.ca_bundle.encode() if settings.ca_bundle else None
    exchange = environment.exchange(_target(spec), ca_bundle=bundle)
    api = AdminAPI(exchange, settings.admin_url, _token(credentials))
    return KongProvider(api, environment.scope, _proxy(settings.proxy_address))


KIND: Final = ProviderKind(
    capabilities=Capabilities(
        key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA),
        sni=True,
        redirect=True,
        farm="None",
        manages=frozenset({"Listener", "CertificatesOnly"}),
        unsupported=frozenset(
            {
                "zone",
                "displayName",
                "ssl: false",
                "tls.policy",
                "tls.minVersion",
                "awsClassic",
                "hsts",
                "allowedSources",
                "deniedSources",
                "redirectLocation",
                "httpPort",
                "defaultFarm",
                "disabled",
            }
        ),
    ),
    target=_target,
    secret=_secret,
    secret_keys=(("token",),),
    build=_build,
)
"""What the registry is told about Kong."""
