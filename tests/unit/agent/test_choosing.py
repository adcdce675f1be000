"""What a node serves: nothing unreadable, missing or outside its validity takes anything away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certfront.agent.bundles import Bundle
from certfront.agent.choosing import choose
from certfront.agent.inbox import Offers
from certfront.agent.state import State
from certfront.loadbalancers.haproxy.handover import Challenge, Challenges, released
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.clock import CLOCK_TOLERANCE
from certfront.model.keys import KeyAlgorithm
from tests.unit.loadbalancers.haproxy.manifests import certificate, manifest

NOW = datetime(2026, 6, 1, tzinfo=UTC)
UNREADABLE = Failed(secret="manifest-shop", reason="NewerVersion")
REFUSED = Failed(secret="bundle-a", reason="RefusedByHAProxy")
SHOP = manifest()
NEWER = manifest(hostnames=("a.example", "b.example"))


def bundle(digest: str, *, starts: int = -1, ends: int = 30) -> Bundle:
    """A pair whose validity starts and ends so many days from now."""
    return Bundle(
        pem=b"",
        digest=digest,
        key_type=KeyAlgorithm.ECDSA,
        sha1="",
        serial="",
        sha256="",
        not_before=NOW + timedelta(days=starts),
        not_after=NOW + timedelta(days=ends),
    )


def offers(**values: Any) -> Offers:
    return Offers(**({"resource_version": "5", "manifests": {"manifest-shop": SHOP}} | values))


GOOD, NEW = bundle("good"), bundle("new")
EXPIRED, EARLY = bundle("expired", ends=0), bundle("early", starts=1)


@pytest.mark.parametrize(
    ("offered", "held", "taken", "reason"),
    [
        (NEW, None, NEW, None),
        (NEW, GOOD, NEW, None),
        (None, GOOD, GOOD, None),
        (None, None, None, "BundleMissing"),
        (EXPIRED, GOOD, GOOD, "Expired"),
        (EXPIRED, None, None, "Expired"),
        (EXPIRED, EXPIRED, EXPIRED, None),
        (EARLY, GOOD, GOOD, "NotYetValid"),
        (bundle("refused"), GOOD, GOOD, "RefusedByHAProxy"),
        (bundle("refused"), None, None, "RefusedByHAProxy"),
    ],
    ids=[
        "new",
        "rotated",
        "its Secret is gone",
        "never seen",
        "expired",
        "expired, nothing else",
        "expired while served",
        "early",
        "refused",
        "refused, nothing else",
    ],
)
def test_a_bundle_is_taken(
    offered: Bundle | None, held: Bundle | None, taken: Bundle | None, reason: str | None
) -> None:
    choice = choose(
        State(),
        offers(bundles={"bundle-a": offered} if offered else {}),
        {"bundle-a": held} if held else {},
        {("bundle-a", "refused"): REFUSED},
        NOW,
    )
    assert choice.bundles.get("bundle-a") is taken
    assert [one.reason for one in choice.failed] == ([reason] if reason else [])


def test_an_early_pair_is_looked_at_again_when_it_becomes_valid() -> None:
    choice = choose(State(), offers(bundles={"bundle-a": EARLY}), {}, {}, NOW)
    assert choice.look_again == EARLY.not_before - CLOCK_TOLERANCE
    later = choose(State(), offers(bundles={"bundle-a": EARLY}), {}, {}, choice.look_again)
    assert later.bundles == {"bundle-a": EARLY}


@pytest.mark.parametrize(
    ("held", "offered", "expected"),
    [
        ({}, offers(), SHOP),
        ({"manifest-shop": NEWER}, offers(), SHOP),
        (
            {"manifest-shop": NEWER},
            offers(manifests={}, unreadable={"manifest-shop": UNREADABLE}),
            NEWER,
        ),
        ({"manifest-shop": NEWER}, Offers(), NEWER),
    ],
    ids=["new", "changed", "unreadable", "no API server"],
)
def test_a_manifest_is_the_newest_readable_one(held: Any, offered: Offers, expected: Any) -> None:
    choice = choose(State(manifests=held), offered, {"bundle-a": GOOD}, {}, NOW)
    assert [(one.secret, one.manifest, one.present) for one in choice.entries] == [
        ("manifest-shop", expected, True)
    ]


def test_a_manifest_that_vanished_is_served_on_behind_all_others() -> None:
    """Only a manifest that was read takes something away: time never does."""
    state = State(manifests={"manifest-gone": NEWER})
    for later in (timedelta(), timedelta(days=400)):
        found = choose(state, offers(manifests={}), {"bundle-a": GOOD}, {}, NOW + later)
        assert [(one.secret, one.present) for one in found.entries] == [("manifest-gone", False)]
        assert found.look_again is None


def test_a_released_manifest_is_dropped_with_its_secret() -> None:
    state = State(manifests={"manifest-shop": released(SHOP)})
    assert choose(state, offers(manifests={}), {}, {}, NOW).entries == ()


def test_names_keep_their_certificate_until_the_new_one_is_there() -> None:
    """The operator writes bundles first; a node that sees the manifest first must not wait bare."""
    state = State(manifests={"manifest-shop": SHOP})
    wanted = manifest(
        hostnames=("a.example", "b.example"),
        certificates=(certificate("bundle-b", "a.example", "b.example"),),
    )
    offered = offers(manifests={"manifest-shop": wanted})
    choice = choose(state, offered, {"bundle-a": GOOD}, {}, NOW)
    (entry,) = choice.entries
    assert entry.manifest.certificates == (
        *wanted.certificates,
        certificate("bundle-a", "a.example"),
    )
    assert choice.bundles == {"bundle-a": GOOD}
    assert [one.reason for one in choice.failed] == ["BundleMissing"]
    # The same again, from what was accepted so.
    state = State(manifests={"manifest-shop": entry.manifest})
    assert choose(state, offered, {"bundle-a": GOOD}, {}, NOW).entries == (entry,)
    # And once it is there, the old one goes.
    offered = offers(manifests={"manifest-shop": wanted}, bundles={"bundle-b": NEW})
    choice = choose(state, offered, {"bundle-a": GOOD}, {}, NOW)
    assert choice.entries[0].manifest == wanted
    assert choice.bundles == {"bundle-b": NEW}


def test_a_certificate_that_the_manifest_omits_goes() -> None:
    state = State(manifests={"manifest-shop": SHOP})
    bare = manifest(certificates=())
    choice = choose(state, offers(manifests={"manifest-shop": bare}), {"bundle-a": GOOD}, {}, NOW)
    assert choice.entries[0].manifest == bare
    assert choice.bundles == {}


def test_the_default_certificate_stays_until_the_new_one_is_there() -> None:
    state = State(manifests={"manifest-shop": manifest(default_bundle="bundle-a")})
    wanted = offers(manifests={"manifest-shop": manifest(default_bundle="bundle-b")})
    choice = choose(state, wanted, {"bundle-a": GOOD}, {}, NOW)
    assert choice.entries[0].manifest.default_bundle == "bundle-a"


CHALLENGES = Challenges(
    challenges=(Challenge(hostname="a.example", token="t", key_authorization="t." + "x" * 43),)
)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (Offers(), True),
        (offers(challenges={"challenge-a": CHALLENGES}), True),
        (offers(unreadable={"challenge-a": UNREADABLE}), True),
        (offers(), False),
    ],
    ids=["no API server", "offered", "unreadable", "withdrawn"],
)
def test_challenges_are_answered_while_they_are_offered(offered: Offers, answered: bool) -> None:
    state = State(challenges={"challenge-a": CHALLENGES})
    choice = choose(state, offered, {}, {}, NOW)
    assert bool(choice.open_challenges()) == answered


def test_a_restart_remembers_which_manifests_have_vanished() -> None:
    """Without an API server one that is gone must not win a contest against one that is there."""
    held = State(manifests={"manifest-shop": SHOP, "gone": NEWER}, vanished=("gone",))
    chosen = choose(held, Offers(), {}, {}, NOW)
    assert {one.secret: one.present for one in chosen.entries} == {
        "manifest-shop": True,
        "gone": False,
    }
