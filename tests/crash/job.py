"""The main job as the crash harness runs it: in a folder of its own, started one way or another, killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import fsspec

ROOT = Path(__file__).resolve().parents[2]
MAIN_SCRIPT = ROOT / "pipelines" / "load_replies.py"

# The variable that tells a fork server after how many replies its jobs close a load package.
PACKAGE_REPLIES = "TEST_PACKAGE_REPLIES"

# What a fork server can run.
MAIN_JOB = "main job"
ABORT_PACKAGES = "abort packages"


class Job(Protocol):
    """A running job."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the job runs."""


def kill(job: Job) -> None:
    """Kills the job's whole process group, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.pid, signal.SIGKILL)
    while job.poll() is None:
        time.sleep(0.0005)


def execute(command: list[str], folder: Path, environment: dict[str, str], output: Path) -> Job:
    """Starts a command in a session of its own, with what it prints going to a file."""
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

    def start(self, arguments: list[str], output: Path, what: str = MAIN_JOB) -> Job:
        """Starts a job with these arguments, with what it prints going to a file."""
        request = {"what": what, "arguments": arguments, "output": str(output)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        pid = self.read_number(timeout=None)
        assert pid is not None
        return _ForkedJob(pid, self)

    def read_number(self, timeout: float | None) -> int | None:
        """The next number that the server tells; None when there is none in time."""
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
        """Ends the server."""
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
        """Names in a folder of the journal; none if it is not there."""
        try:
            entries = self._files.ls(f"{self._root}/{folder}", detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {str(entry).rpartition("/")[2] for entry in entries}

    def read(self, path: str) -> bytes:
        """A file's content."""
        return bytes(self._files.cat_file(f"{self._root}/{path}"))

    def remove(self, path: str) -> None:
        """Removes a file or a folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{path}".rstrip("/"), recursive=True)


class Folders:
    """What a job leaves on the disk, seen from outside; each method gives a set that grows as it goes on.

    Args:
        job_folder: the job's current directory.
        journal_url: of a journal that is elsewhere.
    """

    def __init__(self, job_folder: Path, journal_url: str | None = None) -> None:
        self.job = job_folder
        self.journal = JournalFiles(journal_url or str(job_folder / "sms_journal"))
        self.dlt = job_folder / ".dlt-data"
        self.database = job_folder / "sms_replies.duckdb"
        self._working = self.dlt / "pipelines" / "sms_replies"

    def drains(self) -> set[str]:
        """Drains in the journal."""
        return self.journal.names("drains")

    def answers(self, drains: set[str]) -> set[str]:
        """Answers of these drains in the journal."""
        return {
            f"{drain}/{name}"
            for drain in drains
            for name in self.journal.names(f"drains/{drain}")
            if name.endswith(".answer")
        }

    def committed(self) -> set[str]:
        """Drains that the journal knows to be loaded."""
        return self.journal.names("committed")

    def extracting(self) -> set[str]:
        """Extractions that have begun."""
        return _names(self._working / "normalize") - {"extracted", ".version"}

    def extracted(self) -> set[str]:
        """Load packages that wait to be normalized."""
        return _names(self._working / "normalize" / "extracted")

    def normalizing(self) -> set[str]:
        """Load packages that are being normalized."""
        return _names(self._working / "load" / "new")

    def normalized(self) -> set[str]:
        """Load packages that wait to be loaded, or are being loaded."""
        return _names(self._working / "load" / "normalized")

    def started(self) -> set[str]:
        """Load jobs that have begun."""
        return self._load_jobs("started_jobs") | self.completed()

    def completed(self) -> set[str]:
        """Load jobs that have ended."""
        return self._load_jobs("completed_jobs")

    def loaded(self) -> set[str]:
        """Load packages that are loaded."""
        return _names(self._working / "load" / "loaded")

    def database_states(self) -> set[tuple[str, int]]:
        """The database's files, with their sizes: another set whenever one grows."""
        states = set()
        for suffix in ("", ".wal"):
            try:
                path = self.database.with_name(self.database.name + suffix)
                states.add((path.name, path.stat().st_size))
            except FileNotFoundError:
                pass
        return states

    def pending(self) -> set[str]:
        """Load packages that are not loaded yet."""
        return self.extracted() | self.normalized()

    def package_files(self) -> set[str]:
        """Files of the jobs of packages that are not loaded yet."""
        folders = [
            *(self._working / "normalize" / "extracted" / package for package in self.extracted()),
            *(self._working / "load" / "normalized" / package for package in self.normalized()),
        ]
        return {f"{folder}/{name}" for folder in folders for name in _names(folder / "new_jobs")}

    def _load_jobs(self, state: str) -> set[str]:
        return {
            f"{package}/{name}"
            for package in self.normalized()
            for name in _names(self._working / "load" / "normalized" / package / state)
        }


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


class Phases:
    """How far a run has come, from what has changed in the folders since it began."""

    def __init__(self, folders: Folders, output: Path) -> None:
        self._folders = folders
        self._output = output
        self._before: dict[Callable[[], set[str]], set[str]] = {
            method: method()
            for method in (
                folders.drains,
                folders.committed,
                folders.extracting,
                folders.extracted,
                folders.normalizing,
                folders.normalized,
                folders.started,
                folders.completed,
                folders.loaded,
            )
        }
        self.flushes = bool(folders.pending())

    def new(self, method: Callable[[], set[str]]) -> set[str]:
        """What a method of the folders gives now and did not when the run began."""
        return method() - self._before[method]

    def reached(self) -> str:
        """The last phase of which there is a trace. `flush` is the load of what an earlier run left."""
        folders = self._folders
        old = self._before[folders.extracted] | self._before[folders.normalized]

        def fresh(method: Callable[[], set[str]]) -> bool:
            return any(name.partition("/")[0] not in old for name in self.new(method))

        phases = (
            ("exit", self.has_told()),
            ("loaded", fresh(folders.loaded)),
            ("load", fresh(folders.started)),
            ("normalized", fresh(folders.normalized)),
            ("normalize", fresh(folders.normalizing)),
            ("extracted", fresh(folders.extracted)),
            ("pull and extract", bool(self.new(folders.drains))),
            ("sweep", self._swept()),
            ("extract", bool(self.new(folders.extracting))),
            ("flush", self.flushes),
        )
        return next((phase for phase, is_reached in phases if is_reached), "start")

    def has_told(self) -> bool:
        """Whether the run has printed what it did."""
        output = self._output.read_bytes() if self._output.exists() else b""
        return b"Loaded " in output or b"No new replies" in output

    def _swept(self) -> bool:
        folders = self._folders
        removed = any(self._before[m] - m() for m in (folders.drains, folders.committed))
        return removed or bool(self.new(folders.committed))
