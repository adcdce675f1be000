"""Names by which our objects are found again at a provider."""

import pytest

from certfront.loadbalancers.identity import Scope, owner_of, same_fingerprint
from certfront.loadbalancers.protocol import CertificateSource
from certfront.model.meta import ObjectName

SCOPE = Scope(installation="one", load_balancer=ObjectName("edge", "lb"))
SOURCE = CertificateSource("Certificate", "shop", "site")
FINGERPRINT = "AB:CD:EF:01:23:45:67:89"


def test_a_name_says_whose_it_is_and_of_which_version() -> None:
    name = SCOPE.certificate_name(SOURCE, FINGERPRINT)
    mark = SCOPE.mark(name)
    assert mark is not None
    assert mark.owner == owner_of(SOURCE)
    assert mark.fingerprint == "abcdef012345"
    assert name.startswith("shop-site-cf")
    assert SCOPE.is_certificate(name, SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        Scope(installation="two", load_balancer=ObjectName("edge", "lb")),
        Scope(installation="one", load_balancer=ObjectName("edge", "other")),
    ],
    ids=["another installation", "another load balancer"],
)
def test_what_another_scope_made_is_not_ours(other: Scope) -> None:
    name = SCOPE.certificate_name(SOURCE, FINGERPRINT)
    assert other.mark(name) is None
    assert not other.is_certificate(name, SOURCE)


@pytest.mark.parametrize("name", ["", "terraform-made", "cf12345", "shop-cf-", "x" * 300])
def test_what_somebody_else_named_is_not_ours(name: str) -> None:
    assert SCOPE.mark(name) is None


def test_a_neighbours_objects_cannot_be_reached_by_choosing_a_name() -> None:
    """A partial hash of 32 bits is searched in hours; a tenant chooses what it is made from."""
    assert len(owner_of(SOURCE)) * 4 >= 64
    mark = SCOPE.mark(SCOPE.frontend_name(ObjectName("shop", "a")))
    assert mark is not None
    assert len(mark.owner) * 4 >= 64


@pytest.mark.parametrize("longest", [40, 50, 64])
def test_names_stay_within_their_bound_and_keep_their_mark(longest: int) -> None:
    long = CertificateSource("Certificate", "n" * 63, "c" * 253)
    name = SCOPE.certificate_name(long, FINGERPRINT, longest=longest)
    assert len(name) <= longest
    assert SCOPE.is_certificate(name, long)
    frontend = ObjectName("n" * 63, "f" * 253)
    shown = SCOPE.frontend_name(frontend, shown="Übersicht " * 20, longest=longest)
    assert len(shown) <= longest
    assert SCOPE.is_frontend(shown, frontend)
    assert not SCOPE.is_frontend(shown, frontend, "http")


def test_fingerprints_agree_however_they_are_spelled() -> None:
    assert same_fingerprint("AB:CD", "abcd")
    assert not same_fingerprint("", "")
    assert not same_fingerprint("abcd", "abce")
