"""A web server behind the load balancer: says which path it was asked for, and over what."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop(BaseHTTPRequestHandler):
    """Answers every GET with one line."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        protocol = self.headers.get("X-Forwarded-Proto", "http")
        body = f"the shop, asked for {self.path} over {protocol}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as it is declared
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Shop).serve_forever()
