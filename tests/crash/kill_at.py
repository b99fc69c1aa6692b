"""Runs the main job in a process that kills itself at an exact point of the protocol.

The product knows nothing of it: a function of the operating system, of the journal's storage, of the client
or of dlt is wrapped in the child alone, and SIGKILL comes just before or after one of its calls, or in its
middle. What is in the kernel's hands by then stays, as with any killed process.
"""

import functools
import itertools
import multiprocessing
import os
import pkgutil
import signal
import stat
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Literal, NamedTuple

# For the children's sake: what a run imports in its course. Not duckdb, which starts a thread: a process that
# has threads can't be forked safely.
import dlt.common.libs.pyarrow
import dlt.extract.extract
import dlt.load.load  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow.parquet  # noqa: F401

from pipelines import load_replies

ROOT = Path(__file__).resolve().parents[2]


def _every(*_arguments: Any, **_options: Any) -> bool:
    return True


class Point(NamedTuple):
    """A point of the protocol: at the `nth` call of a function, of the calls that count."""

    function: str
    when: Literal["before", "half way", "after"] = "after"
    nth: int = 1
    counts: Callable[..., bool] = _every


def _of_file(descriptor: int) -> bool:
    """A flush of a file, not of a folder."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _of_answer(_descriptor: int, content: bytes) -> bool:
    return b"PullSmsReplyStatusSet" in bytes(content)


def _to(state: str) -> Callable[..., bool]:
    """A call whose last path ends with this state of a pull."""

    def counts(*arguments: Any, **_options: Any) -> bool:
        return str([each for each in arguments if not isinstance(each, bytes)][-1]).endswith(f".{state}")

    return counts


def _of_marker(_storage: Any, path: str, *_arguments: Any) -> bool:
    return path.startswith("committed/")


def _of_new_jobs(folder: str, *_arguments: Any, **_options: Any) -> bool:
    return folder == "new_jobs"


STORAGE = "sms_source.journal.storage:LocalStorage"

# In the order in which a run comes to them. The second pull is the one that meets the kill where pulls are
# counted; of the files flushed, the first is the journal's `owner.json`.
POINTS = {
    "between two commits of a sweep": Point(f"{STORAGE}.write", counts=_of_marker),
    "in the middle of an expiry": Point("os:unlink", counts=_to("answer")),
    "before an expired drain's marker goes": Point(f"{STORAGE}.remove_folder"),
    "after the intent": Point(f"{STORAGE}.reserve", nth=2),
    "after the answer arrived": Point("sms_source.api.client:SmsClient.pull", nth=2),
    "in the middle of the write": Point("os:write", "half way", nth=2, counts=_of_answer),
    "after the write": Point("os:fsync", "before", nth=3, counts=_of_file),
    "after the flush": Point("os:fsync", nth=3, counts=_of_file),
    "after the rename": Point("os:replace", nth=2, counts=_to("answer")),
    "after a doubt was noted": Point(f"{STORAGE}.fill", counts=_to("in_doubt")),
    "before the intent of an empty answer goes": Point(f"{STORAGE}.remove", "before", counts=_to("intent")),
    "after the intent of an empty answer went": Point(f"{STORAGE}.remove", counts=_to("intent")),
    "after the yield": Point("dlt.extract.extractors:ArrowExtractor.write_items"),
    # The source leaves the journal as the last thing, when its state is written.
    "after the state is written": Point(f"{STORAGE}.release", "before"),
    "before the extraction counts": Point("dlt.extract.extract:Extract.commit_packages", "before"),
    "while a schema is saved": Point("os:replace", "before", counts=_to("schema.json")),
    "before the extraction's state counts": Point("dlt.extract.extract:Extract.commit_packages"),
    "after extract": Point("dlt:Pipeline.extract"),
    "in the middle of normalize": Point(
        "dlt.common.storages.load_storage:LoadStorage.commit_new_load_package", "before"
    ),
    "before what was normalized goes": Point(
        "dlt.common.storages.load_storage:LoadStorage.commit_new_load_package"
    ),
    "while what was normalized goes": Point("os:rmdir", counts=_of_new_jobs),
    "after normalize": Point("dlt:Pipeline.normalize"),
    "after the first job of a load": Point("dlt.destinations.impl.duckdb.duck:DuckDbCopyJob.run"),
    "after the merge": Point("dlt.load.load:Load.complete_package", "before"),
    "before the load counts": Point(
        "dlt.common.storages.load_storage:LoadStorage.complete_load_package", "before"
    ),
    "after load": Point("dlt:Pipeline.load"),
}


def run_until(point: str, *arguments: str, **environment: str) -> int | None:
    """Runs the main job here, with this environment, until it comes to the point; returns its exit status.

    The status is -9 when the point was met. What the job prints is in `kill_at.log`.
    """
    variables = {**os.environ, **environment}
    process = _context().Process(target=_run, args=(point, str(Path.cwd()), variables, arguments))
    process.start()
    process.join()
    return process.exitcode


@functools.cache
def _context() -> ForkServerContext:
    """Processes that begin where an ordinary one has finished its imports: a fork each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.kill_at"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    try:
        starter = context.Process(target=_check_alone)
        starter.start()
        starter.join()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    if starter.exitcode != 0:
        raise RuntimeError("the fork server has threads, and can't be forked safely")
    return context


def _check_alone() -> None:
    sys.exit(0)


def _run(point: str, folder: str, environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """In the child: wraps, and runs."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    log = os.open("kill_at.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _wrap(POINTS[point])
    sys.exit(load_replies.main(list(arguments)))


def _wrap(point: Point) -> None:
    owner_name, _, name = point.function.replace(":", ".", 1).rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original = getattr(owner, name)
    calls = itertools.count(1)
    lock = threading.Lock()

    @functools.wraps(original)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        with lock:
            is_due = point.counts(*arguments, **options) and next(calls) == point.nth
        if is_due and point.when == "before":
            _die()
        if is_due and point.when == "half way":
            descriptor, content = arguments
            original(descriptor, content[: len(content) // 2])
            _die()
        result = original(*arguments, **options)
        if is_due:
            _die()
        return result

    setattr(owner, name, wrapper)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # SIGKILL is for the process; this thread does nothing more until it comes
