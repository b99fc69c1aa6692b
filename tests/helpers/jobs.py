"""The main job in a process of its own, and the waiting for what another process does."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAIN_JOB = ROOT / "pipelines" / "load_replies.py"


def start_job(*arguments: str) -> "subprocess.Popen[str]":
    """Start the main job in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(MAIN_JOB), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_job(*arguments: str) -> tuple[int, str, str]:
    """Run the main job in a process of its own; return its exit status, output and errors."""
    process = start_job(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process does; the test's own time limit ends a wait in vain."""
    while not holds():
        time.sleep(0.01)
