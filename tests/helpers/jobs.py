"""The main job in a process of its own, and the waiting for what another process does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
MAIN_JOB = ROOT / "pipelines" / "load_replies.py"
OPTION = "SOURCES__SMS_SOURCE__"


class Api(Protocol):
    """A simulator, in this process or in its own."""

    secret_id: str
    secret_key: str

    @property
    def url(self) -> str:
        """Where it listens."""


def options_for(simulator: Api, *app_ids: str, **options: str) -> dict[str, str]:
    """Return the variables that have a job drain applications of a simulator, and these options more."""
    section = {
        "credentials__secret_id": simulator.secret_id,
        "credentials__secret_key": simulator.secret_key,
        "sms_sdk_app_ids": json.dumps(app_ids),
        "api_endpoint": simulator.url,
        **options,
    }
    return {OPTION + name.upper(): value for name, value in section.items()}


def home_in(folder: Path | str) -> dict[str, str]:
    """Return the variables that keep a process within a folder, and off the network."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DLT_DATA_DIR": str(Path(folder, "dlt")),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def start_job(*arguments: str) -> "subprocess.Popen[str]":
    """Start the main job in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(MAIN_JOB), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def following(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Provide the main job, started with `--follow`; it is told to end when the block does."""
    process = start_job(*arguments)
    try:
        yield process
    finally:
        process.terminate()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what a job prints until a line has this text."""
    assert process.stdout is not None
    printed: list[str] = []
    while not printed or text not in printed[-1]:
        printed.append(process.stdout.readline())
        assert printed[-1], (printed, process.communicate())


def run_job(*arguments: str) -> tuple[int, str, str]:
    """Run the main job in a process of its own; return its exit status, output and errors."""
    process = start_job(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process does; the test's own time limit ends a wait in vain."""
    while not holds():
        time.sleep(0.01)
