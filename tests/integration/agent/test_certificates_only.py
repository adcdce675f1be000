"""A node whose haproxy.cfg is someone else's: certificates and one crt-list a port, and nothing more."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from certfront.agent.inbox import Inbox
from certfront.agent.node import initialise
from certfront.agent.options import AgentOptions
from certfront.agent.runtime import Runtime
from certfront.kube.errors import Unreachable
from certfront.loadbalancers.handshake import HandshakeFailed
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.handover import Manifest
from tests.integration.agent.harness import (
    LOAD_BALANCER,
    Site,
    Supervisor,
    bundle_name,
    certificate,
    fingerprint,
    manifest_name,
    new_site,
    pair,
    remove_site,
    until,
)
from tests.integration.agent.test_agent import bundle, has_passed, running
from tests.integration.agent.test_node import get, shown
from tests.unit.agent.fake_api import FakeApi

OWN = "own.example"


def wanted(frontend: str = "shop/shop", **changes: Any) -> Manifest:
    """Certificate `a` for a.example on 443."""
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "port": 443,
        "hostnames": ("a.example",),
        "certificates": (certificate("a", "a.example"),),
        "manage": "CertificatesOnly",
    }
    return Manifest(frontend=frontend, **(values | changes))


class Administrator(Supervisor):
    """Starts HAProxy from a configuration of its own, outside the agent's directory."""

    def __init__(self, program: str, etc: Path) -> None:
        super().__init__(program, etc)
        self.etc = etc

    def write(self, agent: Path, address: str, ports: dict[int, int], *listed: int) -> None:
        """A site of the administrator's, with the agent's crt-list on the ports `listed`."""
        crt, key = pair(OWN)
        (self.etc / "my site.pem").write_bytes(crt + key)
        binds = "".join(
            f"    bind {address}:{ports[port]} ssl"
            f" crt-list {agent}/crt-lists/external-{port}.crt-list strict-sni\n"
            for port in listed
        )
        (self.etc / "haproxy.cfg").write_text(f"""\
global
    stats socket {self.etc}/haproxy.sock mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend site
    bind {address}:{ports[80]} ssl crt '{self.etc}/my site.pem'
{binds}    http-request return status 200 content-type text/plain string 'mine'
""")


@dataclass
class Outside(Site):
    """The node of an administrator."""

    @property
    def options(self) -> AgentOptions:
        etc = self.directory.with_name(f"{self.directory.name}.etc")
        return replace(
            super().options,
            certificates_only=True,
            runtime_socket=etc / "haproxy.sock",
            master_socket=etc / "master.sock",
            haproxy="/nonexistent/haproxy",
        )


@pytest.fixture
async def outside(program: str) -> AsyncIterator[Outside]:
    made = new_site(program)
    etc = made.directory.with_name(f"{made.directory.name}.etc")
    etc.mkdir()
    site = Outside(
        program=program,
        directory=made.directory,
        address=made.address,
        ports=made.ports,
        inbox=Inbox("haproxy", certificates_only=True),
    )
    admin = Administrator(program, etc)
    admin.write(site.directory, site.address, site.ports, 443)
    site.haproxy = admin
    site.runtime = Runtime(str(etc / "haproxy.sock"))
    initialise(site.options)
    try:
        await admin.start()
        site.node.recover()
        yield site
    finally:
        remove_site(site)
        shutil.rmtree(etc)


def administrator(site: Site) -> Administrator:
    assert isinstance(site.haproxy, Administrator)
    return site.haproxy


async def test_it_starts_empty_rotates_at_run_time_and_writes_no_configuration(
    outside: Outside,
) -> None:
    """HAProxy was started from what `--init` left; a pair, then another one, then another type."""
    site = outside
    configuration = (administrator(site).etc / "haproxy.cfg").read_bytes()
    worker = await site.worker()
    with pytest.raises(HandshakeFailed, match="UNRECOGNIZED_NAME"):
        await shown(site, "a.example")
    own = await shown(site, OWN, 80)
    for key_type in ("ECDSA", "RSA", "ECDSA"):
        tls = pair("a.example", key_type=key_type)
        site.offer_pair("a", tls)
        site.offer(wanted())
        outcome = await site.converge()
        assert outcome.failed == ()
        assert outcome.proven
        assert await shown(site, "a.example") == fingerprint(tls[0])
        # The agent is killed and started again.
        site.node = site.new_node()
        site.node.recover()
    assert await site.worker() == worker
    assert await shown(site, OWN, 80) == own
    assert not (site.directory / "haproxy.cfg").exists()
    assert (administrator(site).etc / "haproxy.cfg").read_bytes() == configuration
    site.haproxy.stop()
    await site.haproxy.start()
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_names_come_and_go_and_a_released_list_stays_a_file(outside: Outside) -> None:
    site = outside
    a, b = pair("a.example"), pair("*.b.example")
    site.offer_pair("a", a)
    site.offer_pair("b", b)
    site.offer(
        wanted(),
        wanted(
            "blog/blog",
            hostnames=("*.b.example",),
            certificates=(certificate("b", "*.b.example"),),
        ),
    )
    worker = await site.worker()
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(a[0])
    assert await shown(site, "x.b.example") == fingerprint(b[0])
    site.offer(handover.released(wanted()))
    assert (await site.converge()).failed == ()
    with pytest.raises(HandshakeFailed, match="UNRECOGNIZED_NAME"):
        await shown(site, "a.example")
    site.offer(handover.released(wanted("blog/blog")))
    assert (await site.converge()).failed == ()
    assert site.files("certs") == []
    assert site.files("crt-lists") == ["external-443.crt-list"]
    assert (site.directory / "crt-lists/external-443.crt-list").read_bytes() == b""
    assert await site.worker() == worker
    assert await get_own(site) == b"mine"


async def get_own(site: Site) -> bytes:
    """The administrator's own site still answers."""
    held = replace(site, ports={443: site.ports[80]})  # its TLS bind is on the port for 80
    return (await get(held, OWN, tls=True))[2]


async def test_a_list_that_the_configuration_does_not_name_is_told_and_used_after_a_reload(
    outside: Outside,
) -> None:
    """Nobody else's HAProxy is reloaded for it; its own reload is noticed."""
    site = outside
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(wanted(port=8443))
    worker = await site.worker()
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [
        (manifest_name("shop/shop"), "CrtListNotUsed")
    ]
    assert await site.worker() == worker
    admin = administrator(site)
    admin.write(site.directory, site.address, site.ports, 443, 8443)
    admin.stop()
    await admin.start()
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example", 8443) == fingerprint(tls[0])


async def test_a_long_chain_is_loaded_by_one_reload_or_told(outside: Outside) -> None:
    site = outside
    first = pair("a.example")
    site.offer_pair("a", first)
    site.offer(wanted())
    assert (await site.converge()).failed == ()
    admin = administrator(site)
    config = admin.etc / "haproxy.cfg"
    text = config.read_text()
    config.write_text("no such word\n" + text)
    large = pair("a.example", extra=150)
    site.offer_pair("a", large)
    site.offer_pair("b", pair("b.example"))
    site.offer(
        wanted(
            hostnames=("a.example", "b.example"),
            certificates=(certificate("a", "a.example"), certificate("b", "b.example")),
        )
    )
    outcome = await site.converge()
    assert [(one.secret, one.reason) for one in outcome.failed] == [
        (bundle_name("a"), "ReloadNeeded")
    ]
    assert await shown(site, "a.example") == fingerprint(first[0])
    await shown(site, "b.example")
    config.write_text(text)
    worker = await site.worker()
    site.node = site.new_node()
    site.node.recover()
    assert (await site.converge()).failed == ()
    assert await shown(site, "a.example") == fingerprint(large[0])
    assert await site.worker() != worker


async def test_a_frontend_that_wants_a_listener_is_refused_here_and_what_is_served_stays(
    outside: Outside,
) -> None:
    site = outside
    tls = pair("a.example")
    site.offer_pair("a", tls)
    site.offer(wanted())
    assert (await site.converge()).failed == ()
    site.offer(wanted(manage="Listener"))
    outcome = await site.converge()
    assert [one.reason for one in outcome.failed] == ["ManageMismatch"]
    assert await shown(site, "a.example") == fingerprint(tls[0])


async def test_a_node_that_makes_listeners_refuses_certificates_alone(site: Site) -> None:
    site.offer_pair("a", pair("a.example"))
    site.offer(wanted())
    outcome = await site.converge()
    assert [one.reason for one in outcome.failed] == ["ManageMismatch"]
    assert site.files("crt-lists") == []


async def test_it_serves_repairs_and_catches_up_while_the_api_server_is_away(
    outside: Outside,
) -> None:
    """The agent is started without an API server, and HAProxy beside it."""
    site, api = outside, FakeApi()
    tls = pair("a.example")
    api.put(bundle("a", tls))
    api.put(handover.manifest_secret(LOAD_BALANCER, wanted()))
    async with running(site, api):
        await until(has_passed(api, bundle_name("a"), manifest_name("shop/shop")))
    site.haproxy.stop()
    api.outage(Unreachable)
    await site.haproxy.start()
    rotated = pair("a.example")
    async with running(site, api) as agent:
        await until(lambda: bool(agent.outcome and agent.outcome.proven))
        assert await shown(site, "a.example") == fingerprint(tls[0])
        api.put(bundle("a", rotated), silently=True)
        api.outage(None)
        await until(has_passed(api, bundle_name("a")))
        assert await shown(site, "a.example") == fingerprint(rotated[0])
