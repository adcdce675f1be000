"""What one pass over a Certificate knows, gathered before it decides."""

from dataclasses import dataclass
from functools import cached_property

from certfront.engine.store import Object
from certfront.issuance import needs
from certfront.issuance.needs import SpecHash, Wanted
from certfront.issuance.record import Record
from certfront.issuance.supply import Supply
from certfront.issuance.triggers import Trigger
from certfront.model.certificate import Certificate
from certfront.model.errors import Refused
from certfront.pki import keys


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything one pass knows. `refusal` is set where the spec itself cannot be carried out."""

    certificate: Certificate
    secret: Object | None
    record: Record
    wanted: Wanted | None
    refusal: Refused | None
    supply: Supply
    live: bool = False

    @cached_property
    def spec_hash(self) -> SpecHash | None:
        """What the next Secret will carry; None where the spec was not understood."""
        return SpecHash.of(self.wanted, self.supply.identity or "") if self.wanted else None

    @property
    def next_revision(self) -> int:
        """One more than anything seen, in the Secret or in status."""
        return max(self.record.revision, self.certificate.status.revision) + 1

    @cached_property
    def need(self) -> str:
        """The need that the next Secret fulfils; empty where the spec was not understood."""
        spec_hash = self.spec_hash
        if spec_hash is None:
            return ""
        return needs.need(self.certificate.metadata.uid, spec_hash, self.next_revision)


def kept_key(view: View, trigger: Trigger) -> keys.PrivateKey | None:
    """The key to use again under `rotation: Never`, where it fits and nothing forbids it."""
    wanted, pair = view.wanted, view.record.pair
    if wanted is None or pair is None or not wanted.key.keep or trigger.new_key:
        return None
    key = pair.private_key
    fits = keys.algorithm_of(key) == wanted.key.algorithm and wanted.key.size in (
        0,
        keys.size_of(key),
    )
    return key if fits else None
