"""One node with a real HAProxy: what is offered is served, and what is served stays."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import socket
import ssl
import stat
from datetime import timedelta
from typing import Any

import pytest

from certfront.agent import reconcile, validation
from certfront.agent.bundles import from_secret
from certfront.agent.exchange import exchange
from certfront.agent.runtime import Refused, Runtime, set_command
from certfront.loadbalancers.handshake import HandshakeFailed, probe
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Challenge, Farm, FarmVerification
from certfront.model.frontend import HSTS, Server
from tests.integration.agent.harness import (
    LOAD_BALANCER,
    NOW,
    Site,
    bundle_name,
    certificate,
    fingerprint,
    manifest,
    manifest_name,
    pair,
)

THUMBPRINT = "t" * 43


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def shown(site: Site, name: str | None, port: int = 443) -> str:
    """The fingerprint that a client of the real listener gets."""
    seen = await probe((site.address, site.port(port)), name, client_context())
    return seen.fingerprint


async def get(
    site: Site, host: str, path: str = "/", *, tls: bool = False, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request, without following anything."""

    def ask() -> tuple[int, dict[str, str], bytes]:
        raw = socket.create_connection((site.address, site.port(443 if tls else 80)), timeout=10)
        if tls:
            raw = client_context().wrap_socket(raw, server_hostname=host)
        connection = http.client.HTTPConnection(host)
        connection.sock = raw
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, body

    return await asyncio.to_thread(ask)


class Backend:
    """A server that answers with the head of the request it got."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.port = 0

    async def __aenter__(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(head) + head
        )
        await writer.drain()
        writer.close()

    def farm(self, **more: Any) -> Farm:
        return Farm(name="web", servers=(Server(address="127.0.0.1", port=self.port),), **more)


async def test_a_certificate_is_served_proven_and_kept_with_mode_0600(site: Site) -> None:
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(manifest())
    outcome = await site.converge()
    assert outcome.failed == ()
    assert outcome.proven
    assert await shown(site, "a.example") == fingerprint(tls[0])
    file = site.directory / "certs" / f"{bundle_name('a')}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert site.check() == ""


async def test_rotation_is_at_run_time_on_disk_and_in_memory(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    worker = await site.worker()
    for key_type in ("ECDSA", "RSA", "Ed25519", "ECDSA"):
        tls = pair("a.example", key_type=key_type)
        site.offer_pair("a", tls)
        assert (await site.converge()).failed == ()
        assert await shown(site, "a.example") == fingerprint(tls[0])
        assert await site.worker() == worker
        site.node = site.new_node()
        site.node.recover()
    assert site.check() == ""


async def test_names_are_added_and_removed_without_a_reload(site: Site) -> None:
    """Hostnames, certificates and crt-list lines of a frontend change; the worker stays."""
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    worker = await site.worker()
    tls = pair("b.example", "*.c.example")
    site.offer_pair("b", tls)
    more = ("a.example", "b.example", "*.c.example")
    site.offer(
        manifest(
            hostnames=more,
            certificates=(
                certificate("a", "a.example"),
                certificate("b", "b.example", "*.c.example"),
            ),
        )
    )
    assert (await site.converge()).failed == ()
    for name in ("b.example", "x.c.example", "B.Example"):
        assert await shown(site, name) == fingerprint(tls[0])
        assert (await get(site, name))[0] == 308
    with pytest.raises(HandshakeFailed, match="UNRECOGNIZED_NAME"):
        await shown(site, "x.y.c.example")
    site.offer(manifest())
    assert (await site.converge()).failed == ()
    with pytest.raises(HandshakeFailed, match="UNRECOGNIZED_NAME"):
        await shown(site, "b.example")
    assert (await get(site, "b.example"))[0] == 404
    assert site.files("certs") == [f"{bundle_name('a')}.pem"]
    assert await site.worker() == worker


async def test_a_name_moves_between_bundles_and_is_never_without_a_certificate(site: Site) -> None:
    old, new = pair("a.example", "b.example"), pair("b.example")
    site.offer_pair("a", old)
    both = ("a.example", "b.example")
    site.offer(manifest(hostnames=both, certificates=(certificate("a", *both),)))
    await site.converge()
    worker = await site.worker()
    seen = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.add(await shown(site, "b.example"))

    watching = asyncio.create_task(watch())
    site.offer_pair("b", new)
    site.offer(
        manifest(
            hostnames=both,
            certificates=(certificate("a", "a.example"), certificate("b", "b.example")),
        )
    )
    assert (await site.converge()).failed == ()
    done.set()
    await watching
    assert seen <= {fingerprint(old[0]), fingerprint(new[0])}
    assert await shown(site, "b.example") == fingerprint(new[0])
    assert await shown(site, "a.example") == fingerprint(old[0])
    assert await site.worker() == worker


async def test_challenges_are_answered_by_host_and_whole_path_without_a_reload(site: Site) -> None:
    site.offer(manifest(certificates=(), hostnames=(), http_port=None, challenge_port=80))
    await site.converge()
    worker = await site.worker()
    site.offer_challenges(
        "a",
        Challenge(hostname="a.example", token="tok", key_authorization=f"tok.{THUMBPRINT}"),
    )
    assert (await site.converge()).failed == ()
    path = "/.well-known/acme-challenge/tok"
    assert (await get(site, "A.example", path))[2] == f"tok.{THUMBPRINT}".encode()
    assert (await get(site, "a.example:80", path))[0] == 200
    assert (await get(site, "b.example", path))[0] == 404
    assert (await get(site, "a.example", "/x/tok"))[0] == 404
    assert (await get(site, "a.example", "/"))[0] == 404
    site.offer_challenges("a")
    assert (await site.converge()).failed == ()
    assert (await get(site, "a.example", path))[0] == 404
    assert await site.worker() == worker


async def test_a_challenge_that_no_listener_can_answer_is_told(site: Site) -> None:
    site.offer_challenges(
        "a",
        Challenge(hostname="a.example", token="tok", key_authorization=f"tok.{THUMBPRINT}"),
    )
    outcome = await site.converge()
    assert [one.reason for one in outcome.failed] == ["NoRouteForChallenge"]


async def test_rsa_and_ecdsa_of_one_name_are_both_served_and_proven(site: Site) -> None:
    ecdsa, rsa = pair("a.example"), pair("a.example", key_type="RSA")
    site.offer_pair("a", ecdsa)
    site.offer_pair("r", rsa)
    site.offer(
        manifest(
            certificates=(
                certificate("a", "a.example"),
                certificate("r", "a.example", key_type="RSA"),
            )
        )
    )
    assert (await site.converge()).failed == ()
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+aRSA+AESGCM")
    seen = await probe((site.address, site.port(443)), "a.example", context)
    assert seen.fingerprint == fingerprint(rsa[0])
    assert await shown(site, "a.example") == fingerprint(ecdsa[0])


async def test_an_exact_rsa_name_under_an_ecdsa_wildcard_is_refused_and_told(site: Site) -> None:
    wildcard = pair("*.example")
    site.offer_pair("a", wildcard)
    site.offer_pair("r", pair("a.example", key_type="RSA"))
    site.offer(
        manifest(
            hostnames=("*.example", "a.example"),
            certificates=(
                certificate("a", "*.example"),
                certificate("r", "a.example", key_type="RSA"),
            ),
        )
    )
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [
        (manifest_name("shop/shop"), "ShadowedByWildcard")
    ]
    assert await shown(site, "b.example") == fingerprint(wildcard[0])


async def test_a_default_certificate_answers_unknown_names_and_goes_again(site: Site) -> None:
    a, d = pair("a.example"), pair("d.example")
    site.offer_pair("a", a)
    site.offer_pair("d", d)
    site.offer(manifest(default_bundle=bundle_name("d")))
    assert (await site.converge()).failed == ()
    for name in (None, "unknown.example", "d.example"):
        assert await shown(site, name) == fingerprint(d[0])
    assert await shown(site, "a.example") == fingerprint(a[0])
    rotated = pair("d.example")
    worker = await site.worker()
    site.offer_pair("d", rotated)
    assert (await site.converge()).failed == ()
    assert await shown(site, None) == fingerprint(rotated[0])
    assert await site.worker() == worker
    site.offer(manifest())
    assert (await site.converge()).failed == ()
    with pytest.raises(HandshakeFailed):
        await shown(site, None)


async def test_frontends_on_one_port_have_their_own_certificates_farms_and_headers(
    site: Site,
) -> None:
    async with Backend() as backend:
        a, b = pair("a.example"), pair("*.b.example")
        site.offer_pair("a", a)
        site.offer_pair("b", b)
        site.offer(
            manifest(farm=backend.farm(), hsts=HSTS(max_age=7, include_sub_domains=True)),
            manifest(
                "blog/blog",
                hostnames=("*.b.example",),
                certificates=(certificate("b", "*.b.example"),),
                farm=None,
                redirect_location="https://www.example/?a=%41&b=$c",
                https_only=None,
                http_port=None,
            ),
        )
        assert (await site.converge()).failed == ()
        assert await shown(site, "x.b.example") == fingerprint(b[0])
        status, headers, body = await get(site, "a.example", "/p?q=1", tls=True)
        assert status == 200
        assert headers["strict-transport-security"] == "max-age=7; includeSubDomains"
        assert body.startswith(b"GET /p?q=1 HTTP/1.1\r\n")
        assert b"x-forwarded-proto: https" in body.lower()
        status, headers, _ = await get(site, "x.b.example", tls=True)
        assert (status, headers["location"]) == (302, "https://www.example/?a=%41&b=$c")
        assert "strict-transport-security" not in headers
        assert (await get(site, "a.b.c.example"))[0] == 404


@pytest.mark.parametrize(
    ("trusted", "status", "proto"),
    [(("127.0.0.0/8",), 200, b"https"), (("192.0.2.0/24",), 308, b"")],
    ids=["from a trusted source", "from anyone else"],
)
async def test_plain_http_that_was_tls_before_is_believed_from_trusted_sources_only(
    site: Site, trusted: tuple[str, ...], status: int, proto: bytes
) -> None:
    async with Backend() as backend:
        site.offer_pair("a", pair("a.example"))
        site.offer(manifest(farm=backend.farm(), accept_terminated=True, trusted_sources=trusted))
        assert (await site.converge()).failed == ()
        answer = await get(site, "a.example", **{"X-Forwarded-Proto": "https"})
        assert answer[0] == status
        assert proto in answer[2]


async def test_forwarding_headers_of_clients_are_not_passed_on(site: Site) -> None:
    async with Backend() as backend:
        site.offer(
            manifest(
                ssl=False,
                port=80,
                http_port=None,
                https_only=None,
                certificates=(),
                hostnames=("any.example",),
                farm=backend.farm(),
            )
        )
        assert (await site.converge()).failed == ()
        forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        _, _, body = await get(site, "any.example", **forged)
        assert b"192.0.2.1" not in body
        assert b"x-forwarded-proto: http\r\n" in body.lower()


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ({"allowed_sources": ("127.0.0.0/8",)}, 308),
        ({"allowed_sources": ("192.0.2.0/24", "2001:db8::/32")}, 403),
        ({"denied_sources": ("127.0.0.0/8",)}, 403),
        ({"denied_sources": ("192.0.2.1",)}, 308),
        ({"https_only": 301}, 301),
    ],
    ids=["allowed", "not allowed", "denied", "not denied", "redirect code"],
)
async def test_policies_apply_to_the_frontends_own_names(
    site: Site, policy: dict[str, Any], status: int
) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest(**policy))
    assert (await site.converge()).failed == ()
    assert (await get(site, "a.example"))[0] == status


async def test_tls13_is_the_minimum_for_the_names_that_ask_for_it(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer_pair("b", pair("b.example"))
    site.offer(
        manifest(min_tls_version="TLS1.3"),
        manifest("shop/b", hostnames=("b.example",), certificates=(certificate("b", "b.example"),)),
    )
    assert (await site.converge()).failed == ()
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    await probe((site.address, site.port(443)), "b.example", context)
    with pytest.raises(HandshakeFailed):
        await probe((site.address, site.port(443)), "a.example", context)
    await shown(site, "a.example")


async def test_the_farm_is_reached_by_tls_and_verified(site: Site) -> None:
    good, other = pair("backend.example"), pair("backend.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = site.directory / "backend.pem"
    file.write_bytes(good[1] + good[0])
    context.load_cert_chain(file)
    async with Backend(context) as backend:
        site.offer_pair("a", pair("a.example"))
        for ca, status in ((good, 200), (other, 503)):
            verify = FarmVerification(ca_pem=ca[0].decode(), server_name="backend.example")
            site.offer(manifest(farm=backend.farm(verify=verify)))
            assert (await site.converge()).failed == ()
            assert (await get(site, "a.example", tls=True))[0] == status


async def test_a_large_chain_goes_by_disk_and_reload(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    worker = await site.worker()
    tls = pair("a.example", extra=150)
    assert len(tls[0]) > 16_384
    site.offer_pair("a", tls)
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(tls[0])
    assert await site.worker() != worker


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({"not_after": NOW - timedelta(minutes=1)}, "Expired"),
        ({"not_before": NOW + timedelta(hours=1)}, "NotYetValid"),
    ],
    ids=["expired", "not yet valid"],
)
async def test_a_pair_outside_its_validity_never_replaces_what_is_served(
    site: Site, dates: dict[str, Any], reason: str
) -> None:
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(manifest())
    await site.converge()
    site.offer_pair("a", pair("a.example", **dates))
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [(bundle_name("a"), reason)]
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_a_bundle_or_manifest_that_is_gone_takes_nothing_away(site: Site) -> None:
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(manifest())
    await site.converge()
    site.inbox.drop(bundle_name("a"))
    assert (await site.converge()).failed == ()
    site.inbox.replace([], str(site.revision + 1))
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_a_released_frontend_is_taken_down_with_its_files(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    site.offer(handover.released(manifest()))
    assert (await site.converge()).failed == ()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((site.address, site.port(443)), timeout=5)
    assert site.files("certs") == []
    assert site.files("crt-lists") == []


async def test_the_agent_restarts_and_serves_without_an_api_server(site: Site) -> None:
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(manifest())
    await site.converge()
    site.haproxy.stop()
    site.inbox = type(site.inbox)("haproxy")
    site.node = site.new_node()
    site.node.recover()
    await site.haproxy.start()
    outcome = await site.converge()
    assert outcome.proven
    assert outcome.resource_version == ""
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_a_new_node_is_not_proven_before_it_has_read_the_secrets(site: Site) -> None:
    assert not (await site.converge()).proven


async def test_damaged_files_are_put_aside_at_start(site: Site) -> None:
    b = pair("b.example")
    site.offer_pair("a", pair("a.example"))
    site.offer_pair("b", b)
    both = ("a.example", "b.example")
    entries = (certificate("a", "a.example"), certificate("b", "b.example"))
    site.offer(manifest(hostnames=both, certificates=entries))
    await site.converge()
    site.haproxy.stop()
    (site.directory / "certs" / f"{bundle_name('a')}.pem").write_bytes(b"torn")
    (site.directory / "crt-lists" / "443.crt-list").write_bytes(b"no newline")
    assert site.check() != ""
    site.node = site.new_node()
    site.node.recover()
    assert site.check() == ""
    assert site.files("quarantine") == [f"{bundle_name('a')}.pem"]
    await site.haproxy.start()
    outcome = await site.node.converge(type(site.inbox)("haproxy").snapshot())
    assert [one.reason for one in outcome.failed] == ["BundleMissing"]
    assert await shown(site, "b.example") == fingerprint(b[0])
    assert (await site.converge()).failed == ()


async def test_haproxy_down_is_told_and_the_disk_is_right_when_it_comes_back(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    site.haproxy.stop()
    tls = pair("a.example")
    site.offer_pair("a", tls)
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [("", "HAProxyDown")]
    assert not outcome.alive
    assert site.check() == ""
    await site.haproxy.start()
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_only_the_manifest_that_haproxy_refuses_is_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that passes our checks, but not HAProxy's, in one batch with a good one."""
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    render = validation.render

    def bad_render(entries: Any, *arguments: Any) -> Any:
        held = tuple(entries)
        rendered = render(held, *arguments)
        if not any(one.manifest.hsts is not None for one in held):
            return rendered
        return dataclasses.replace(
            rendered, configuration=rendered.configuration + "\n    bogus line\n"
        )

    monkeypatch.setattr(validation, "render", bad_render)
    b = pair("b.example")
    site.offer_pair("b", b)
    site.offer(
        manifest(hsts=HSTS(max_age=1)),
        manifest("shop/b", hostnames=("b.example",), certificates=(certificate("b", "b.example"),)),
    )
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [
        (manifest_name("shop/shop"), "ConfigurationRefused")
    ]
    assert "/" not in outcome.failed[0].message
    assert (await get(site, "a.example"))[0] == 308
    assert await shown(site, "b.example") == fingerprint(b[0])
    site.offer(manifest())
    assert (await site.converge()).failed == ()


async def test_a_taken_port_fails_its_manifest_alone_and_heals(site: Site) -> None:
    a, b = pair("a.example"), pair("b.example")
    site.offer_pair("a", a)
    site.offer_pair("b", b)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((site.address, site.port(8443)))
        other.listen()
        site.offer(
            manifest(),
            manifest(
                "shop/b",
                port=8443,
                http_port=None,
                hostnames=("b.example",),
                certificates=(certificate("b", "b.example"),),
            ),
        )
        outcome = await site.converge()
        assert [(one.secret, one.reason) for one in outcome.failed] == [
            (manifest_name("shop/b"), "PortInUse")
        ]
        assert outcome.look_again is not None
        assert await shown(site, "a.example") == fingerprint(a[0])
        assert site.check() == ""
    assert (await site.converge()).failed == ()
    assert await shown(site, "b.example", 8443) == fingerprint(b[0])


async def test_a_reload_that_fails_leaves_disk_and_listeners_as_they_were(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port is taken after our own look at it: HAProxy finds out, and goes back."""
    monkeypatch.setattr(reconcile, "is_taken", lambda _: False)
    a = pair("a.example")
    site.offer_pair("a", a)
    site.offer_pair("b", pair("b.example"))
    site.offer(manifest())
    await site.converge()
    before = (site.directory / "haproxy.cfg").read_bytes()
    with socket.socket() as other:
        other.bind((site.address, site.port(8443)))
        other.listen()
        site.offer(
            manifest(
                "shop/b",
                port=8443,
                http_port=None,
                hostnames=("b.example",),
                certificates=(certificate("b", "b.example"),),
            )
        )
        outcome = await site.converge()
        assert [(one.secret, one.reason) for one in outcome.failed] == [
            (manifest_name("shop/b"), "ReloadRefused")
        ]
        assert (site.directory / "haproxy.cfg").read_bytes() == before
        assert await shown(site, "a.example") == fingerprint(a[0])


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """One request on a connection that stays open; the status line."""
    writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(int(length.partition(b":")[2]))
    return head.partition(b"\r\n")[0]


async def test_connections_survive_every_change(site: Site) -> None:
    """Waiting ones that had a request before, new ones that had none, and one in the middle of it."""
    async with Backend() as backend:
        site.offer_pair("a", pair("a.example"))
        site.offer_pair("b", pair("b.example"))
        site.offer(manifest(farm=backend.farm()))
        await site.converge()

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(
                site.address, site.port(443), ssl=client_context(), server_hostname="a.example"
            )

        waiting = [await connect() for _ in range(5)]
        for one in waiting:
            assert await ask(*one) == b"HTTP/1.1 200 OK"
        untouched, half = await connect(), await connect()
        half[1].write(b"GET / HTTP/1.1\r\nHo")
        worker = await site.worker()
        site.offer_pair("a", pair("a.example"))
        site.offer(
            manifest(
                "shop/b", hostnames=("b.example",), certificates=(certificate("b", "b.example"),)
            )
        )
        assert (await site.converge()).failed == ()
        assert await site.worker() != worker
        for one in (*waiting, untouched):
            assert await ask(*one) == b"HTTP/1.1 200 OK"
        half[1].write(b"st: a.example\r\n\r\n")
        assert (await half[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        for _, writer in (*waiting, untouched, half):
            writer.transport.abort()


async def test_a_transaction_of_a_dead_client_is_aborted(site: Site) -> None:
    """On 2.6 a `set` would be taken into the other's transaction, and swap two key pairs."""
    site.offer_pair("a", pair("a.example"))
    b = pair("b.example")
    site.offer_pair("b", b)
    both = ("a.example", "b.example")
    entries = (certificate("a", "a.example"), certificate("b", "b.example"))
    site.offer(manifest(hostnames=both, certificates=entries))
    await site.converge()
    path = str(site.directory / "certs" / f"{bundle_name('b')}.pem")
    other = pair("other.example")
    stray = from_secret(
        handover.bundle_secret(
            LOAD_BALANCER, kind="C", source=LOAD_BALANCER, tls_crt=other[0], tls_key=other[1]
        )["data"]
    )
    socket_path = str(site.directory / "haproxy.sock")
    await exchange(socket_path, set_command(path, stray.pem), seconds=10)
    a = pair("a.example")
    site.offer_pair("a", a)
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(a[0])
    assert await shown(site, "b.example") == fingerprint(b[0])
    assert (await site.runtime.certificates())[1] == ()


async def test_a_pair_that_haproxy_refuses_leaves_its_own_name_and_all_others_as_they_are(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that fails: disk and memory go back, the refusal is told, and lasts a minute."""
    a = pair("a.example")
    site.offer_pair("a", a)
    site.offer_pair("b", pair("b.example"))
    both = ("a.example", "b.example")
    entries = (certificate("a", "a.example"), certificate("b", "b.example"))
    site.offer(manifest(hostnames=both, certificates=entries))
    await site.converge()
    install = Runtime.install

    async def refusing(self: Runtime, path: str, *arguments: Any, **more: Any) -> None:
        if bundle_name("a") in path:
            raise Refused("commit: ee key too small")
        await install(self, path, *arguments, **more)

    monkeypatch.setattr(Runtime, "install", refusing)
    file = site.directory / "certs" / f"{bundle_name('a')}.pem"
    before = file.read_bytes()
    b = pair("b.example")
    site.offer_pair("a", pair("a.example"))
    site.offer_pair("b", b)
    for _ in range(2):
        outcome = await site.converge()
        assert [(one.secret, one.reason) for one in outcome.failed] == [
            (bundle_name("a"), "RefusedByHAProxy")
        ]
        assert await shown(site, "a.example") == fingerprint(a[0])
        assert await shown(site, "b.example") == fingerprint(b[0])
        assert file.read_bytes() == before


async def test_damage_is_mended_in_files_and_in_memory_while_the_api_server_is_away(
    site: Site,
) -> None:
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(manifest())
    await site.converge()
    site.inbox = type(site.inbox)("haproxy")
    path = site.directory / "certs" / f"{bundle_name('a')}.pem"
    good = path.read_bytes()
    for file in (path, site.directory / "haproxy.cfg", site.directory / "maps/80.hosts.map"):
        file.unlink()
    (site.directory / "crt-lists" / "443.crt-list").write_bytes(b"torn")
    other = pair("other.example")
    stray = from_secret(
        handover.bundle_secret(
            LOAD_BALANCER, kind="C", source=LOAD_BALANCER, tls_crt=other[0], tls_key=other[1]
        )["data"]
    )
    await site.runtime.install(str(path), stray.pem, is_ours=stray.is_shown_as, known=True)
    (line,) = await site.runtime.list_lines(str(site.directory / "crt-lists" / "443.crt-list"))
    await site.runtime.delete_line(str(site.directory / "crt-lists" / "443.crt-list"), line)
    await site.runtime.replace_map(str(site.directory / "maps" / "80.hosts.map"), {})
    await asyncio.to_thread(site.node.audit)
    assert (await site.converge()).failed == ()
    assert path.read_bytes() == good
    assert site.check() == ""
    assert await shown(site, "a.example") == fingerprint(tls[0])
    assert (await get(site, "a.example"))[0] == 308


async def test_a_supervisors_restart_is_noticed_and_everything_is_proven_again(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(manifest())
    await site.converge()
    assert await site.node.is_as_left()
    site.haproxy.stop()
    assert not await site.node.is_as_left()
    await site.haproxy.start()
    assert not await site.node.is_as_left()
    assert (await site.converge()).proven
    assert await site.node.is_as_left()
