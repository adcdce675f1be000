"""Loopback addresses and free ports, so that sandboxes stand side by side.

Each sandbox has a number and with it 250 addresses that nobody else uses; a port is then chosen by
binding to 0 on such an address, where it cannot be taken away between the choice and its use.
"""

import errno
import os
import socket
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.state import all_states, control_address

_NUMBERS = range(1, 250)
_LISTEN = "0A"


def free_number() -> int:
    """Return a number no sandbox has and on whose addresses nothing listens.

    Call it under the lock of the sandboxes' directory, and write the state before it is given up.
    """
    taken = {state.number for state in all_states()} | _listened_numbers()
    # Users of one machine begin in different places.
    first = os.getuid() % len(_NUMBERS)
    for offset in range(len(_NUMBERS)):
        number = _NUMBERS[(first + offset) % len(_NUMBERS)]
        if number not in taken:
            return number
    raise SandboxError("all 249 sandbox numbers of this machine are in use")


def free_ports(address: str, count: int) -> list[int]:
    """Return `count` different ports that are free on `address`."""
    sockets = [socket.create_server((address, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def may_bind_low_ports(number: int) -> bool:
    """Tell whether this user may bind port 80 on the addresses of sandbox `number`."""
    try:
        socket.create_server((control_address(number), 80)).close()
    except OSError as error:
        if error.errno == errno.EACCES:
            return False
        raise SandboxError(f"port 80 of {control_address(number)}: {error.strerror}") from None
    return True


def _listened_numbers() -> set[int]:
    """Read which 127.10.N.x have listeners, of whatever user, from the kernel's table."""
    numbers = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        octets = bytes.fromhex(fields[1].partition(":")[0])[::-1]
        if fields[3] == _LISTEN and octets[:2] == bytes((127, 10)):
            numbers.add(octets[2])
    return numbers
