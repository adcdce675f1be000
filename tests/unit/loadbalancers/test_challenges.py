"""Who answers an HTTP-01 challenge."""

import pytest

from certfront.loadbalancers.acceptance import Permission
from certfront.loadbalancers.challenges import (
    ChallengeRoute,
    NoRouteForChallenge,
    Route,
    routes_for,
)
from certfront.model.grants import Grant
from certfront.model.loadbalancer import LoadBalancer, LoadBalancerSpec
from certfront.model.meta import Meta, ObjectName


def route(name: str, *granted: str, kind: str = "HAProxy") -> Route:
    grants = (Grant(hostnames=granted),) if granted else ()
    return Route(
        load_balancer=LoadBalancer(
            metadata=Meta(namespace="edge", name=name),
            spec=LoadBalancerSpec(type=kind),  # type: ignore[arg-type] # one of its literals
        ),
        permission=Permission(namespace="shop", unrestricted=False, grants=grants),
    )


def test_each_balancer_answers_for_the_names_that_it_grants() -> None:
    found = routes_for(["a.x", "b.x"], [route("one", "a.x"), route("two", "*.x")])
    assert found == (
        ChallengeRoute(load_balancer=ObjectName("edge", "one"), names=("a.x",)),
        ChallengeRoute(load_balancer=ObjectName("edge", "two"), names=("a.x", "b.x")),
    )


NO_ROUTE = {
    "no frontend": [],
    "no grant": [route("one")],
    "another name": [route("one", "c.x")],
    "only a part": [route("one", "a.x")],
    "another type": [route("one", "*.x", kind="OVH")],
}


@pytest.mark.parametrize("routes", NO_ROUTE.values(), ids=NO_ROUTE)
def test_nothing_is_ordered_before_every_answer_can_be_reached(routes: list[Route]) -> None:
    with pytest.raises(NoRouteForChallenge) as caught:
        routes_for(["a.x", "b.x"], routes)
    assert caught.value.reason == "NoRouteForChallenge"
    assert "b.x" in caught.value.message
