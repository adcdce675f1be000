"""Continuous verified HTTPS requests, each on a fresh connection, while something is changed."""

import http.client
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from sandbox.demo.probes import SECONDS


@dataclass(slots=True)
class Tally:
    """How many requests were made, and what went wrong."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)


class Traffic:
    """One thread per address asks for `name` until the context ends."""

    def __init__(
        self, name: str, addresses: Sequence[tuple[str, int]], client: ssl.SSLContext
    ) -> None:
        self._name = name
        self._client = client
        self._stop = threading.Event()
        self._tallies = [Tally() for _ in addresses]
        self._threads = [
            threading.Thread(target=self._ask, args=(address, tally), daemon=True)
            for address, tally in zip(addresses, self._tallies, strict=True)
        ]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return sum(tally.requests for tally in self._tallies)

    @property
    def failures(self) -> list[str]:
        """What went wrong so far."""
        return [failure for tally in self._tallies for failure in tally.failures]

    def _ask(self, address: tuple[str, int], tally: Tally) -> None:
        while not self._stop.is_set():
            tally.requests += 1
            try:
                self._request(address)
            except (OSError, http.client.HTTPException) as error:
                tally.failures.append(f"{address[0]}: {type(error).__name__}: {error}"[:160])

    def _request(self, address: tuple[str, int]) -> None:
        with (
            socket.create_connection(address, timeout=SECONDS) as plain,
            self._client.wrap_socket(plain, server_hostname=self._name) as secured,
        ):
            secured.sendall(
                f"GET / HTTP/1.1\r\nHost: {self._name}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = http.client.HTTPResponse(secured)
            answer.begin()
            answer.read()
            if answer.status != 200:
                raise http.client.HTTPException(f"status {answer.status}")
