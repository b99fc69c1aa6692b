"""Starts the main job from a process that has imported everything already, a fork a job.

    python -m tests.crash.fork_server

Reads a line of JSON for each job (`arguments`, `output`) and answers with its process id, then
with its exit status, negative for a signal. A job is a real process in a session of its own, which
begins where an ordinary one has finished its imports; nothing else about it differs. It inherits this
process's folder and environment.
"""

import importlib
import json
import os
import sys
import threading

from sms_source import cli, settings
from sms_source.cli import startup
from sms_source.journal import archive
from tests.crash.job import MERGED_AT, PACKAGE_RECORDS

# What a job imports in the course of its run. Not duckdb, though it takes 50 ms: it starts a thread, and a
# process is forked safely only while it has one.
LATE_IMPORTS = (
    "dlt.common.libs.pyarrow",
    "dlt.common.libs.sql_alchemy_compat",
    "dlt.sources.helpers.requests",
    "pyarrow.fs",
    "pyarrow.parquet",
    "sms_source.loading.engine",
    "sms_source.loading.extraction",
)


def main() -> int:
    """Serve until standard input ends; in a forked process, run the job instead and return its status."""
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    alone = threading.active_count() == 1 and "duckdb" not in sys.modules
    if not alone:
        raise RuntimeError("a process with threads can't be forked")
    if number := os.environ.get(PACKAGE_RECORDS):
        settings.PACKAGE_RECORDS = int(number)
    if number := os.environ.get(MERGED_AT):
        archive.MERGED_AT = int(number)
    startup.begin()  # as a process of its own does
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _detach(request["output"])
            os.close(writer)
            return cli.job(request["arguments"])
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


if __name__ == "__main__":
    sys.exit(main())
