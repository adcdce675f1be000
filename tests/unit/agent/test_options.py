"""The agent's options, and the small texts around HAProxy."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from certfront.agent.options import AgentOptions, parse_port_map, parse_ports
from certfront.agent.validation import complaint, is_taken


def options(directory: str = "/d") -> AgentOptions:
    return AgentOptions(
        load_balancer="haproxy", namespace="edge", node="n", directory=Path(directory)
    )


def test_a_port_map_is_read() -> None:
    assert parse_port_map("443=8443, 80=8080") == {443: 8443, 80: 8080}
    assert parse_port_map("") == {}


@pytest.mark.parametrize("text", ["443", "443=", "a=1", "0=1", "1=70000", "1=2,1=3", "1=3,2=3"])
def test_a_port_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        parse_port_map(text)


def test_the_master_socket_is_in_the_directory_unless_told_otherwise() -> None:
    assert options().master == "/d/master.sock"


def test_a_directory_that_is_too_long_for_sockets_is_refused() -> None:
    assert options("/" + "d" * 69).layout
    with pytest.raises(ValueError, match="longer"):
        options("/" + "d" * 70).layout  # noqa: B018 - the look at it raises


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "[NOTICE] (1) : x\n[ALERT]  (1) : config : parsing [/d/haproxy.cfg:9] : unknown word 'x'\n",
            "unknown word 'x'",
        ),
        ("[ALERT]    (1) : cannot open '/d/certs/a.pem'\n", "cannot open …"),
        ("", "HAProxy refused the configuration"),
    ],
    ids=["parse error", "path", "nothing"],
)
def test_a_complaint_is_told_without_paths(output: str, expected: str) -> None:
    assert complaint(output) == expected


def test_a_port_that_another_process_listens_on_is_taken() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        address = other.getsockname()
        other.listen()
        assert is_taken(address)
    assert not is_taken(address)


def test_an_address_that_is_not_this_machines_is_left_to_haproxy() -> None:
    assert not is_taken(("192.0.2.1", 4711))


def test_ports_are_read_and_refused() -> None:
    assert parse_ports("443, 8443,443") == (443, 8443)
    for text in ("0", "70000", "a", "1=2", "9" * 5000):
        with pytest.raises(ValueError, match="ports"):
            parse_ports(text)


def test_a_runtime_socket_is_told_only_of_a_haproxy_that_others_configure() -> None:
    theirs = dataclasses.replace(options(), runtime_socket=Path("/run/h.sock"))
    with pytest.raises(ValueError, match="ours"):
        theirs.layout  # noqa: B018 - the look at it raises
    held = dataclasses.replace(theirs, certificates_only=True).layout
    assert held.foreign
    assert held.runtime_socket == "/run/h.sock"
