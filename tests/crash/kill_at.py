"""Runs the main job, or the bare source, in a process that kills itself at an exact point of the protocol.

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
import sys
import threading
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

# For the children's sake: what a run imports in its course. Not duckdb, which starts a thread: a process that
# has threads can't be forked safely.
import dlt
import dlt.common.libs.pyarrow
import dlt.extract.extract
import dlt.load.load
import pandas as pd  # noqa: F401
import pyarrow.parquet  # noqa: F401

import sms_source
import sms_source.loading.engine
import sms_source.loading.source
from sms_source import cli
from sms_source.journal import archive
from tests.crash.job import MERGED_AT, ROOT
from tests.crash.points import POINTS, Point

SOURCE = "the bare source"


def run_until(point: str, *arguments: str, **environment: str) -> int | None:
    """Run the main job here, with this environment, until it comes to the point; return its exit status.

    The status is -9 when the point was met. What the job prints is in `kill_at.log`.

    Args:
        point: of `POINTS`.
        arguments: of the job; or `SOURCE`, and then `--replay` or nothing.
        environment: beside this process's own.
    """
    variables = {**os.environ, **environment}
    process = _context().Process(target=_run, args=(point, str(Path.cwd()), variables, arguments))
    process.start()
    process.join()
    return process.exitcode


def run_source(*, replay: bool = False) -> None:
    """Run the source in a pipeline of one's own, as the documents say: in an emptied directory."""
    sms_source.empty_working_directory("sms_replies")
    destination = dlt.destinations.duckdb("sms_replies.duckdb")
    pipeline = dlt.pipeline("sms_replies", destination=destination, dataset_name="sms")
    pipeline.run(sms_source.sms_source(replay=replay))


@functools.cache
def _context() -> ForkServerContext:
    """Return processes that begin where an ordinary one has finished its imports: a fork each."""
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
    """In the child: wrap, and run."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    log = os.open("kill_at.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if number := os.environ.get(MERGED_AT):
        archive.MERGED_AT = int(number)
    _wrap(POINTS[point])
    if arguments[:1] == (SOURCE,):
        run_source(replay="--replay" in arguments)
        sys.exit(0)
    sys.exit(cli.job(list(arguments)))


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
        if is_due and point.half:
            original(*point.half(*arguments, **options))
            _die()
        result = original(*arguments, **options)
        if is_due:
            _die()
        return result

    setattr(owner, name, wrapper)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # SIGKILL is for the process; this thread does nothing more until it comes
