"""One Rackspace load balancer: reads it, compares by `plan`, and makes one change at a time.

Rackspace's reads are of its database: what was changed is read back at once, and takes effect when
the load balancer is ACTIVE again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Gone
from certfront.loadbalancers.identity import Scope
from certfront.loadbalancers.protocol import Operation, Plan, Wish
from certfront.loadbalancers.rackspace import plan as planning
from certfront.loadbalancers.rackspace.client import (
    Client,
    LoadBalancerDetails,
    MappingDetails,
    TerminationDetails,
)
from certfront.loadbalancers.rackspace.material import (
    chain_of,
    fingerprint,
    fingerprints,
    material_of,
)
from certfront.loadbalancers.rackspace.ownership import mappings_of
from certfront.loadbalancers.rackspace.state import (
    SETTINGS,
    TERMINATION,
    Act,
    DeleteMapping,
    DeleteTermination,
    Mapping,
    Observed,
    PutMapping,
    PutTermination,
    SetRedirect,
    SetTermination,
    Termination,
)
from certfront.pki import certificates
from certfront.pki.pair import KeyPair

_PENDING: Final = "PENDING_UPDATE"
_GONE: Final = frozenset({"DELETED", "PENDING_DELETE"})


class RackspaceProvider:
    """See the module."""

    def __init__(self, client: Client, scope: Scope) -> None:
        self._client = client
        self._namespace = scope.load_balancer.namespace

    async def observe(self, wish: Wish) -> Observed:
        """Three reads, and one for each mapping that the wish or its memory is about.

        Raises Gone where the load balancer is deleted or about to be.
        """
        details = await self._details()
        termination = await self._client.termination()
        names = () if termination is None else await self._client.mappings()
        about = {host for _, binding in wish.bindings() for host in binding.hostnames}
        known = mappings_of(wish)
        found = []
        for name in names:
            host = name.host_name.lower()
            if host in about or str(name.id) in known:
                read = await self._client.mapping(str(name.id))
                if read is not None:
                    found.append(_mapping(read))
            else:
                found.append(Mapping(id=str(name.id), host=host, fingerprint=""))
        return Observed(
            status=details.status,
            protocol=details.protocol,
            port=details.port,
            https_redirect=bool(details.https_redirect),
            address=_address(details),
            termination=None if termination is None else _termination(termination),
            mappings=tuple(sorted(found, key=lambda one: int(one.id))),
        )

    async def look(self, wish: Wish, observed: Observed) -> Observed:  # noqa: ARG002 - of the protocol
        """One read: whether the load balancer has taken the last change."""
        details = await self._details()
        after = replace(
            observed, status=details.status, https_redirect=bool(details.https_redirect)
        )
        return replace(after, changing=frozenset()) if after.is_active else after

    def plan(self, wish: Wish, observed: Observed) -> Plan[Act]:
        """What `plan.plan` says."""
        return planning.plan(wish, observed, namespace=self._namespace)

    async def execute(self, operation: Operation[Act], observed: Observed) -> Observed:
        """One call; the load balancer is at work on it afterwards."""
        act = operation.act
        match act:
            case PutTermination():
                after, place = await self._put_termination(act, observed), TERMINATION
            case SetTermination():
                after, place = await self._set_termination(act, observed), SETTINGS
            case SetRedirect():
                await self._client.set_redirect(act.on)
                after, place = replace(observed, https_redirect=act.on), SETTINGS
            case PutMapping():
                after, place = await self._put_mapping(act, observed)
            case DeleteMapping():
                await self._client.delete_mapping(act.id)
                left = tuple(one for one in observed.mappings if one.id != act.id)
                after, place = replace(observed, mappings=left), act.id
            case DeleteTermination():
                await self._client.delete_termination()
                after, place = replace(observed, termination=None, mappings=()), TERMINATION
        return replace(after, status=_PENDING, changing=frozenset({place}))

    async def close(self) -> None:
        """Let connections go."""
        await self._client.close()

    async def _details(self) -> LoadBalancerDetails:
        details = await self._client.load_balancer()
        if details.status in _GONE:
            raise Gone(
                reasons.TARGET_NOT_FOUND, f"The load balancer is deleted ({details.status})."
            )
        return details

    async def _put_termination(self, act: PutTermination, observed: Observed) -> Observed:
        await self._client.put_material(material_of(act.pair), port=act.port, hardened=act.create)
        before = observed.termination or Termination(fingerprint="", port=act.port)
        return replace(
            observed,
            termination=replace(
                before,
                fingerprint=certificates.fingerprint(act.pair.leaf),
                chain=chain_of(act.pair),
                port=act.port,
            ),
        )

    async def _set_termination(self, act: SetTermination, observed: Observed) -> Observed:
        await self._client.set_termination(
            port=act.port,
            enabled=act.enabled,
            secure_only=act.secure_only,
            hardened=act.without_weak_protocols,
        )
        before = observed.termination
        if before is None:
            return observed
        after = replace(
            before,
            port=before.port if act.port is None else act.port,
            enabled=before.enabled if act.enabled is None else act.enabled,
            secure_only=before.secure_only if act.secure_only is None else act.secure_only,
            weak_protocols=before.weak_protocols and not act.without_weak_protocols,
        )
        return replace(observed, termination=after)

    async def _put_mapping(self, act: PutMapping, observed: Observed) -> tuple[Observed, str]:
        material = material_of(act.pair)
        mapping_id = act.id
        if mapping_id:
            await self._client.put_mapping(mapping_id, material, clears_chain=act.clears_chain)
        else:
            mapping_id = str((await self._client.add_mapping(act.host, material)).id)
        rest = [one for one in observed.mappings if one.id != mapping_id]
        rest.append(_mapping_of(mapping_id, act.host, act.pair))
        ordered = tuple(sorted(rest, key=lambda one: int(one.id)))
        return replace(observed, mappings=ordered), mapping_id


def _termination(details: TerminationDetails) -> Termination:
    return Termination(
        fingerprint=fingerprint(details.certificate),
        chain=fingerprints(details.intermediate_certificate or ""),
        port=details.secure_port,
        enabled=details.enabled,
        secure_only=details.secure_traffic_only,
        weak_protocols=any(
            one.security_protocol_status == "ENABLED" for one in details.security_protocols
        ),
    )


def _mapping(details: MappingDetails) -> Mapping:
    return Mapping(
        id=str(details.id),
        host=details.host_name.lower(),
        fingerprint=fingerprint(details.certificate),
        chain=fingerprints(details.intermediate_certificate or ""),
    )


def _mapping_of(mapping_id: str, host: str, pair: KeyPair) -> Mapping:
    return Mapping(
        id=mapping_id,
        host=host,
        fingerprint=certificates.fingerprint(pair.leaf),
        chain=chain_of(pair),
    )


def _address(details: LoadBalancerDetails) -> str:
    """The public address, IPv4 before IPv6; "" where there is none."""
    public = [one for one in details.virtual_ips if one.type == "PUBLIC" and one.address]
    public.sort(key=lambda one: one.ip_version != "IPV4")
    return public[0].address if public else ""
