"""Runs commands joined by pipes, and tells what they used: time, CPU, memory.

The commands are started by a process that does nothing else and holds next to nothing: this file, run as a
script. A process's peak memory counts that of the process that it was forked from, and the CPU seconds of
all children of a busy process are hard to tell apart.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str]


class CommandFailedError(Exception):
    """A command of the benchmark ended with another status than 0; the message has its output's end."""


@dataclass(frozen=True)
class Usage:
    """What a run used.

    seconds: from its start to its end, on the clock on the wall.
    cpu_seconds: of the system and the user, of all its processes.
    peak_bytes: the most memory that its processes had resident; of several joined by pipes, the sum.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Run:
    """Commands that have been started in a folder, with their output going to a file there."""

    def __init__(self, commands: Sequence[Command], folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._usage_file = folder / "usage.json"
        self._usage_file.unlink(missing_ok=True)
        joined = [word for command in commands for word in ("--", *command)]
        with self._output_file.open("ab") as output:
            self._launcher = subprocess.Popen(
                # Isolated and without site-packages: the less the launcher holds, the better.
                [sys.executable, "-I", "-S", __file__, str(self._usage_file), *joined],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def _output_file(self) -> Path:
        return self._folder / "output.txt"

    def is_running(self) -> bool:
        """Whether any of it still runs."""
        return self._launcher.poll() is None

    def kill(self) -> None:
        """Kills all its processes at once, with SIGKILL."""
        os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()

    def terminate(self) -> None:
        """Asks its processes to end."""
        os.killpg(self._launcher.pid, signal.SIGTERM)

    def wait(self) -> Usage:
        """Wait for its end. Raises `CommandFailedError` if that was not a good one."""
        if self._launcher.wait() != 0:
            end = self._output_file.read_text(errors="replace")[-2000:]
            raise CommandFailedError(f"a command failed, in {self._folder}:\n{end}")
        return Usage(**json.loads(self._usage_file.read_text()))


def measure(commands: Sequence[Command], folder: Path, environment: Mapping[str, str]) -> Usage:
    """Run commands joined by pipes to their end."""
    return Run(commands, folder, environment).wait()


def _launch(usage_file: str, words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: None)  # is for the commands, whose end is waited for
    commands: list[list[str]] = []
    for word in words:
        if word == "--":
            commands.append([])
        else:
            commands[-1].append(word)
    started = time.monotonic()
    processes: list[subprocess.Popen[bytes]] = []
    for number, command in enumerate(commands):
        source = processes[-1].stdout if processes else None
        output = subprocess.PIPE if number < len(commands) - 1 else None
        processes.append(subprocess.Popen(command, stdin=source, stdout=output))
        if source:
            source.close()
    cpu_seconds, peak_bytes, failures = 0.0, 0, 0
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        cpu_seconds += usage.ru_utime + usage.ru_stime
        peak_bytes += usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        failures += status != 0
    used = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_bytes,
    }
    with Path(usage_file).open("w", encoding="utf-8") as file:
        json.dump(used, file)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(_launch(sys.argv[1], sys.argv[2:]))
