"""The command socket client against scripted answers: every trap that has a text."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from certfront.agent import runtime as runtime_module
from certfront.agent.exchange import NoAnswer
from certfront.agent.runtime import LARGEST_COMMAND, Locked, Refused, Runtime, set_command

PATH = "/d/certs/a.pem"
PEM = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"

Script = Callable[[str], str]


class Socket:
    """A stats socket: one command a connection, answered by a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.commands: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.read(100_000)).decode()
        self.commands.append(command)
        writer.write(self._script(command).encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def answering(script: Script) -> AsyncIterator[tuple[Runtime, Socket]]:
    directory = tempfile.mkdtemp(prefix="certfront-socket-")
    path = str(Path(directory) / "s")
    socket = Socket(script)
    server = await asyncio.start_unix_server(socket.serve, path)
    try:
        yield Runtime(path, seconds=5), socket
    finally:
        server.close()
        shutil.rmtree(directory)


async def install(script: Script, *, known: bool = True, ours: str = "AB") -> list[str]:
    async with answering(script) as (runtime, socket):
        await runtime.install(PATH, PEM, is_ours=lambda identity: identity == ours, known=known)
        return [command.split(" ")[0] for command in socket.commands]


def good(command: str) -> str:
    if command.startswith("new"):
        return f"New empty certificate store '{PATH}'!\n\n"
    if command.startswith("set"):
        return f"Transaction created for certificate {PATH}!\n\n"
    if command.startswith("commit"):
        return f"Committing {PATH}\nSuccess!\n\n"
    if command.startswith("abort"):
        return f"Transaction aborted for certificate '{PATH}'!\n\n"
    if command.startswith(f"show ssl cert {PATH}"):
        return f"Filename: {PATH}\nStatus: Used\nSerial: 01\nSHA1 FingerPrint: AB\n\n"
    return "# filename\n" + PATH + "\n\n"


def instead(verb: str, *answers: str) -> Script:
    """The good answers, except to `verb`: these, one after another."""
    left = list(answers)

    def script(command: str) -> str:
        if command.startswith(verb) and left:
            return left.pop(0)
        return good(command)

    return script


async def test_an_installation_reads_back_what_it_did() -> None:
    assert await install(good, known=False) == ["new", "set", "commit", "show"]
    assert await install(good) == ["set", "commit", "show"]


async def test_bytes_that_went_into_the_transaction_of_another_are_aborted_and_sent_again() -> None:
    """2.6 and 3.0 accept `set B` into A's transaction: a commit would swap the pairs."""
    other = "Transaction updated for certificate /d/certs/b.pem!\n"
    commands = await install(instead("set", other))
    assert commands == ["set", "show", "set", "commit", "show"]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (instead("set", *["Transaction updated for certificate /d/b.pem!\n"] * 2), Refused),
        (instead("set", "Can't replace a certificate which is not referenced!\n"), Refused),
        (instead("commit", "inconsistencies between private key and certificate\n"), Refused),
        (instead("commit", ""), NoAnswer),
        (instead("commit", "\n"), NoAnswer),
        (instead("set", ""), NoAnswer),
        (instead("show ssl cert /", "Filename: /d/certs/a.pem\nSHA1 FingerPrint: CD\n"), Refused),
        (instead("show ssl cert /", "Can't display the certificate: Not found\n"), Refused),
    ],
    ids=[
        "a transaction that stays",
        "not referenced",
        "mismatch",
        "dropped",
        "blank",
        "dropped set",
        "another fingerprint",
        "gone",
    ],
)
async def test_whatever_is_not_success_is_failure(script: Script, error: type[Exception]) -> None:
    with pytest.raises(error):
        await install(script)


async def test_warnings_before_success_are_success() -> None:
    assert await install(instead("commit", "[WARNING] no issuer\nSuccess!\n")) == [
        "set",
        "commit",
        "show",
    ]


async def test_a_short_lock_is_waited_for_and_a_lasting_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime_module, "_LOCKED_PAUSE", 0.0)
    locked = "Can't set the certificate: it is currently locked!\n"
    assert (await install(instead("set", locked, locked))).count("set") == 3
    with pytest.raises(Locked):
        await install(instead("set", *[locked] * 100))


async def test_commands_never_reach_the_size_that_kills() -> None:
    with pytest.raises(ValueError, match="too long"):
        async with answering(good) as (runtime, _):
            await runtime.install(
                PATH, b"x" * LARGEST_COMMAND + b"\n", is_ours=lambda _: True, known=True
            )


async def test_questions_are_batched_below_the_limit() -> None:
    def script(command: str) -> str:
        asked = [part.removeprefix("show ssl cert ").strip() for part in command.split(";")]
        return "".join(f"Filename: {one}\nSHA1 FingerPrint: ab\n\n" for one in asked)

    paths = [f"/d/certs/{'x' * 200}{number}.pem" for number in range(500)]
    async with answering(script) as (runtime, socket):
        assert await runtime.identities(paths) == dict.fromkeys(paths, "AB")
        assert max(map(len, socket.commands)) < LARGEST_COMMAND
        assert len(socket.commands) < 20


async def test_a_map_is_replaced_in_chunks_and_read_back() -> None:
    held: dict[str, str] = {}

    def script(command: str) -> str:
        if command.startswith("prepare"):
            return "New version created: 7\n\n"
        if command.startswith("add map @7"):
            for line in command.split("\n")[1:-1]:
                if line:
                    key, value = line.split(" ")
                    held[key] = value
            return "\n"
        if command.startswith("commit map @7"):
            return "\n"
        return "".join(f"0x55 {key} {value}\n" for key, value in held.items())

    wanted = {f"host{number}.example/x": "v" * 200 for number in range(300)}
    async with answering(script) as (runtime, socket):
        await runtime.replace_map("/d/maps/m.map", wanted)
        assert held == wanted
        assert max(map(len, socket.commands)) < LARGEST_COMMAND


@pytest.mark.parametrize(
    "pem",
    [b"a\n\nshow version\n", b"a\r\nb\n", b"a"],
    ids=["blank line", "CR", "no newline"],
)
def test_a_payload_that_could_end_early_is_not_sent(pem: bytes) -> None:
    with pytest.raises(ValueError, match="canonical"):
        set_command(PATH, pem)


@pytest.mark.parametrize("path", ["/d/a b", "/d/a;b", "/d/a\nb", "/d/<<", "a.pem", "/d/*a"])
def test_a_path_that_is_none_of_ours_is_not_sent(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        set_command(path, PEM)


async def test_nobody_at_the_socket_is_no_answer() -> None:
    with pytest.raises(NoAnswer):
        await Runtime("/nonexistent/socket").info()


async def test_a_refusal_never_repeats_something_like_a_key() -> None:
    with pytest.raises(Refused) as caught:
        await install(instead("set", "what is -----BEGIN PRIVATE KEY----- ?\n"))
    assert "PRIVATE" not in str(caught.value)
