"""A strict, scriptable ACME server in this process: real HTTPS, signatures and nonces verified.

For what Pebble does not do: rate limits, lost answers, drips, resets, answers of other servers.
A test bends it by replacing members of `Stub` and by `fail_next`.
"""

import base64
import hashlib
import ipaddress
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import josepy as jose
from acme import jws
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PREFIX = "urn:ietf:params:acme:error:"


@dataclass
class Reply:
    """What the server says; `body` of bytes is sent as it is."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    nonce: bool = True
    drip: bool = False
    reset: bool = False


def problem(code: str, status: int = 400, detail: str = "no", **more: Any) -> Reply:
    """A problem document with ACME's prefix."""
    extra = {name: more.pop(name) for name in list(more) if name in ("headers", "nonce")}
    body = {"type": PREFIX + code, "detail": detail, "status": status, **more}
    headers = {"Content-Type": "application/problem+json", **extra.get("headers", {})}
    return Reply(status, body, headers, nonce=extra.get("nonce", True))


@dataclass
class Script:
    """One prepared answer for requests whose path starts with `path`, `times` times."""

    path: str
    reply: Callable[[Callable[[], Reply]], Reply]
    times: int


class Authority:
    """A small CA for the server's own certificate and for what it issues."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stub CA")])
        self.certificate = self._build(name, name, self.key.public_key(), None, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, public: Any, names: list[x509.GeneralName]) -> bytes:
        subject = x509.Name([])
        leaf = self._build(subject, self.certificate.subject, public, names, ca=False)
        return leaf.public_bytes(serialization.Encoding.PEM)

    def _build(
        self, subject: x509.Name, issuer: x509.Name, public: Any, names: Any, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return builder.sign(self.key, hashes.SHA256())


class Stub:
    """The server's state and behaviour."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.nonces: set[str] = set()
        self.accounts: dict[str, str] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.authorizations: dict[str, dict[str, Any]] = {}
        self.certificates: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.protected: list[dict[str, Any]] = []
        self.user_agents: set[str | None] = set()
        self.scripts: list[Script] = []
        self.meta: dict[str, Any] = {}
        self.reject_nonces = 0
        self.reuse_authorizations = False
        self.validate: Callable[[str], dict[str, Any] | None] = lambda _: None
        self.retry_after: str | None = None
        self.finalizations = 0
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.server = self._serve(directory)

    @property
    def base(self) -> str:
        host, port = self.server.server_address[:2]
        return f"https://{host!s}:{port}"

    @property
    def directory_url(self) -> str:
        return f"{self.base}/dir"

    def fail_next(self, path: str, reply: Reply, times: int = 1) -> None:
        """Answer with `reply` instead of acting."""
        self.scripts.append(Script(path, lambda _act: reply, times))

    def lose_next(self, path: str) -> None:
        """Act, then close the connection without an answer."""

        def lose(act: Callable[[], Reply]) -> Reply:
            act()
            return Reply(reset=True)

        self.scripts.append(Script(path, lose, 1))

    def count(self, path: str) -> int:
        return sum(1 for _, seen, _ in self.requests if seen.startswith(path))

    # Serving

    def _serve(self, directory: Path) -> ThreadingHTTPServer:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("localhost"),
        ]
        (directory / "server.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self.authority.sign(key.public_key(), names)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        server = _Server(("127.0.0.1", 0), _handler(self))
        server.context = context
        return server

    def handle(self, method: str, path: str, agent: str | None, body: bytes) -> Reply:
        with self.lock:
            self.user_agents.add(agent)
            if not agent:
                return problem("malformed", detail="no user agent")
            for script in self.scripts:
                if path.startswith(script.path) and script.times > 0:
                    script.times -= 1
                    return script.reply(lambda: self._act(method, path, body))
            return self._act(method, path, body)

    def _act(self, method: str, path: str, body: bytes) -> Reply:
        if path == "/dir":
            self.requests.append((method, path, None))
            return Reply(200, self._directory(), nonce=False)
        if path == "/new-nonce":
            self.requests.append((method, path, None))
            return Reply(204 if method == "GET" else 200)
        if method != "POST":
            return Reply(405)
        return self._signed(path, body)

    def _directory(self) -> dict[str, Any]:
        return {
            "newNonce": f"{self.base}/new-nonce",
            "newAccount": f"{self.base}/new-account",
            "newOrder": f"{self.base}/new-order",
            "meta": self.meta,
        }

    def _signed(self, path: str, body: bytes) -> Reply:
        token = jws.JWS.json_loads(body)
        header = json.loads(jose.b64decode(json.loads(body)["protected"]))
        self.protected.append(header)
        if header.get("url") != self.base + path:
            return problem("malformed", detail="url differs")
        if header.get("nonce") not in self.nonces:
            return problem("badNonce")
        self.nonces.discard(header["nonce"])
        if self.reject_nonces > 0:
            self.reject_nonces -= 1
            return problem("badNonce")
        if ("jwk" in header) == ("kid" in header):
            return problem("malformed", detail="exactly one of jwk and kid")
        key = self._key(header)
        if key is None:
            return problem("accountDoesNotExist", 400)
        if not token.verify(key):
            return problem("malformed", 400, "signature")
        payload = json.loads(token.payload) if token.payload else None
        self.requests.append(("POST", path, payload))
        return self._dispatch(path, payload, key)

    def _key(self, header: dict[str, Any]) -> Any:
        if "jwk" in header:
            return jose.JWK.from_json(header["jwk"])
        found = [k for k, url in self.accounts.items() if url == header["kid"]]
        return jose.JWK.json_loads(found[0]) if found else None

    def _dispatch(self, path: str, payload: Any, key: Any) -> Reply:
        kind, _, name = path.strip("/").partition("/")
        acts: dict[str, Callable[[], Reply]] = {
            "new-account": lambda: self._new_account(payload, key),
            "new-order": lambda: self._new_order(payload),
            "order": lambda: self._order(name),
            "authz": lambda: self._authorization(name),
            "chall": lambda: self._challenge(name, payload),
            "finalize": lambda: self._finalize(name, payload),
            "cert": lambda: Reply(
                200, self.certificates[name], {"Content-Type": "application/pem-certificate-chain"}
            ),
        }
        return acts[kind]() if kind in acts else Reply(404)

    def _new_account(self, payload: Any, key: Any) -> Reply:
        text = key.public_key().json_dumps(sort_keys=True)
        known = self.accounts.get(text)
        if known is None and payload.get("onlyReturnExisting"):
            return problem("accountDoesNotExist", 400)
        self.accounts[text] = known or f"{self.base}/account/{len(self.accounts) + 1}"
        return Reply(200 if known else 201, {"status": "valid"}, {"Location": self.accounts[text]})

    def _new_order(self, payload: Any) -> Reply:
        name = secrets.token_hex(8)
        authorizations = [self._new_authorization(i) for i in payload["identifiers"]]
        self.orders[name] = {
            "status": "pending",
            "identifiers": payload["identifiers"],
            "authorizations": authorizations,
            "finalize": f"{self.base}/finalize/{name}",
            "expires": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        }
        self._settle()
        return Reply(201, self.orders[name], {"Location": f"{self.base}/order/{name}"})

    def _new_authorization(self, identifier: dict[str, str]) -> str:
        name = secrets.token_hex(8)
        value = identifier["value"]
        self.authorizations[name] = {
            "status": "valid" if self.reuse_authorizations else "pending",
            "identifier": {"type": identifier["type"], "value": value.removeprefix("*.")},
            **({"wildcard": True} if value.startswith("*.") else {}),
            "challenges": [
                {
                    "type": kind,
                    "url": f"{self.base}/chall/{name}.{kind}",
                    "token": base64.urlsafe_b64encode(
                        hashlib.sha256(f"{name}{kind}".encode()).digest()
                    )
                    .decode()
                    .rstrip("="),
                    "status": "pending",
                }
                for kind in ("http-01", "dns-01", "new-kind-01")
            ],
        }
        return f"{self.base}/authz/{name}"

    def _order(self, name: str) -> Reply:
        if name not in self.orders:
            return problem("malformed", 404, "no such order")
        return Reply(200, self.orders[name], self._advice())

    def _authorization(self, name: str) -> Reply:
        return Reply(200, self.authorizations[name], self._advice())

    def _advice(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": self.retry_after}

    def _challenge(self, name: str, payload: Any) -> Reply:
        authorization_name, _, kind = name.partition(".")
        authorization = self.authorizations[authorization_name]
        challenge = next(c for c in authorization["challenges"] if c["type"] == kind)
        if payload == {} and challenge["status"] == "pending":
            error = self.validate(authorization["identifier"]["value"])
            challenge["status"] = authorization["status"] = "invalid" if error else "valid"
            if error:
                challenge["error"] = error
            self._settle()
        return Reply(200, challenge)

    def _settle(self) -> None:
        """Orders follow their authorizations."""
        for order in self.orders.values():
            states = {
                self.authorizations[url.rpartition("/")[2]]["status"]
                for url in order["authorizations"]
            }
            if order["status"] == "pending" and "invalid" in states:
                order["status"] = "invalid"
            elif order["status"] == "pending" and states == {"valid"}:
                order["status"] = "ready"

    def _finalize(self, name: str, payload: Any) -> Reply:
        order = self.orders[name]
        if order["status"] != "ready":
            return problem("orderNotReady", 403)
        request = x509.load_der_x509_csr(jose.b64decode(payload["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.finalizations += 1
        leaf = self.authority.sign(request.public_key(), list(names))
        self.certificates[name] = leaf + self.authority.pem
        order.update(status="valid", certificate=f"{self.base}/cert/{name}")
        return Reply(200, {**order, "status": "processing"}, {"Retry-After": "0"})

    def fresh_nonce(self) -> str:
        with self.lock:
            nonce = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            self.nonces.add(nonce)
            return nonce


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext

    def get_request(self) -> Any:
        connection, address = self.socket.accept()
        connection.settimeout(20)
        return self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are part of the tests."""

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
        request.close()


def _encoded(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            reply = stub.handle(
                self.command, self.path, self.headers.get("User-Agent"), self.rfile.read(length)
            )
            if reply.reset:
                self.close_connection = True
                return
            self._send(reply, _encoded(reply.body))

        def _send(self, reply: Reply, body: bytes) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            if reply.nonce:
                self.send_header("Replay-Nonce", stub.fresh_nonce())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            pieces = [bytes([byte]) for byte in body] if reply.drip else [body]
            for piece in pieces if self.command != "HEAD" else []:
                self.wfile.write(piece)
                self.wfile.flush()
                if reply.drip and stub.closing.wait(0.05):
                    return

        do_GET = do_POST = do_HEAD = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Silent."""

    return Handler


@contextmanager
def running(directory: Path) -> Iterator[Stub]:
    """A stub that serves until the block ends."""
    stub = Stub(directory)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.closing.set()
        stub.server.shutdown()
        thread.join()
        stub.server.server_close()
