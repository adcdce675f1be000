"""The gate passes everything on, counts what changes something, and lets a test break it there."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from sandbox.gate import Door, Effect, Gate, changes_orders, kubeconfig_through
from sandbox.pki import Authority
from tests.e2e.clients import eventually

ADDRESS = "127.0.0.1"


class Server(BaseHTTPRequestHandler):
    """Keeps what it was asked; a watch gets a line for each time `more` is set."""

    asked: list[tuple[str, str, str, bytes]]
    more: "threading.Semaphore"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, self.headers["Host"], body))
        self.send_response(201)
        self.send_header("Replay-Nonce", "n1")
        self.end_headers()
        self.wfile.write(b"done")

    do_PATCH = do_POST  # noqa: N815 - the name that http.server calls

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        lines = 3 if "watch" in self.path else 1
        for number in range(lines):
            if lines > 1:
                self.more.acquire()
            self.wfile.write(f"{number}\n".encode())
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Spoiling:
    """Keeps one effect from happening, and loses the answer of another."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before(self, effect: Effect) -> bool:
        self.seen.append(effect.path)
        return effect.path != "/never"

    def after(self, effect: Effect) -> bool:
        return effect.path != "/lost"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A TLS server, and the file of its CA."""
    Server.asked, Server.more = [], threading.Semaphore(0)
    authority = Authority("some authority", tmp_path / "server")
    certificate, key = authority.issue("server", "server", addresses=(ADDRESS,))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((ADDRESS, 0), Server) as made:
        made.daemon_threads = True
        made.socket = context.wrap_socket(made.socket, server_side=True)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"https://{ADDRESS}:{made.server_address[1]}", str(authority.path)
        made.shutdown()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(ADDRESS, tmp_path / "gate")
    yield made
    made.close()


@pytest.fixture
def door(gate: Gate, server: tuple[str, str]) -> Door:
    return gate.door("operator", *server)


def ask(gate: Gate, door: Door, method: str, path: str, body: bytes = b"") -> requests.Response:
    return requests.request(method, door.url + path, data=body, verify=str(gate.ca), timeout=10)


def test_an_effect_is_passed_on_as_it_is_and_counted(gate: Gate, door: Door) -> None:
    answer = ask(gate, door, "PATCH", "/a%2Fb?x=1", b"{}")
    assert (answer.status_code, answer.content) == (201, b"done")
    assert answer.headers["Replay-Nonce"] == "n1"
    assert Server.asked == [("PATCH", "/a%2Fb?x=1", door.address, b"{}")]
    assert [str(each) for each in gate.effects] == ["#1 operator: PATCH /a/b"]


def test_a_read_and_a_lease_are_no_effects(gate: Gate, door: Door) -> None:
    assert ask(gate, door, "GET", "/x").content == b"0\n"
    ask(gate, door, "PATCH", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l")
    assert gate.effects == []


def test_an_acme_post_without_a_payload_is_no_effect() -> None:
    assert not changes_orders("HEAD", "/nonce", b"")
    assert not changes_orders("POST", "/order/1", json.dumps({"payload": ""}).encode())
    assert changes_orders("POST", "/challenge/1", json.dumps({"payload": "e30"}).encode())


def test_an_effect_may_never_be_forwarded_or_its_answer_be_lost(gate: Gate, door: Door) -> None:
    door.rule = Spoiling()
    for path in ("/never", "/lost"):
        with pytest.raises(requests.ConnectionError):
            ask(gate, door, "POST", path)
    assert ask(gate, door, "POST", "/fine").status_code == 201
    assert [path for _, path, _, _ in Server.asked] == ["/lost", "/fine"]


def test_a_deaf_watch_stays_and_swallows(gate: Gate, door: Door) -> None:
    context = ssl.create_default_context(cafile=str(gate.ca))
    connection = http.client.HTTPSConnection(door.address, timeout=10, context=context)
    connection.request("GET", "/pods?watch=true")
    answer = connection.getresponse()
    Server.more.release()
    assert answer.readline() == b"0\n"
    door.deafen()
    Server.more.release()
    eventually(lambda: door.swallowed == 1, seconds=10, why="swallowed")
    door.hear()
    Server.more.release()
    assert answer.read() == b"2\n", "what was swallowed stays lost"
    connection.close()


def test_a_server_that_is_away_answers_nothing(gate: Gate, tmp_path: Path) -> None:
    door = gate.door("nobody", f"https://{ADDRESS}:1", str(gate.ca))
    with pytest.raises(requests.ConnectionError):
        ask(gate, door, "GET", "/")


def test_a_kubeconfig_leads_through_the_door(gate: Gate, door: Door, tmp_path: Path) -> None:
    original = {"clusters": [{"cluster": {"server": "https://else"}}], "users": ["kept"]}
    (tmp_path / "original").write_text(json.dumps(original))
    path = kubeconfig_through(door, gate.ca, str(tmp_path / "original"), tmp_path / "through")
    found = json.loads(Path(path).read_text())
    assert found["clusters"][0]["cluster"]["server"] == door.url
    assert found["users"] == ["kept"]
