"""One AWS account as the emulator has it: its options, ids, and what is shared by the services."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.material import Material
from sandbox.emulators.aws.usage import Propagation, Usage
from sandbox.emulators.server import Clock

_NUMBERS = itertools.count(1)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(slots=True, kw_only=True)
class Limits:
    """Quotas; the defaults are those of a new account."""

    server_certificates: int
    acm_certificates: int
    acm_imports_per_year: int
    certificates_per_balancer: int
    listeners_per_balancer: int = 50
    rules_per_balancer: int = 100


@dataclass(slots=True, kw_only=True)
class Account:
    """What all services of the account share.

    `materials` is every certificate that can be served, by ARN, with the private keys, which the
    API never gives back. The id's last digits number the accounts of this process, because moto
    keeps the state of each account for as long as the process lives.
    """

    id: str
    region: str
    clock: Clock
    random: Random
    limits: Limits
    propagation: Propagation
    usage: Usage
    chain_required: bool
    materials: dict[str, Material] = field(default_factory=dict, repr=False)

    def now(self) -> datetime:
        """The emulator's time."""
        return self.clock.now()

    def letters(self, count: int) -> str:
        """An id in AWS's alphabet."""
        return "".join(self.random.choices(_ALPHABET, k=count))

    def uuid(self) -> str:
        """An id in the form of a UUID."""
        digits = f"{self.random.getrandbits(128):032x}"
        ends = (0, 8, 12, 16, 20, 32)
        return "-".join(digits[a:b] for a, b in itertools.pairwise(ends))

    def check_attachable(self, arn: str, region: str) -> None:
        """Raises CertificateNotFound unless a balancer of the region finds the certificate."""
        ours = arn.startswith((f"arn:aws:iam::{self.id}:", f"arn:aws:acm:{region}:{self.id}:"))
        known = ours and arn in self.materials
        if not known or not self.propagation.found(arn, self.now()):
            raise Refused("CertificateNotFound", f"Server Certificate not found for the key: {arn}")


def new_account_id(random: Random) -> str:
    """Twelve digits, of which the last four make it the only one in this process."""
    return f"{random.randrange(1_000_0000, 1_0000_0000):08d}{next(_NUMBERS) % 10_000:04d}"
