"""Starts the main job from a process that has imported everything already, a fork a job.

    python -m tests.crash.fork_server

Reads a line of JSON for each job (`what`, `arguments`, `output`) and answers with its process id, then
with its exit status, negative for a signal. A job is a real process in a session of its own, which
begins where an ordinary one has finished its imports; nothing else about it differs. It inherits this
process's folder and environment.
"""

import importlib
import json
import os
import sys
import threading
import warnings

import dlt

from pipelines import load_replies
from sms_source import settings
from tests.crash.job import MAIN_JOB, PACKAGE_REPLIES

# What a job imports in the course of its run. Not duckdb, though it takes 50 ms: it starts a thread, and a
# process is forked safely only while it has one.
LATE_IMPORTS = (
    "dlt.common.libs.pyarrow",
    "dlt.common.libs.sql_alchemy_compat",
    "dlt.sources.helpers.requests",
    "pandas",
    "pyarrow.fs",
    "pyarrow.parquet",
)


def main() -> int:
    """Serves until standard input ends; in a forked process, runs the job instead and returns its status."""
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    alone = threading.active_count() == 1 and "duckdb" not in sys.modules
    if not alone:
        raise RuntimeError("a process with threads can't be forked")
    if number := os.environ.get(PACKAGE_REPLIES):
        settings.PACKAGE_REPLIES = int(number)
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _detach(request["output"])
            os.close(writer)
            return _run(request["what"], request["arguments"])
        os.close(writer)
        os.read(reader, 1)  # ends when the job has its own session, or is dead
        os.close(reader)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return 0


def _detach(output: str) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(descriptor, target)
    os.close(null)
    os.close(file)


def _run(what: str, arguments: list[str]) -> int:
    if what == MAIN_JOB:
        return load_replies.main(arguments)
    warnings.simplefilter("ignore")
    (pipeline_name,) = arguments
    dlt.attach(pipeline_name).abort_packages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
