"""Whoever may write a Secret writes its annotations: they wake only whom it could concern."""

import pytest

from certfront.engine.keys import Key
from certfront.engine.store import Store
from certfront.reconcilers.stores import Indices
from tests.unit.reconcilers.test_wakeups import CERTIFICATE, FRONTEND, _object, _woken, world

__all__ = ["world"]


HANDED_OVER = {"certfront.io/load-balancer": "haproxy", "certfront.io/secret": "manifest"}
BUNDLE = {**HANDED_OVER, "certfront.io/secret": "bundle"}
CHALLENGE = {**HANDED_OVER, "certfront.io/secret": "challenge"}
OF_WEB = {"certfront.io/frontend": "shop/web"}
OF_SITE = {"certfront.io/certificate": "shop/site"}


@pytest.mark.parametrize(
    ("namespace", "labels", "annotations", "expected"),
    [
        pytest.param("edge", HANDED_OVER, OF_WEB, {FRONTEND}, id="a manifest"),
        pytest.param("edge", BUNDLE, OF_SITE, {FRONTEND}, id="a bundle"),
        pytest.param("edge", CHALLENGE, OF_SITE, {CERTIFICATE}, id="a challenge"),
        pytest.param("evil", HANDED_OVER, OF_WEB, set(), id="a manifest elsewhere"),
        pytest.param("evil", BUNDLE, OF_SITE, set(), id="a bundle elsewhere"),
        pytest.param("evil", CHALLENGE, OF_SITE, set(), id="a challenge elsewhere"),
        pytest.param(
            "evil",
            {"certfront.io/secret": "certificate"},
            OF_SITE,
            set(),
            id="the certificate of another namespace",
        ),
        pytest.param(
            "shop", {"certfront.io/secret": "certificate"}, OF_SITE, {CERTIFICATE}, id="its own"
        ),
    ],
)
def test_an_annotation_is_believed_only_where_it_can_be_true(
    world: tuple[Store, Indices],
    namespace: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    expected: set[Key],
) -> None:
    secret = _object("Secret", namespace, "any", labels=labels, annotations=annotations)
    assert _woken(world, "Secret", None, secret) == expected
