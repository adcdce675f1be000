"""An application load balancer of AWS: observes, plans, executes; the registry knows it as `KIND`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws.account import SECRET_KEYS, account_of, secret_of, target_of
from certfront.loadbalancers.aws.application import ownership
from certfront.loadbalancers.aws.application.client import ApplicationAPI, Summary
from certfront.loadbalancers.aws.application.planning import plan
from certfront.loadbalancers.aws.application.routing import group_of
from certfront.loadbalancers.aws.application.state import (
    Act,
    Adopt,
    Attach,
    Certificate,
    Change,
    Detach,
    Import,
    Listen,
    Listener,
    LookUp,
    Observed,
    Read,
    Remove,
    Unlisten,
    without,
)
from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.material import Leaf, leaf_of, parts_of
from certfront.loadbalancers.aws.propagation import CONSISTENT_AFTER, not_found_yet
from certfront.loadbalancers.errors import NotYet, Unavailable
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.protocol import Capabilities, Operation, Plan, Provider, Wish
from certfront.model.clock import Clock
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import AWSApplicationSettings, LoadBalancerSpec

_READ_AGAIN_AFTER: Final = timedelta(minutes=1)
"""ACM may answer for so long with what was there before a re-import."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class ApplicationProvider(Provider[Observed, Act]):
    """One application load balancer.

    Beside connections it keeps what was read of certificates: whose they are, which never changes
    under an ARN, and their leaves, by the time of their import.
    """

    def __init__(self, api: ApplicationAPI, scope: Scope, clock: Clock) -> None:
        self._api = api
        self._scope = scope
        self._clock = clock
        self._began = clock.now()
        self._owners: dict[str, str] = {}
        self._leaves: dict[str, tuple[datetime | None, Leaf]] = {}
        self._imported: dict[str, tuple[datetime, Leaf]] = {}
        self._attempts: dict[str, datetime] = {}

    async def observe(self, wish: Wish) -> Observed:
        """Read the load balancer, its listeners, and the imported certificates that matter."""
        balancer = await self._api.load_balancer()
        certificates = await self._certificates(wish)
        for one in certificates:
            for fingerprint in [key for key in self._attempts if one.is_of(key)]:
                del self._attempts[fingerprint]
        return Observed(
            arn=balancer.load_balancer_arn,
            address=balancer.dns_name,
            began=self._began,
            listeners=await self._listeners(balancer.load_balancer_arn),
            certificates={one.arn: one for one in certificates},
            groups=await self._groups(dict.fromkeys(filter(None, map(group_of, wish.listeners)))),
            attempts=dict(self._attempts),
        )

    async def look(self, wish: Wish, observed: Observed) -> Observed:
        """Whether listeners or target groups have come, or an import is listed that got no answer."""
        if observed.attempts or _claimed(wish):
            return await self.observe(wish)
        missing = [name for name, arn in observed.groups.items() if not arn]
        return replace(
            observed,
            listeners=await self._listeners(observed.arn),
            groups={**observed.groups, **await self._groups(missing)},
        )

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """See `planning`."""
        return plan(self._scope, wish, observed)

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """Do one step; what it made or changed is as AWS answered."""
        act = operation.act
        match act:
            case LookUp():
                groups = {**observed.groups, **await self._groups([act.group])}
                return replace(observed, groups=groups)
            case Read():
                return await self._read(act, observed)
            case Import():
                return await self._import(act, observed)
            case Remove():
                await self._api.delete_certificate(act.arn)
                certificates = _without(observed.certificates, act.arn)
                return replace(observed, certificates=certificates)
            case _:
                return await self._on_listener(act, observed)

    async def close(self) -> None:
        """Let connections go."""
        await self._api.close()

    # --- reading

    async def _listeners(self, balancer: str) -> dict[int, Listener]:
        found = await self._api.listeners(balancer)
        tags = await self._api.tags([one.arn for one in found])
        return {
            one.port: replace(
                one,
                others=await self._api.others(one.arn) if one.secure else frozenset(),
                mark=ownership.mark_told(self._scope, tags.get(one.arn, {})),
            )
            for one in found
        }

    async def _groups(self, names: Iterable[str]) -> dict[str, str]:
        return {name: await self._api.target_group(name) for name in names}

    async def _certificates(self, wish: Wish) -> list[Certificate]:
        listed = [one for one in await self._api.certificates() if one.type == "IMPORTED"]
        known = {one.certificate_arn for one in listed}
        # The listing may lag behind what was just imported.
        listed += [Summary(certificate_arn=arn) for arn in _just_installed(wish, known)]
        found = [await self._certificate(one) for one in listed]
        return [one for one in found if one is not None]

    async def _certificate(self, told: Summary) -> Certificate | None:
        """With whose it is, and with its leaf where it is ours or was read before."""
        arn = told.certificate_arn
        if arn not in self._owners:
            tags = await self._api.certificate_tags(arn)
            if tags is None:
                return None
            self._owners[arn] = ownership.owner_told(self._scope, tags)
        owner = self._owners[arn]
        leaf = self._known_leaf(told)
        if leaf is None and owner:
            leaf = await self._api.leaf(arn)
            if leaf is None:
                return None
            self._leaves[arn] = (told.imported_at, leaf)
        ended = told.not_after if told.not_after or leaf is None else leaf.not_after
        certificate = Certificate(arn=arn, not_after=ended, owner=owner, leaf=leaf)
        return replace(certificate, imported=told.imported_at) if told.imported_at else certificate

    def _known_leaf(self, told: Summary) -> Leaf | None:
        recent = self._imported.get(told.certificate_arn)
        if recent is not None and self._clock.now() - recent[0] < _READ_AGAIN_AFTER:
            return recent[1]
        at, leaf = self._leaves.get(told.certificate_arn, (None, None))
        return leaf if at == told.imported_at else None

    # --- doing

    async def _read(self, act: Read, observed: Observed) -> Observed:
        leaf = await self._api.leaf(act.arn)
        known = observed.certificates.get(act.arn)
        if leaf is None or known is None:
            raise NotYet(reasons.WAITING_FOR_PROVIDER, "A certificate in ACM is gone meanwhile.")
        self._leaves[act.arn] = (known.imported, leaf)
        return observed.with_certificate(replace(known, leaf=leaf))

    async def _import(self, act: Import, observed: Observed) -> Observed:
        now = self._clock.now()
        if not act.arn:
            self._attempts[act.fingerprint] = now
        try:
            arn = await self._api.import_certificate(parts_of(act.pair), arn=act.arn, tags=act.tags)
        except Unavailable:
            raise
        except Rejected as error:
            self._attempts.pop(act.fingerprint, None)
            if act.arn and error.code == "ResourceNotFoundException":
                raise NotYet(
                    reasons.WAITING_FOR_PROVIDER, "The certificate in ACM is gone meanwhile."
                ) from None
            raise
        except Exception:
            self._attempts.pop(act.fingerprint, None)
            raise
        self._attempts.pop(act.fingerprint, None)
        leaf = leaf_of(act.pair.leaf)
        self._owners[arn] = act.owner
        self._imported[arn] = (now, leaf)
        made = Certificate(
            arn=arn, not_after=leaf.not_after, imported=now, owner=act.owner, leaf=leaf
        )
        return replace(observed.with_certificate(made), attempts=dict(self._attempts))

    async def _on_listener(
        self, act: Listen | Adopt | Change | Attach | Detach | Unlisten, observed: Observed
    ) -> Observed:
        if isinstance(act, Listen):
            return observed.with_listener(await self._listen(act, observed))
        there = observed.listeners[act.port]
        match act:
            case Adopt():
                await self._api.add_tags(there.arn, act.tags)
                return observed.with_listener(replace(there, mark=act.mark))
            case Change():
                return observed.with_listener(await self._change(act, there, observed))
            case Attach():
                await self._attach(act, there, observed)
                others = there.others | {act.certificate}
                return observed.with_listener(replace(there, others=others))
            case Detach():
                await self._api.detach(there.arn, act.certificate)
                others = without(there.others, act.certificate)
                return observed.with_listener(replace(there, others=others))
            case Unlisten():
                await self._api.delete_listener(there.arn)
                return replace(observed, listeners=_without(observed.listeners, act.port))

    async def _listen(self, act: Listen, observed: Observed) -> Listener:
        wanted = act.listener
        try:
            made = await self._api.create_listener(observed.arn, wanted, act.tags)
        except Rejected as error:
            if error.code == "DuplicateListener":
                raise NotYet(
                    reasons.WAITING_FOR_PROVIDER, "The port has got a listener meanwhile."
                ) from None
            raise self._if_propagating(error, wanted.default, observed) from None
        return replace(made, mark=wanted.mark)

    async def _change(self, act: Change, there: Listener, observed: Observed) -> Listener:
        try:
            made = await self._api.modify_listener(there.arn, act)
        except Rejected as error:
            raise self._if_propagating(error, act.default or "", observed) from None
        return replace(made, others=there.others if made.secure else frozenset(), mark=there.mark)

    async def _attach(self, act: Attach, there: Listener, observed: Observed) -> None:
        try:
            await self._api.attach(there.arn, act.certificate)
        except Rejected as error:
            raise self._if_propagating(error, act.certificate, observed) from None

    def _if_propagating(self, error: Rejected, arn: str, observed: Observed) -> Rejected | NotYet:
        known = observed.certificates.get(arn)
        imported = None if known is None else known.imported
        return not_found_yet(error, imported, self._clock.now())


def _claimed(wish: Wish) -> bool:
    """Whether an import may have been done of which nothing is known."""
    return any(not one.provider_id for memory in wish.memory.values() for one in memory.installed)


def _just_installed(wish: Wish, known: set[str]) -> Iterator[str]:
    for memory in wish.memory.values():
        for one in memory.installed:
            recent = one.since is not None and wish.now - one.since < CONSISTENT_AFTER
            if recent and ":acm:" in one.provider_id and one.provider_id not in known:
                known.add(one.provider_id)
                yield one.provider_id


def _without(values: Mapping[_Key, _Value], gone: _Key) -> dict[_Key, _Value]:
    return {key: value for key, value in values.items() if key != gone}


def _settings(spec: LoadBalancerSpec) -> AWSApplicationSettings:
    if spec.aws_application is None:
        raise ValueError("a LoadBalancer of type AWSApplication has the block awsApplication")
    return spec.aws_application


def _target(spec: LoadBalancerSpec) -> str:
    settings = _settings(spec)
    # arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188
    parts = settings.arn.split("/")
    return target_of(
        "application",
        settings.region,
        settings.load_balancer_name or (parts[2] if len(parts) > 3 else settings.arn),
        endpoint=settings.endpoint_url,
        role=settings.role_arn or settings.arn,
    )


def _secret(spec: LoadBalancerSpec) -> str:
    return secret_of(_settings(spec))


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> ApplicationProvider:
    settings = _settings(spec)
    account = account_of(settings, credentials, environment)
    api = ApplicationAPI(account, name=settings.load_balancer_name, arn=settings.arn)
    return ApplicationProvider(api, environment.scope, environment.clock)


KIND: Final = ProviderKind(
    capabilities=Capabilities(
        key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA),
        sni=True,
        redirect=True,
        farm="Named",
        manages=frozenset({"Listener", "CertificatesOnly", "StoreOnly"}),
        unsupported=frozenset(
            {
                "acceptHTTPIfAlreadyTerminated",
                "allowedSources",
                "awsClassic",
                "deniedSources",
                "disabled",
                "displayName",
                "hsts",
                "kong",
                "trustedSources",
                "zone",
            }
        ),
    ),
    target=_target,
    secret=_secret,
    secret_keys=SECRET_KEYS,
    build=_build,
)
"""What the registry is told about application load balancers of AWS."""
