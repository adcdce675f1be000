"""The proof that a node serves what it should: handshakes, name by name, with the worker's pid.

A name is asked for once for each certificate it gets; an audit of the fingerprints in memory
(`memory`) covers the rest. `reconcile` asks for it; `applying` says when the worker is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from certfront.agent.bundles import Bundle
from certfront.agent.runtime import WorkerInfo
from certfront.loadbalancers.handshake import HandshakeFailed, context_for, probe, sni_for
from certfront.loadbalancers.haproxy.configuration import Layout, Proof, Rendered
from certfront.loadbalancers.haproxy.watermark import Failed

_AT_ONCE: Final = 16
_TRIES: Final = 4
_PAUSE: Final = 0.05
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated, not bound

_Key = tuple[int, str | None, str]


class Prover:
    """Remembers what has been proven."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # A listener of someone else's does not tell its worker; fingerprints are read in memory too.
        self._silent: frozenset[None] = frozenset({None} if layout.foreign else ())
        self._proven: dict[_Key, str] = {}
        self._listening: set[tuple[str, int]] = set()

    def forget(self) -> None:
        """HAProxy was away: nothing counts any more."""
        self._proven.clear()
        self._listening.clear()

    def new_worker(self) -> None:
        """A reload: the listeners are looked at again; certificates are audited in memory."""
        self._listening.clear()

    def any_proven(self, rendered: Rendered) -> bool:
        """Whether the node serves: some name is proven, or there is none to be proven."""
        return not rendered.proofs or any(_key(one) in self._proven for one in rendered.proofs)

    async def prove(
        self, rendered: Rendered, bundles: Mapping[str, Bundle], worker: WorkerInfo
    ) -> tuple[Failed, ...]:
        """Shake hands for whatever is not proven yet; what does not show what it should."""
        turns = asyncio.Semaphore(_AT_ONCE)
        wanted = {_key(proof): proof for proof in rendered.proofs}
        self._proven = {key: seen for key, seen in self._proven.items() if key in wanted}
        open_proofs = [
            proof
            for key, proof in wanted.items()
            if self._proven.get(key) != bundles[proof.bundle].sha256
        ]
        failures = await asyncio.gather(
            *(self._name(proof, bundles, worker, turns) for proof in open_proofs)
        )
        found = [failure for failure in failures if failure is not None]
        return (*_folded(found), *await self._listeners(rendered, bundles))

    async def _name(
        self,
        proof: Proof,
        bundles: Mapping[str, Bundle],
        worker: WorkerInfo,
        turns: asyncio.Semaphore,
    ) -> Failed | None:
        expected = bundles[proof.bundle].sha256
        accepted = {expected}
        if proof.tls13_only:
            accepted |= {bundles[one].sha256 for one in proof.alternatives}
        said = ""
        async with turns:
            tls13_only = proof.tls13_only
            for attempt in range(_TRIES):
                if attempt:
                    await asyncio.sleep(_PAUSE * attempt)
                try:
                    seen = await probe(
                        self._place(proof.port),
                        sni_for(proof.hostname),
                        context_for(proof.key_type, tls13_only=tls13_only),
                    )
                except HandshakeFailed as error:
                    said = str(error)
                    if self._layout.foreign and not tls13_only:
                        # The listener may take TLS 1.3 alone, where a key type cannot be asked for.
                        tls13_only = True
                        accepted |= {bundles[one].sha256 for one in proof.alternatives}
                    continue
                if seen.fingerprint in accepted and seen.pid in {worker.pid, *self._silent}:
                    self._proven[_key(proof)] = expected
                    return None
                said = "another certificate is shown"
        name = proof.hostname or "an unknown name"
        message = f"handshake for {name} on port {proof.port}: {said}"
        return Failed(secret=proof.bundle, reason="NotServed", message=message)

    def _place(self, port: int) -> str | tuple[str, int]:
        """Where to shake hands: a bind of ours, or the only one that someone else has made."""
        if not self._layout.foreign:
            return self._layout.proof_socket(port)
        address, bound = self._layout.bind(port)
        return (_ANY_ADDRESS.get(address, address), bound)

    async def _listeners(
        self, rendered: Rendered, bundles: Mapping[str, Bundle]
    ) -> tuple[Failed, ...]:
        """The second check: the address that clients use answers, with a certificate of ours."""
        failed = []
        samples = {self._layout.bind(proof.port): proof for proof in reversed(rendered.proofs)}
        for address, secrets in rendered.binds.items():
            if address in self._listening:
                continue
            said = await self._listener(address, samples.get(address), bundles)
            if said is None:
                self._listening.add(address)
                continue
            message = f"port {address[1]} on {address[0]}: {said}"
            failed += [
                Failed(secret=secret, reason="ListenerUnreachable", message=message)
                for secret in secrets
            ]
        return tuple(failed)

    async def _listener(
        self, address: tuple[str, int], sample: Proof | None, bundles: Mapping[str, Bundle]
    ) -> str | None:
        target = (_ANY_ADDRESS.get(address[0], address[0]), address[1])
        try:
            if sample is None:
                async with asyncio.timeout(5.0):
                    _, writer = await asyncio.open_connection(*target)
                    writer.transport.abort()
                return None
            seen = await probe(
                target,
                sni_for(sample.hostname),
                context_for(sample.key_type, tls13_only=sample.tls13_only or self._layout.foreign),
            )
        except HandshakeFailed as error:
            return str(error)
        except (OSError, TimeoutError):
            return "nothing answers"
        expected = {bundles[one].sha256 for one in (sample.bundle, *sample.alternatives)}
        return None if seen.fingerprint in expected else "another process answers"


def _key(proof: Proof) -> _Key:
    return (proof.port, proof.hostname, proof.bundle)


def _folded(failures: list[Failed]) -> tuple[Failed, ...]:
    """One failure for each bundle: the first of its names stands for all."""
    return tuple({failure.secret: failure for failure in reversed(failures)}.values())
