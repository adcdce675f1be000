"""What the schemas and their rules accept and refuse, row by row of the tables."""

import pytest

from tests.integration.crds import (
    certificate_tables,
    frontend_tables,
    issuer_and_load_balancer_tables,
)
from tests.integration.crds.conftest import Server
from tests.integration.crds.manifests import Object, build

ACCEPTED = {
    **{
        f"certificate: {name}": build("Certificate", spec)
        for name, spec in certificate_tables.ACCEPTED.items()
    },
    **{
        f"frontend: {name}": build("LoadBalancerFrontend", spec)
        for name, spec in frontend_tables.ACCEPTED.items()
    },
    **issuer_and_load_balancer_tables.ACCEPTED,
}
REFUSED = {
    **{
        f"certificate: {name}": (build("Certificate", spec), where)
        for name, (spec, where) in certificate_tables.REFUSED.items()
    },
    **{
        f"frontend: {name}": (build("LoadBalancerFrontend", spec), where)
        for name, (spec, where) in frontend_tables.REFUSED.items()
    },
    **issuer_and_load_balancer_tables.REFUSED,
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_is_accepted(server: Server, shared_namespace: str, body: Object) -> None:
    answer = server.create(body, shared_namespace)
    assert answer.code == 201, answer.text


@pytest.mark.parametrize(("body", "where"), REFUSED.values(), ids=REFUSED)
def test_is_refused_and_told_where(
    server: Server, shared_namespace: str, body: Object, where: str
) -> None:
    answer = server.create(body, shared_namespace)
    assert answer.code in (400, 422), answer.text
    assert where in answer.json["message"]
