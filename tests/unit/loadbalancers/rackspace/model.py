"""A load balancer of Rackspace in memory, which refuses what the real one refuses.

It takes the provider's own changes and answers as the provider does; what a client would be shown is
`served`.
"""

from __future__ import annotations

from dataclasses import replace

from certfront.loadbalancers.protocol import Operation, Plan, Wish
from certfront.loadbalancers.rackspace import plan as planning
from certfront.loadbalancers.rackspace import state
from certfront.loadbalancers.rackspace.material import chain_of
from certfront.loadbalancers.rackspace.state import Mapping, Observed, Termination
from certfront.pki import certificates


class Broken(AssertionError):
    """The real one would have refused this."""


class Model:
    """One load balancer and its provider; `there` is its state."""

    def __init__(self, there: Observed, *, limit: int = planning.MAPPING_LIMIT) -> None:
        self.there = there
        self.limit = limit
        self._next = 1000
        self.changes = 0

    async def observe(self, wish: Wish) -> Observed:  # noqa: ARG002 - of the protocol
        return self.there

    async def look(self, wish: Wish, observed: Observed) -> Observed:  # noqa: ARG002 - of the protocol
        return await self.observe(wish)

    def plan(self, wish: Wish, observed: Observed) -> Plan[state.Act]:
        if not self.there.is_active and not observed.is_active:
            # Time has passed by when it is looked at again.
            self.there = replace(self.there, status=state.ACTIVE)
        return planning.plan(wish, observed, namespace="shop")

    async def execute(
        self,
        operation: Operation[state.Act],
        observed: Observed,  # noqa: ARG002 - of the protocol
    ) -> Observed:
        if not self.there.is_active:
            raise Broken("it is at work on another change")
        self.there = replace(self._changed(operation.act), status="PENDING_UPDATE")
        self.changes += 1
        return self.there

    async def close(self) -> None:
        """Nothing is open."""

    def _changed(self, act: state.Act) -> Observed:
        there, had = self.there, self.there.termination
        if isinstance(act, state.PutTermination):
            return self._terminated(act)
        if isinstance(act, state.SetRedirect):
            if act.on and (had is None or not had.secure_only or had.port != 443):
                raise Broken("a redirect needs a secure-only termination on 443")
            return replace(there, https_redirect=act.on)
        if had is None:
            raise Broken("there is no termination")
        if isinstance(act, state.SetTermination):
            return replace(there, termination=self._set(act, had))
        if isinstance(act, state.DeleteTermination):
            if there.mappings or there.https_redirect:
                raise Broken("something else hangs on it")
            return replace(there, termination=None)
        if isinstance(act, state.DeleteMapping):
            left = tuple(one for one in there.mappings if one.id != act.id)
            return replace(there, mappings=left)
        return self._mapped(act)

    def _terminated(self, act: state.PutTermination) -> Observed:
        there = self.there
        if there.https_redirect and act.port != 443:
            raise Broken("443 only while it redirects")
        if act.port == there.port:
            raise Broken("the port is taken")
        before = there.termination or Termination(fingerprint="", port=act.port)
        leaf = certificates.fingerprint(act.pair.leaf)
        put = replace(before, fingerprint=leaf, chain=chain_of(act.pair), port=act.port)
        return replace(there, termination=put)

    def _set(self, act: state.SetTermination, had: Termination) -> Termination:
        if self.there.https_redirect and (act.secure_only is False or act.enabled is False):
            raise Broken("no mixed mode while it redirects")
        if self.there.https_redirect and act.port not in {None, 443}:
            raise Broken("443 only while it redirects")
        return replace(
            had,
            port=had.port if act.port is None else act.port,
            enabled=had.enabled if act.enabled is None else act.enabled,
            secure_only=had.secure_only if act.secure_only is None else act.secure_only,
            weak_protocols=had.weak_protocols and not act.without_weak_protocols,
        )

    def _mapped(self, act: state.PutMapping) -> Observed:
        mapping_id = act.id
        if not mapping_id:
            if self.there.mapping(act.host) is not None:
                raise Broken("the host name has a mapping")
            if len(self.there.mappings) >= self.limit:
                raise Broken("too many mappings")
            self._next += 1
            mapping_id = str(self._next)
        chain = chain_of(act.pair)
        if act.id and not chain and not act.clears_chain:
            chain = next(one.chain for one in self.there.mappings if one.id == act.id)
        new = Mapping(
            id=mapping_id,
            host=act.host,
            fingerprint=certificates.fingerprint(act.pair.leaf),
            chain=chain,
        )
        rest = [one for one in self.there.mappings if one.id != mapping_id]
        return replace(self.there, mappings=tuple(sorted([*rest, new], key=lambda o: int(o.id))))
