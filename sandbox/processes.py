"""Processes by pid and start time: started with a log file, told ready by a condition, stopped.

Every process carries an environment variable that names its sandbox and itself, children inherit
it, and nothing without it is ever signalled: a pid that the kernel has given to somebody else in
the meantime is left alone. Used by :mod:`sandbox.lifecycle` with the services of
:mod:`sandbox.state`.
"""

import http.client
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from sandbox.errors import StartError
from sandbox.state import HttpReady, Service, State, TcpReady, UnixReady

MARKER = "CERTFRONT_SANDBOX_PROCESS"
"""The environment variable `<directory of the sandbox>:<name of the process>`."""

_POLL = 0.02
_GONE_SECONDS = 10.0
_PROBE_SECONDS = 2.0
_TAIL_BYTES = 2000


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """A process that cannot be confused with a later one of the same pid.

    `started` is in clock ticks since the machine's start, as in field 22 of /proc/<pid>/stat: other
    than psutil's `create_time` it does not move when the wall clock is set.
    """

    pid: int
    started: int

    def alive(self) -> bool:
        """Tell whether this very process still runs; one that only waits to be reaped does not."""
        _reap(self.pid)
        return _start_ticks(self.pid) == self.started


def spawn(service: Service, directory: Path) -> Handle:
    """Start `service` in a session of its own and return at once; output is added to its log.

    Raises :class:`StartError` when the program cannot be executed.
    """
    environment = {**service.environment, MARKER: f"{directory}:{service.name}"}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        # posix_spawn and not Popen: the process outlives this one, and nobody keeps an object of it.
        pid = os.posix_spawn(
            service.argv[0],
            service.argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, service.log, append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM],
        )
    except OSError as error:
        raise StartError(f"{service.name}: {service.argv[0]}: {error.strerror}") from None
    handle = Handle(pid=pid, started=_start_ticks(pid) or 0)
    record = _record(directory, service.name)
    record.parent.mkdir(exist_ok=True)
    record.write_bytes(msgspec.json.encode(handle))
    return handle


def running(directory: Path, name: str) -> Handle | None:
    """Return the process that runs as `name` in the sandbox at `directory`, or None."""
    try:
        handle = msgspec.json.decode(_record(directory, name).read_bytes(), type=Handle)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return handle if handle.alive() else None


def wait_until_ready(service: Service, handle: Handle, seconds: float = 90.0) -> None:
    """Return when `service` is ready; raises :class:`StartError` when it ends or takes longer."""
    deadline = time.monotonic() + seconds
    while not is_ready(service):
        if not handle.alive():
            raise StartError(f"{service.name} ended; {_last_lines(service)}")
        if time.monotonic() > deadline:
            raise StartError(
                f"{service.name} is not ready after {seconds:.0f} s; {_last_lines(service)}"
            )
        time.sleep(_POLL)


def is_ready(service: Service) -> bool:
    """Ask `service` once whether it is ready."""
    match service.ready:
        case HttpReady() as ready:
            return _answers(ready)
        case TcpReady(addresses=addresses):
            return all(_takes_connection(address) for address in addresses)
        case UnixReady(path=path):
            return _takes_unix_connection(path)


def stop(state: State, name: str) -> bool:
    """End the process `name` with SIGTERM and wait until it and its children are gone.

    What has not ended after the service's `stop_seconds` is killed; returns False then.
    """
    service = state.service(name)
    handle = running(state.root, name)
    if handle is not None:
        _signal(handle.pid, signal.SIGTERM)
        gone = _wait(lambda: not handle.alive(), service.stop_seconds)
    else:
        gone = True
    kill(state.root, name)
    return gone


def kill(directory: Path, name: str = "") -> None:
    """Kill the process `name` and its children (all of the sandbox without a name), and wait.

    Raises :class:`StartError` if something survives, which only a process in the kernel can.
    """
    wanted = f"{directory}:{name}"
    # Until there is nothing: a parent may have made another child while it was looked for.
    while found := _marked(wanted, exactly=bool(name)):
        if not _kill_all(found):
            raise StartError(f"{name or 'a process'} cannot be killed")
    if name:
        _record(directory, name).unlink(missing_ok=True)


def survivors(directory: Path) -> list[int]:
    """Return the pids of all processes that belong to the sandbox at `directory`."""
    return [process.pid for process in _marked(f"{directory}:", exactly=False)]


def _marked(wanted: str, *, exactly: bool) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            marker = process.environ().get(MARKER, "")
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue  # ended, or not ours to look at
        if marker == wanted or (not exactly and marker.startswith(wanted)):
            found.append(process)
    return found


def _kill_all(found: list[psutil.Process]) -> bool:
    """Kill, and tell whether all are gone in time."""
    handles = [Handle(pid=each.pid, started=_start_ticks(each.pid) or 0) for each in found]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil looks once more whether the pid still means this process
    return _wait(lambda: not any(each.alive() for each in handles), _GONE_SECONDS)


def _record(directory: Path, name: str) -> Path:
    return directory / "run" / f"{name}.json"


def _start_ticks(pid: int) -> int | None:
    try:
        # The name of the program, in parentheses, may hold anything; what follows it does not.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The first thread is a zombie before the others have ended, which keep sockets open until then.
    ended = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
    return None if ended else int(fields[19])


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by another command: its new parent reaps it


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _answers(ready: HttpReady) -> bool:
    url = urlsplit(ready.url)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=ready.ca)
        if ready.certificate:
            context.load_cert_chain(ready.certificate, ready.key)
        connection = http.client.HTTPSConnection(
            url.netloc, timeout=_PROBE_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=_PROBE_SECONDS)
    try:
        # Pebble refuses a request without a User-Agent, as RFC 8555 section 6.1 asks of clients.
        connection.request("GET", url.path or "/", headers={"User-Agent": "certfront-sandbox"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _takes_connection(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _takes_unix_connection(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PROBE_SECONDS)
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def _last_lines(service: Service) -> str:
    try:
        text = Path(service.log).read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        text = ""
    lines = [line[:300] for line in text.splitlines()[-6:]]
    return f"its log, {service.log}, ends with:\n  " + "\n  ".join(lines)
