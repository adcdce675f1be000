"""Every reason that the source gives is in the catalogue, and the catalogue has nothing else."""

import importlib
import pkgutil

import pytest

import certfront
from certfront.issuance.acme.reasons import REASONS as ACME
from certfront.issuance.reasons import REASONS as ISSUANCE
from certfront.loadbalancers.haproxy.reasons import REASONS as NODES
from certfront.loadbalancers.reasons import REASONS as LOAD_BALANCERS
from certfront.model.reasons import Reason
from certfront.pki.reasons import REASONS as PKI
from docs.catalogue import CATALOGUE, REASONS
from tests.unit.docs.source_scan import PACKAGES, named_constants, used

OWNERS = {
    "issuance": ISSUANCE,
    "acme": ACME,
    "pki": PKI,
    "loadbalancers": LOAD_BALANCERS,
    "haproxy": NODES,
}


def declared_identifiers() -> dict[str, str]:
    """Reason to the identifier of the constant or enumeration member that stands for it."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        root = importlib.import_module(f"{certfront.__name__}.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if not module.name.endswith(("reasons", "faults", "issue", "chain")):
                continue
            for identifier, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, Reason):
                    found[value.name] = identifier
                elif isinstance(value, str) and identifier.isupper():
                    found[value] = identifier
                elif identifier.endswith("Fault"):
                    found.update({str(member): member.name for member in value})
    return found


def test_the_scan_sees_the_reasons_that_each_package_gives() -> None:
    """A scan that finds nothing would prove nothing."""
    found = used()
    for name in ("KeyMismatch", "SecretConflict", "CAUntrusted", "PortInUse", "HostnameConflict"):
        assert name in found


def test_every_reason_of_the_source_is_in_the_catalogue() -> None:
    missing = {name: where for name, where in used().items() if name not in CATALOGUE}
    assert missing == {}


def test_every_reason_of_the_catalogue_is_given_somewhere() -> None:
    """A page about something that cannot happen misleads."""
    seen, identifiers = named_constants(), declared_identifiers()
    unused = [n for n in CATALOGUE if n not in seen and identifiers.get(n, n) not in seen]
    assert unused == []


@pytest.mark.parametrize("owner", OWNERS)
def test_an_owner_explains_a_name_once(owner: str) -> None:
    names = [reason.name for reason in OWNERS[owner]]
    assert sorted(names) == sorted(set(names))


def test_a_name_with_several_owners_has_a_place_for_each() -> None:
    """Two texts for one place would leave the reader with a choice."""
    for name, entries in CATALOGUE.items():
        places = [where for entry in entries for where in entry.where]
        assert len(places) == len(set(places)), name


def test_every_reason_is_explained_in_sentences() -> None:
    for name, entries in CATALOGUE.items():
        for entry in entries:
            assert entry.reason.name == name
            assert entry.where, name
            for text in (entry.reason.meaning, entry.reason.remedy, entry.served, entry.heals):
                assert text.endswith("."), text


def test_the_short_list_takes_the_text_of_the_first_owner() -> None:
    assert REASONS["SecretNotFound"] is next(
        reason for reason in OWNERS["issuance"] if reason.name == "SecretNotFound"
    )
    assert list(REASONS) == sorted(CATALOGUE)
