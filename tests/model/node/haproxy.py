"""A HAProxy without a process: what it loads, what it holds in memory, what it answers and shows.

It has the traps of the real one: a missing, empty or mismatched PEM, a list that is missing or
empty without strict-sni end a start; of two lines for one name the first wins; one transaction a
process, left open by a client that died; what is changed at run time is gone after a start. The
answers are HAProxy's own (`test_simulation` compares them with the real program).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

_BIND = re.compile(
    r"^    bind (\S+)(?: mode 600)? ssl crt-list (\S+)( strict-sni)? alpn \S+$", re.MULTILINE
)
_PLAIN = re.compile(r"^    bind (\d\S+)$", re.MULTILINE)
_MAP = re.compile(r"map_str\((\S+?)\)")
_FILE = re.compile(r"(?:src -f|ca-file) (\S+)")
_DESCRIPTION = re.compile(r"^    description (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a handshake shows, and what HAProxy prints of it."""

    sha1: str
    sha256: str
    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def is_valid(self, now: datetime) -> bool:
        return self.not_before <= now < self.not_after


@functools.lru_cache(maxsize=4096)
def leaf_of(pem: bytes) -> Leaf | None:
    """The leaf of a PEM with key and certificate; None where HAProxy would not load it."""
    try:
        key = serialization.load_pem_private_key(pem, None)
        leaf = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, TypeError, IndexError):
        return None
    if key.public_key() != leaf.public_key():
        return None
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    digits = f"{leaf.serial_number:X}"
    return Leaf(
        sha1=leaf.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - what HAProxy shows
        sha256=leaf.fingerprint(hashes.SHA256()).hex().upper(),
        serial=digits if len(digits) % 2 == 0 else f"0{digits}",
        names=tuple(names.get_values_for_type(x509.DNSName)),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )


class WillNotStart(Exception):
    """HAProxy ends with an alert instead of serving."""


@dataclass(slots=True)
class Line:
    """An entry of a crt-list in memory; `shown` is what its instances really offer."""

    number: int
    path: str
    text: str
    names: tuple[str, ...]
    order: int
    shown: Leaf


@dataclass(slots=True)
class Bind:
    """A TLS listener: clients' address or the socket of the proof."""

    crt_list: str
    strict: bool


@dataclass(slots=True)
class Worker:
    """The memory of one process."""

    pid: int
    description: str
    binds: dict[str, Bind]
    plain: frozenset[str]
    store: dict[str, Leaf | None] = field(default_factory=dict)
    lists: dict[str, list[Line]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    prepared: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    transaction: tuple[str, Leaf] | None = None
    order: int = 0

    def shows(self, bind: str, name: str | None) -> Leaf | None:
        """The leaf that a client of a listener gets for a name; None for an alert."""
        held = self.binds.get(bind)
        if held is None:
            return None
        lines = sorted(self.lists[held.crt_list], key=lambda line: line.order)
        if name is not None:
            wildcard = "*." + name.partition(".")[2]
            for asked in (name, wildcard):
                for line in lines:
                    if asked in line.names:
                        return line.shown
        if held.strict or not self.lists[held.crt_list]:
            return None
        return self.lists[held.crt_list][0].shown

    def next_order(self) -> int:
        self.order += 1
        return self.order


def load(files: Mapping[str, bytes], root: str, pid: int) -> Worker:
    """What a start from these files (by path below `root`) holds. Raises WillNotStart."""

    def content(path: str) -> bytes:
        relative = path.removeprefix(f"{root}/")
        if relative not in files:
            raise WillNotStart(f"unable to load {relative}")
        return files[relative]

    configuration = files.get("haproxy.cfg", b"").decode()
    description = _DESCRIPTION.search(configuration)
    if description is None or not configuration.endswith("\n"):
        raise WillNotStart("the configuration is missing or truncated")
    worker = Worker(pid=pid, description=description[1], binds={}, plain=frozenset())
    for file in _FILE.findall(configuration):
        if not content(file).strip():
            raise WillNotStart(f"{file} is empty")
    for file in _MAP.findall(configuration):
        entries = (line.split(" ") for line in content(file).decode().splitlines())
        worker.maps[file] = dict(entries)
    worker.plain = frozenset(_PLAIN.findall(configuration))
    for address, file, strict in _BIND.findall(configuration):
        worker.binds[address.removeprefix("unix@")] = Bind(file, bool(strict))
        if file not in worker.lists:
            _load_list(worker, file, content(file).decode(), content)
        if not strict and not worker.lists[file]:
            raise WillNotStart(f"no certificate for bind {address}")
    return worker


def _load_list(worker: Worker, file: str, text: str, content: object) -> None:
    if text and not text.endswith("\n"):
        raise WillNotStart(f"{file} is truncated")
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), start=1):
        path, names = _words(line)
        leaf = leaf_of(content(path))  # type: ignore[operator] - the caller's reader
        if leaf is None:
            raise WillNotStart(f"unable to load certificate from {path}")
        worker.store[path] = leaf
        lines.append(Line(number, path, line, names, worker.next_order(), leaf))
    worker.lists[file] = lines
    worker.counts[file] = len(lines)


def _words(line: str) -> tuple[str, tuple[str, ...]]:
    path, _, rest = line.partition(" ")
    return path, tuple(re.sub(r"\[.*?\]", "", rest).split())


class HAProxy:
    """Master and worker, with the files of one directory. `mixes` is the transaction bug of 2.6."""

    def __init__(self, root: str, *, mixes: bool = False) -> None:
        self.root = root
        self.mixes = mixes
        self.worker: Worker | None = None
        self.reloads = 0
        self.failed = 0
        self.alert = ""
        self.refuses: set[str] = set()
        """SHA-1 of leaves that a commit or a start refuses although OpenSSL takes them."""
        self.cannot_read: set[str] = set()
        """SHA-1 of leaves that a `set` or a start refuses."""
        self.jammed = False
        """Whether listeners do not follow a commit, until the next start."""
        self._pids = 100
        self._versions = 0

    # --- life

    def start(self, files: Mapping[str, bytes]) -> None:
        """As its supervisor would. Raises WillNotStart."""
        self.worker = None
        self.worker = self._loaded(files)
        self.jammed = False
        self.reloads = self.failed = 0

    def stop(self) -> None:
        self.worker = None

    def _loaded(self, files: Mapping[str, bytes]) -> Worker:
        self._pids += 1
        worker = load(files, self.root, self._pids)
        for path, leaf in worker.store.items():
            if leaf is not None and leaf.sha1 in self.refuses | self.cannot_read:
                raise WillNotStart(f"unable to load certificate from file '{path}'")
        return worker

    def reload(self, files: Mapping[str, bytes]) -> str:
        self.reloads += 1
        try:
            self.worker = self._loaded(files)
        except WillNotStart as error:
            self.failed += 1
            self.alert = f"[ALERT]    (1) : config : {error}\n"
            return "" if self.mixes else f"Success=0\n--\n{self.alert}"
        self.failed = 0
        self.jammed = False
        return "" if self.mixes else "Success=1\n--\n"

    def processes(self) -> str:
        failed = f" [failed: {self.failed}]" if self.failed else ""
        pid = self.worker.pid if self.worker else 0
        return (
            "#<PID> <type> <reloads> <uptime> <version>\n"
            f"1 master {self.reloads}{failed} 0d00h00m01s 2.8.25\n# workers\n"
            f"{pid} worker 0 0d00h00m01s 2.8.25\n# old workers\n# programs\n\n"
        )

    # --- the stats socket

    def answer(self, command: str) -> str:
        """What the worker says. A payload follows its command after `<<`."""
        assert self.worker is not None
        head, _, payload = command.partition(" <<\n")
        if payload or command.endswith(" <<\n"):
            return self._with_payload(self.worker, head, payload.partition("\n\n")[0] + "\n")
        return "".join(self._one(self.worker, one.strip()) for one in command.split(";"))

    def _with_payload(self, worker: Worker, head: str, payload: str) -> str:
        words = head.split()
        if words[:3] == ["set", "ssl", "cert"]:
            return self._set(worker, words[3], payload.encode())
        if words[:3] == ["add", "ssl", "crt-list"]:
            return _add_line(worker, words[3], payload.strip())
        version = int(words[2].removeprefix("@"))
        entries = (line.split(" ") for line in payload.splitlines() if line)
        worker.prepared[words[3], version] |= dict(entries)
        return "\n"

    def _one(self, worker: Worker, command: str) -> str:  # noqa: C901 - a case a command
        words = command.split()
        match words:
            case ["show", "info"]:
                return f"Version: 2.8.25\nPid: {worker.pid}\ndescription: {worker.description}\n\n"
            case ["show", "ssl", "cert"]:
                held = f"# transaction\n*{worker.transaction[0]}\n" if worker.transaction else ""
                return held + "# filename\n" + "".join(f"{one}\n" for one in worker.store) + "\n"
            case ["show", "ssl", "cert", path]:
                return _show(worker, path)
            case ["new", "ssl", "cert", path]:
                if path in worker.store:
                    return f"Certificate '{path}' already exists!\n\n"
                worker.store[path] = None
                return f"New empty certificate store '{path}'!\n\n"
            case ["commit", "ssl", "cert", path]:
                return self._commit(worker, path)
            case ["abort", "ssl", "cert", path]:
                if worker.transaction is None:
                    return "No ongoing transaction!\n\n"
                if worker.transaction[0] != path:
                    return (
                        f"The ongoing transaction is about '{worker.transaction[0]}' but you are "
                        f"trying to abort a transaction for '{path}'\n\n"
                    )
                worker.transaction = None
                return f"Transaction aborted for certificate '{path}'!\n\n"
            case ["del", "ssl", "cert", path]:
                return _delete(worker, path)
            case ["show", "ssl", "crt-list"]:
                return "".join(f"{one}\n" for one in worker.lists) + "\n"
            case ["show", "ssl", "crt-list", "-n", file]:
                return _show_list(worker, file)
            case ["del", "ssl", "crt-list", file, entry]:
                return _delete_line(worker, file, entry)
            case _:
                return self._map(worker, words)

    def _map(self, worker: Worker, words: list[str]) -> str:
        file = words[-1]
        if file not in worker.maps:
            return "Unknown map identifier. Please use #<id> or <file>.\n\n"
        if words[0] == "show":
            return "".join(f"0x1 {k} {v}\n" for k, v in worker.maps[file].items()) + "\n"
        if words[0] == "prepare":
            self._versions += 1
            worker.prepared[file, self._versions] = {}
            return f"New version created: {self._versions}\n\n"
        assert words[0] == "commit", words
        worker.maps[file] = worker.prepared.pop((file, int(words[2].removeprefix("@"))))
        return "\n"

    def _set(self, worker: Worker, path: str, pem: bytes) -> str:
        leaf = leaf_of(pem)
        if leaf is None or leaf.sha1 in self.cannot_read:
            return (
                f"unable to load certificate from file '{path}': bad end line.\n"
                f"Can't load the payload\nCan't update {path}!\n\n"
            )
        if worker.transaction is not None and worker.transaction[0] != path:
            open_for = worker.transaction[0]
            if not self.mixes:
                return (
                    f"The ongoing transaction is about '{open_for}' but you are trying to set "
                    f"'{path}'\nCan't update {path}!\n\n"
                )
            worker.transaction = (open_for, leaf)
            return f"Transaction updated for certificate {open_for}!\n\n"
        if path not in worker.store:
            return (
                "Can't replace a certificate which is not referenced by the configuration!\n"
                f"Can't update {path}!\n\n"
            )
        verb = "updated" if worker.transaction else "created"
        worker.transaction = (path, leaf)
        return f"Transaction {verb} for certificate {path}!\n\n"

    def _commit(self, worker: Worker, path: str) -> str:
        if worker.transaction is None:
            return f"No ongoing transaction! !\nCan't commit {path}!\n\n"
        if worker.transaction[0] != path:
            return (
                f"The ongoing transaction is about '{worker.transaction[0]}' but you are trying to "
                f"set '{path}'\nCan't commit {path}!\n\n"
            )
        leaf = worker.transaction[1]
        if leaf.sha1 in self.refuses:
            # A key below the security level, as seen with 2.6 and RSA-1024.
            return (
                f"Committing {path}.\nunable to load SSL certificate into SSL Context '{path}'.\n"
                "Failed!\n\n"
            )
        worker.transaction = None
        worker.store[path] = leaf
        for lines in worker.lists.values():
            for line in lines:
                if line.path == path and not self.jammed:
                    line.shown = leaf
                    line.order = worker.next_order()
        return f"Committing {path}.\nSuccess!\n\n"


def _show(worker: Worker, path: str) -> str:
    if path not in worker.store:
        return "Can't display the certificate: Not found or the certificate is a bundle!\n\n"
    leaf = worker.store[path]
    if leaf is None:
        return f"Filename: {path}\nStatus: Empty\n\n"
    return (
        f"Filename: {path}\nStatus: Used\nSerial: {leaf.serial}\nSHA1 FingerPrint: {leaf.sha1}\n\n"
    )


def _delete(worker: Worker, path: str) -> str:
    if path not in worker.store:
        return f"Can't remove the certificate: certificate '{path}' doesn't exist!\n\n"
    if any(line.path == path for lines in worker.lists.values() for line in lines):
        return f"Can't remove the certificate: certificate '{path}' in use, can't be deleted!\n\n"
    del worker.store[path]
    return f"Certificate '{path}' deleted!\n\n"


def _add_line(worker: Worker, file: str, text: str) -> str:
    path, names = _words(text)
    if file not in worker.lists:
        return f"Can't edit the crt-list: crt-list '{file}' does not exist!\n\n"
    leaf = worker.store.get(path)
    if leaf is None:
        return f"Can't edit the crt-list: certificate '{path}' is empty!\n\n"
    worker.counts[file] += 1
    line = Line(worker.counts[file], path, text, names, worker.next_order(), leaf)
    worker.lists[file].append(line)
    return f"Inserting certificate '{path}' in crt-list '{file}'..\nSuccess!\n\n"


def _show_list(worker: Worker, file: str) -> str:
    if file not in worker.lists:
        return "didn't find the specified filename\n\n"
    lines = (
        f"{line.path}:{line.number}{line.text.removeprefix(line.path)}\n"
        for line in worker.lists[file]
    )
    return f"# {file}\n" + "".join(lines) + "\n"


def _delete_line(worker: Worker, file: str, entry: str) -> str:
    path, _, number = entry.rpartition(":")
    lines = worker.lists.get(file, [])
    found = [line for line in lines if line.path == path and str(line.number) == number]
    if not found:
        numbers = ", ".join(str(line.number) for line in lines if line.path == path)
        return (
            f"Can't delete the entry: found a certificate '{path}' but the line number is incorrect, "
            f"please specify a correct line number preceded by colons ({numbers})!\n\n"
        )
    fallback = any(b.crt_list == file and not b.strict for b in worker.binds.values())
    if fallback and found[0] is lines[0]:
        return (
            f"Can't delete the entry: certificate '{path}' cannot be deleted, it is used as default "
            "certificate by the following frontends:\n\n"
        )
    lines.remove(found[0])
    return f"Entry '{path}' deleted in crtlist '{file}'!\n\n"


def digest(files: Mapping[str, bytes]) -> str:
    """One name for a state of the directory."""
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()
