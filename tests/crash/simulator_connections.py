"""When all that a dead process had sent to the simulator is in the simulator's log."""

import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

from sms_source.simulator import SimulatorProcess

_OPEN = {"01", "08"}
"""Of a connection's states: established, and closed by the peer alone. What the peer sent may be unread."""


def wait_for_requests(simulator: SimulatorProcess) -> None:
    """Wait until the simulator has closed every connection of a process that is gone.

    A kernel hands over what a killed process had sent; until the simulator has read it to its end, its log
    may lack a pull. Reads /proc, so it needs Linux; elsewhere it waits until the log does not grow.
    """
    address = urlsplit(simulator.url)
    if not Path("/proc/net/tcp").exists():
        before = -1
        while (pulls := simulator.stats().pulls) != before:
            before = pulls
            time.sleep(0.05)
        return
    (number,) = struct.unpack("=I", socket.inet_aton(str(address.hostname)))
    local = f"{number:08X}:{address.port:04X}"
    while any(_is_open(line, local) for line in Path("/proc/net/tcp").read_text().splitlines()[1:]):
        time.sleep(0.001)


def _is_open(line: str, local: str) -> bool:
    words = line.split()
    return words[1] == local and words[3] in _OPEN
