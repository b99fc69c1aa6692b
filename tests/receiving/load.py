"""Pushes as fast as it is answered, over several connections, and measures; writes docs/benchmark.md.

    python -m tests.receiving.load --write

Each connection pushes one reply after the other, each in a file that is flushed before the answer, while the
job loads what has come, every second, into DuckDB, on the same cores.
"""

import argparse
import http.client
import json
import os
import platform
import tempfile
import threading
import time
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import duckdb

from sms_source.simulator import SimulatorProcess
from tests.benchmark.page import RECEIVING, put
from tests.conftest import APP
from tests.helpers.jobs import ROOT
from tests.receiving.receiving_job import TOKEN, ReceivingJob, a_pushed_receipt, a_pushed_reply, configure

PAGE = ROOT / "docs" / "benchmark.md"
MIB = 1 << 20


class Result(NamedTuple):
    """What was measured: pushes answered, in seconds, and the milliseconds of each, sorted."""

    name: str
    pushes: int
    records: int
    seconds: float
    milliseconds: list[float]

    def share(self, share: float) -> float:
        """Return the milliseconds within which a share of the answers came."""
        return self.milliseconds[min(int(share * len(self.milliseconds)), len(self.milliseconds) - 1)]


def measure(name: str, connections: int, seconds: float, port: int, batch: int) -> Result:
    """Push for some seconds: replies one by one, or receipts in batches."""
    times: list[list[float]] = [[] for _ in range(connections)]
    ends_at = time.monotonic() + seconds

    def push(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (began := time.monotonic()) < ends_at:
            mark = f"{name} {number} {len(times[number])}"
            if batch:
                body = json.dumps([a_pushed_receipt(f"{mark} {n}") for n in range(batch)])
            else:
                body = json.dumps(a_pushed_reply(mark))
            connection.request("POST", f"/{TOKEN}/" + (f"receipts/{APP}" if batch else "replies"), body)
            response = connection.getresponse()
            if json.loads(response.read()) != {"result": 0, "errmsg": "OK"}:
                raise AssertionError(response.status)
            times[number].append((time.monotonic() - began) * 1_000)
        connection.close()

    began = time.monotonic()
    threads = [threading.Thread(target=push, args=[number]) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    milliseconds = sorted(chain.from_iterable(times))
    count = len(milliseconds)
    return Result(name, count, count * max(batch, 1), time.monotonic() - began, milliseconds)


def run(seconds: float) -> tuple[list[Result], float]:
    """Measure all; return the results, and the megabytes of the job's memory.

    Raises:
        AssertionError: a record is missing in the warehouse, or there twice.
    """
    with tempfile.TemporaryDirectory(prefix="receiving-") as folder, SimulatorProcess([APP]) as simulator:
        configure(simulator, folder)
        with ReceivingJob("--follow", "1") as job:
            first = measure("warm", 1, 1, job.port, 0)
            results = [
                measure("1 connection, a reply a push", 1, seconds, job.port, 0),
                measure("8 connections, a reply a push", 8, seconds, job.port, 0),
                measure("32 connections, a reply a push", 32, seconds, job.port, 0),
                measure("8 connections, 100 receipts a push", 8, seconds / 2, job.port, 100),
            ]
            status = Path(f"/proc/{job.process.pid}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MIB
            if job.terminate():
                raise AssertionError(job.output)
        with duckdb.connect(f"{folder}/sms_replies.duckdb", read_only=True) as connection:
            found = connection.execute(
                "select (select count(*) from sms.replies) + (select count(*) from sms.receipts)"
            ).fetchone()
        pushed = sum(one.records for one in (first, *results))
        if found != (pushed,):
            raise AssertionError(f"{pushed} records were accepted, and {found} are there")
        return results, peak


def section(results: list[Result], peak: float) -> str:
    """Return the section of the page."""
    rows = "\n".join(
        f"| {one.name} | {one.pushes / one.seconds:,.0f} | {one.records / one.seconds:,.0f} | "
        f"{one.share(0.5):.1f} | {one.share(0.99):.1f} | {one.milliseconds[-1]:.0f} |"
        for one in results
    )
    return f"""{RECEIVING}

Written by `make test-receive` (`python -m tests.receiving.load --write`): pushes over HTTP, each
answered when it is in the journal, flushed, while the job loads what has come into DuckDB every second.
Sender and job share {os.cpu_count()} cores, Python {platform.python_version()}; the job's memory was at most
{peak:.0f} MB.

| | pushes a second | records a second | median, ms | 99 of 100, ms | longest, ms |
|---|--:|--:|--:|--:|--:|
{rows}
"""


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--write", action="store_true", help="write docs/benchmark.md")
    args = parser.parse_args()
    print(text := section(*run(args.seconds)))
    if args.write:
        put(PAGE, text)


if __name__ == "__main__":
    main()
