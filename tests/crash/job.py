"""The main job as the crash harness runs it: in a folder of its own, started one way or another, killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import fsspec

from tests.crash.private import opened

ROOT = Path(__file__).resolve().parents[2]
MAIN_SCRIPT = ROOT / "pipelines" / "load_replies.py"

PACKAGE_RECORDS = "TEST_PACKAGE_RECORDS"
"""The variable that tells a fork server after how many records its jobs close a load package."""

MERGED_AT = "TEST_MERGED_AT"
"""The variable that tells a fork server how many bundles its jobs merge into one."""


class Job(Protocol):
    """A running job."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while the job runs."""


def kill(job: Job) -> None:
    """Kill the job's whole process group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.pid, signal.SIGKILL)
    while job.poll() is None:
        time.sleep(0.0005)


def execute(command: list[str], folder: Path, environment: dict[str, str], output: Path) -> Job:
    """Start a command in a session of its own, with what it prints going to a file."""
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


class ForkServer:
    """Starts jobs from a warmed-up process (see `tests.crash.fork_server`); one at a time."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._rest = b""

    def start(self, arguments: list[str], output: Path) -> Job:
        """Start a job with these arguments, with what it prints going to a file."""
        request = {"arguments": arguments, "output": str(output)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        pid = self.read_number(timeout=None)
        assert pid is not None
        return _ForkedJob(pid, self)

    def read_number(self, timeout: float | None) -> int | None:
        """Return the next number that the server tells, None when there is none in time."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], timeout)[0]:
                return None
            data = os.read(descriptor, 4096)
            if not data:
                raise RuntimeError("the fork server has ended")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return int(line)

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.communicate()


class _ForkedJob:
    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid = pid
        self._server = server
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._server.read_number(timeout=0)
        return self._status


class JournalFiles:
    """A journal, on the disk or in an object store, seen with none of the product's code.

    Args:
        url: a path, or such as `s3://bucket/prefix`.
        environment: has a store's credentials, the dlt way.
    """

    prefix = "SOURCES__SMS_SOURCE__JOURNAL__CREDENTIALS__"

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        self.url = url
        self.in_store = "://" in url
        options: dict[str, Any] = {}
        if self.in_store:
            names = {
                "key": "AWS_ACCESS_KEY_ID",
                "secret": "AWS_SECRET_ACCESS_KEY",
                "endpoint_url": "ENDPOINT_URL",
            }
            options = {option: environment[self.prefix + name] for option, name in names.items()}
            options["use_listings_cache"] = False
        self._files, self._root = fsspec.url_to_fs(url, **options)

    def names(self, folder: str) -> set[str]:
        """Return the names in a folder of the journal, none if it is not there."""
        try:
            entries = self._files.ls(f"{self._root}/{folder}", detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {str(entry).rpartition("/")[2] for entry in entries}

    def read(self, path: str) -> bytes:
        """Return a file's content, in clear."""
        return opened(path, bytes(self._files.cat_file(f"{self._root}/{path}")))

    def remove(self, path: str) -> None:
        """Remove a file or a folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{path}".rstrip("/"), recursive=True)
