"""What Rackspace's emulator serves, seen by handshakes and plain requests."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest

from tests.integration.emulators.rackspace_api import (
    BALANCER,
    MAPPINGS,
    TERMINATION,
    Api,
    Made,
    made,
    self_signed,
    started,
)

Served = Callable[[int, str | None], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Front:
    """The emulator and where its ports 443 and 80 are."""

    api: Api
    secure: int
    plain: int

    @property
    def open(self) -> set[int]:
        return set(self.api.running.fronts.ports)

    async def ask(self, port: int, path: str = "/") -> tuple[int, str, str]:
        """Status, Location and body of a request for a.example, without following redirects."""
        scheme = "https" if port == self.secure else "http"
        async with (
            aiohttp.ClientSession(headers={"Host": "a.example:1234"}) as session,
            session.get(
                f"{scheme}://127.0.0.1:{port}{path}", ssl=False, allow_redirects=False
            ) as answer,
        ):
            return answer.status, answer.headers.get("Location", ""), await answer.text()


@pytest.fixture
async def front(free_port: Callable[[], int]) -> AsyncIterator[Front]:
    secure, plain = free_port(), free_port()
    async with started(port_map={"443": secure, "71/80": plain}) as api:
        yield Front(api=api, secure=secure, plain=plain)


def _same(served: str, material: Made) -> bool:
    return served.strip() == material.certificate.strip()


async def test_a_low_port_is_not_served_without_a_map() -> None:
    async with started() as api:
        await api.done("PUT", TERMINATION, made("a.example").termination())
        assert api.running.fronts.ports == ()
        assert api.running.fronts.problems == {}


async def test_a_certificate_is_served_once_the_load_balancer_is_active_again(
    front: Front, served: Served
) -> None:
    assert front.open == {front.plain}
    await front.api("PUT", TERMINATION, made("a.example").termination())
    assert front.open == {front.plain}
    await front.api.advance(2)
    assert front.open == {front.plain, front.secure}
    assert _same(await served(front.secure, "a.example"), made("a.example"))


async def test_the_old_certificate_is_served_until_the_new_one_is_active(
    front: Front, served: Served
) -> None:
    old, new = made("a.example"), made("a.example", number=2, serial=2)
    await front.api.done("PUT", TERMINATION, old.termination())
    await front.api("PUT", TERMINATION, new.termination())
    assert _same(await served(front.secure, "a.example"), old)
    await front.api.advance(2)
    assert _same(await served(front.secure, "a.example"), new)


async def test_the_intermediate_is_served(front: Front) -> None:
    """A client that knows only the root can build the path."""
    material = made("a.example")
    await front.api.done("PUT", TERMINATION, material.termination())
    context = ssl.create_default_context(cadata=material.root)
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)

    def shake(port: int) -> str:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname="a.example") as secured,
        ):
            return str(secured.version())

    assert (await asyncio.to_thread(shake, front.secure)).startswith("TLSv1")
    bare = material.termination(intermediateCertificate=None)
    await front.api.done("PUT", TERMINATION, bare)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.to_thread(shake, front.secure)


async def test_a_mapping_serves_its_host_name_and_the_most_specific_wins(
    front: Front, served: Served
) -> None:
    default, star, exact = (
        made("a.example"),
        made("b.example", number=2),
        self_signed("x.b.example"),
    )
    await front.api.done("PUT", TERMINATION, default.termination())
    await front.api.map(star, "*.B.example")
    number = await front.api.map(exact, "x.b.example")
    expected = {
        "x.b.example": exact,
        "X.B.EXAMPLE": exact,
        "y.b.example": star,
        "b.example": default,
        "z.y.b.example": default,
        "a.example": default,
        "unknown.example": default,
        None: default,
    }
    for name, material in expected.items():
        assert _same(await served(front.secure, name), material), name
    await front.api.done("DELETE", f"{MAPPINGS}/{number}")
    assert _same(await served(front.secure, "x.b.example"), star)


async def test_a_changed_mapping_is_served(front: Front, served: Served) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination())
    number = await front.api.map(made("b.example", number=2), "b.example")
    new = made("b.example", number=3, serial=2)
    await front.api.done("PUT", f"{MAPPINGS}/{number}", new.mapping("b.example"))
    assert _same(await served(front.secure, "b.example"), new)


@pytest.mark.parametrize(
    ("attributes", "plain", "secure"),
    [
        ({}, True, True),
        ({"enabled": False}, True, False),
        ({"secureTrafficOnly": True}, False, True),
        ({"enabled": True, "secureTrafficOnly": False}, True, True),
        ({"enabled": False, "secureTrafficOnly": True}, True, False),
    ],
    ids=["default", "disabled", "secure-only", "both", "disabled-secure-only"],
)
async def test_which_ports_answer_is_the_guides_table(
    front: Front, attributes: dict[str, bool], plain: bool, secure: bool
) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination(**attributes))
    assert front.open == {
        port for port, wanted in ((front.plain, plain), (front.secure, secure)) if wanted
    }


async def test_disabling_overrides_secure_traffic_only_and_keeps_the_material(
    front: Front, served: Served
) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination(secureTrafficOnly=True))
    await front.api.done("PUT", TERMINATION, {"sslTermination": {"enabled": False}})
    assert front.open == {front.plain}
    await front.api.done("PUT", TERMINATION, {"sslTermination": {"enabled": True}})
    assert front.open == {front.secure}
    assert _same(await served(front.secure, "a.example"), made("a.example"))


async def test_a_node_is_told_how_a_request_came(front: Front) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination())
    assert "X-Forwarded-Proto https" in (await front.ask(front.secure))[2]
    assert "X-Forwarded-Proto http\n" in (await front.ask(front.plain))[2]


async def test_a_redirect_leads_to_the_same_url_on_port_443(front: Front) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination(secureTrafficOnly=True))
    assert front.open == {front.secure}
    await front.api("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": True}})
    assert front.open == {front.secure}
    await front.api.advance(2)
    status, location, _ = await front.ask(front.plain, "/page.html?q=1")
    assert (status, location) == (301, "https://a.example/page.html?q=1")
    await front.api.done("PUT", BALANCER, {"loadBalancer": {"httpsRedirect": False}})
    assert front.open == {front.secure}


async def test_a_deleted_termination_closes_the_secure_port(front: Front) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination())
    await front.api.done("DELETE", TERMINATION)
    assert front.open == {front.plain}


@pytest.mark.parametrize(
    ("status", "serves"),
    [("ERROR", True), ("PENDING_UPDATE", True), ("SUSPENDED", False), ("DELETED", False)],
)
async def test_what_serves_in_which_status(front: Front, status: str, serves: bool) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination())
    await front.api.steer("status", {"status": status})
    assert front.open == ({front.plain, front.secure} if serves else set())


async def test_a_failed_change_leaves_the_old_certificate(front: Front, served: Served) -> None:
    await front.api.done("PUT", TERMINATION, made("a.example").termination())
    await front.api.steer("fail-next-update")
    await front.api("PUT", TERMINATION, made("a.example", serial=2).termination())
    await front.api.advance(2)
    assert _same(await served(front.secure, "a.example"), made("a.example"))


async def test_an_unmapped_high_port_is_served_as_it_is(
    free_port: Callable[[], int], served: Served
) -> None:
    port = free_port()
    async with started() as api:
        body = made("a.example").termination(securePort=port)
        await api.done("PUT", TERMINATION, body)
        assert _same(await served(port, "a.example"), made("a.example"))
