"""A classic load balancer of AWS: observes, plans and executes; the registry knows it as `KIND`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from certfront.loadbalancers import reasons
from certfront.loadbalancers.aws.account import SECRET_KEYS, account_of, secret_of, target_of
from certfront.loadbalancers.aws.classic.client import ClassicAPI
from certfront.loadbalancers.aws.classic.planning import TAG, plan
from certfront.loadbalancers.aws.classic.state import (
    Act,
    Bind,
    Claim,
    Listen,
    Observed,
    Read,
    Remove,
    ServerCertificate,
    Unclaim,
    Unlisten,
    Upload,
)
from certfront.loadbalancers.aws.faults import Rejected
from certfront.loadbalancers.aws.material import Leaf, parts_of
from certfront.loadbalancers.aws.propagation import CONSISTENT_AFTER, not_found_yet
from certfront.loadbalancers.aws.reasons import PROPAGATING
from certfront.loadbalancers.errors import Denied, NotYet, Refused
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.protocol import Capabilities, Operation, Plan, Provider, Wish
from certfront.model.clock import Clock
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import AWSClassicSettings, LoadBalancerSpec

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class ClassicProvider(Provider[Observed, Act]):
    """One classic load balancer.

    Beside connections it keeps what was read of certificates, which never change under their id.
    """

    def __init__(self, api: ClassicAPI, scope: Scope, clock: Clock) -> None:
        self._api = api
        self._scope = scope
        self._clock = clock
        self._leaves: dict[str, Leaf] = {}
        self._may_read_quota = True
        self._may_read_tags = True

    async def observe(self, wish: Wish) -> Observed:
        """Read the load balancer, the certificates, and of those the ones that matter."""
        address, listeners = await self._api.load_balancer()
        tags = await self._tags(wish)
        certificates = await self._certificates(wish)
        return Observed(
            address=address,
            listeners=listeners,
            owners=_owners(tags),
            certificates={one.arn: one for one in certificates},
            quota=await self._quota(),
        )

    async def look(self, wish: Wish, observed: Observed) -> Observed:  # noqa: ARG002 -- all of it
        """Whether the load balancer has the listeners that are waited for."""
        address, listeners = await self._api.load_balancer()
        return replace(observed, address=address, listeners=listeners)

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """See `planning`."""
        return plan(self._scope, wish, observed)

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """Do one step; what it made or changed is as AWS answered."""
        act = operation.act
        match act:
            case Read():
                found = await self._whole(act.name)
                if found is None:
                    raise NotYet(PROPAGATING, "A certificate that IAM lists is not there.")
                return observed.with_certificate(found)
            case Upload():
                return observed.with_certificate(await self._upload(act))
            case Claim():
                await self._api.add_tag(f"{TAG}{act.port}", act.mark)
                return replace(observed, owners={**observed.owners, act.port: act.mark})
            case Listen():
                await self._listen(act, observed)
                return observed.with_listener(act.listener)
            case Bind():
                await self._bind(act, observed)
                bound = replace(observed.listeners[act.port], certificate=act.certificate)
                return observed.with_listener(bound)
            case Unlisten():
                await self._api.delete_listener(act.port)
                return replace(observed, listeners=_without(observed.listeners, act.port))
            case Unclaim():
                await self._api.remove_tag(f"{TAG}{act.port}")
                return replace(observed, owners=_without(observed.owners, act.port))
            case Remove():
                await self._api.delete(act.name)
                return replace(observed, certificates=_without(observed.certificates, act.arn))

    async def close(self) -> None:
        """Let connections go."""
        await self._api.close()

    async def _certificates(self, wish: Wish) -> list[ServerCertificate]:
        listed = await self._api.certificates()
        known = {one.arn for one in listed}
        for name in _just_installed(wish, known):
            # The listing may lag behind what was just uploaded.
            found = await self._api.certificate(name)
            if found is not None:
                listed.append(found)
        return [await self._read(one) for one in listed]

    async def _read(self, one: ServerCertificate) -> ServerCertificate:
        """With its leaf, where it is ours or was read before."""
        if one.leaf is not None:
            self._leaves[one.id] = one.leaf
        if one.id in self._leaves:
            return replace(one, leaf=self._leaves[one.id])
        if self._scope.mark(one.name) is None:
            return one
        return await self._whole(one.name) or one

    async def _whole(self, name: str) -> ServerCertificate | None:
        found = await self._api.certificate(name)
        if found is not None and found.leaf is not None:
            self._leaves[found.id] = found.leaf
        return found

    async def _tags(self, wish: Wish) -> dict[str, str]:
        """Whose listeners are; who makes none need not be permitted to read that."""
        makes_one = any(one.manage == "Listener" for one in wish.listeners)
        if not self._may_read_tags and not makes_one:
            return {}
        try:
            return await self._api.tags()
        except Denied:
            if makes_one:
                raise
            self._may_read_tags = False
            return {}

    async def _quota(self) -> int | None:
        """Head-room is told where the credentials permit to read it; nothing depends on it."""
        if not self._may_read_quota:
            return None
        try:
            return await self._api.quota()
        except Denied:
            self._may_read_quota = False
            return None

    async def _upload(self, act: Upload) -> ServerCertificate:
        try:
            return await self._api.upload(act.name, parts_of(act.pair), act.tags)
        except Rejected as error:
            if error.code != "EntityAlreadyExists":
                raise
        found = await self._api.certificate(act.name)
        if found is None:
            raise NotYet(PROPAGATING, "IAM does not show a certificate that it has just taken.")
        if not found.is_of(act.fingerprint):
            raise Refused(
                reasons.NAME_TAKEN, f"IAM has another certificate of the name {act.name}."
            )
        return found

    async def _listen(self, act: Listen, observed: Observed) -> None:
        try:
            await self._api.create_listener(act.listener)
        except Rejected as error:
            if error.code == "DuplicateListener":
                raise NotYet(
                    reasons.WAITING_FOR_PROVIDER, "The port has got a listener meanwhile."
                ) from None
            raise self._if_propagating(error, act.listener.certificate, observed) from None

    async def _bind(self, act: Bind, observed: Observed) -> None:
        try:
            await self._api.set_certificate(act.port, act.certificate)
        except Rejected as error:
            raise self._if_propagating(error, act.certificate, observed) from None

    def _if_propagating(self, error: Rejected, arn: str, observed: Observed) -> Rejected | NotYet:
        known = observed.certificates.get(arn)
        uploaded = None if known is None else known.uploaded
        return not_found_yet(error, uploaded, self._clock.now())


def _just_installed(wish: Wish, known: set[str]) -> Iterator[str]:
    for memory in wish.memory.values():
        for one in memory.installed:
            recent = one.since is not None and wish.now - one.since < CONSISTENT_AFTER
            if (
                recent
                and ":server-certificate/" in one.provider_id
                and one.provider_id not in known
            ):
                known.add(one.provider_id)
                yield one.provider_id.rpartition("/")[2]


def _owners(tags: Mapping[str, str]) -> dict[int, str]:
    ports = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
    return {int(port): mark for port, mark in ports.items() if port.isdecimal() and len(port) < 6}


def _without(values: Mapping[_Key, _Value], gone: _Key) -> dict[_Key, _Value]:
    return {key: value for key, value in values.items() if key != gone}


def _settings(spec: LoadBalancerSpec) -> AWSClassicSettings:
    if spec.aws_classic is None:
        raise ValueError("a LoadBalancer of type AWSClassic has the block awsClassic")
    return spec.aws_classic


def _target(spec: LoadBalancerSpec) -> str:
    settings = _settings(spec)
    return target_of(
        "classic",
        settings.region,
        settings.load_balancer_name,
        endpoint=settings.endpoint_url,
        role=settings.role_arn,
    )


def _secret(spec: LoadBalancerSpec) -> str:
    return secret_of(_settings(spec))


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> ClassicProvider:
    settings = _settings(spec)
    account = account_of(settings, credentials, environment)
    api = ClassicAPI(account, settings.load_balancer_name, settings.iam_path)
    return ClassicProvider(api, environment.scope, environment.clock)


KIND: Final = ProviderKind(
    capabilities=Capabilities(
        key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA),
        sni=False,
        redirect=False,
        farm="None",
        manages=frozenset({"Listener", "CertificatesOnly", "StoreOnly"}),
        unsupported=frozenset(
            {
                "acceptHTTPIfAlreadyTerminated",
                "allowedSources",
                "defaultFarm",
                "deniedSources",
                "disabled",
                "displayName",
                "hsts",
                "kong",
                "redirectLocation",
                "tls.minVersion",
                "tls.policy",
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
"""What the registry is told about classic load balancers of AWS."""
