"""Measures how fast the main job drains a queue whose answers go into an object store first.

    python -m tests.s3.throughput --delays 0.03 0.1

The store is a light one on this machine (`tests.s3.light_store`). A delay, in seconds, is added to each of
its answers, as the way to a store in another place adds one; a pull waits for two of them. The rate is that of
the pulls in the simulator's log, with the job's default options and the API's quota of 100 a second; beside it,
the CPU that the job took for a pull, and the most memory that it had.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sms_source.simulator import SimulatorProcess, demo_replies
from tests.helpers.jobs import MAIN_JOB
from tests.s3.conftest import CREDENTIALS

APP = "1400006666"


class Measure(NamedTuple):
    """What one run took.

    rate: pulls a second, from the first to the last one.
    cpu: milliseconds of the job's process for a pull, loading included.
    memory: its most, in MB.
    """

    rate: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.rate:6.1f} pulls/s, {self.cpu:5.1f} ms CPU a pull, {self.memory:4.0f} MB"


@contextmanager
def light_store(delay: float) -> Iterator[str]:
    """The URL of a store in a process of its own."""
    command = [sys.executable, "-m", "tests.s3.light_store", "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as store:
        assert store.stdout is not None
        yield f"http://127.0.0.1:{int(store.stdout.readline())}"
        store.kill()


def measure(replies: int, workers: int | None, store_url: str | None) -> Measure:
    """Drain a queue once. Without a store, the journal is a folder."""
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess([APP]) as simulator:
        for start in range(0, replies, 20_000):
            count = min(20_000, replies - start)
            simulator.enqueue(APP, demo_replies(count, seed=start, now=int(time.time())))
        options = {
            "CREDENTIALS__SECRET_ID": simulator.secret_id,
            "CREDENTIALS__SECRET_KEY": simulator.secret_key,
            "SMS_SDK_APP_IDS": APP,
            "API_ENDPOINT": simulator.url,
            "JOURNAL_URL": "s3://journals/sms" if store_url else "sms_journal",
        }
        if workers:
            options["PULL_WORKERS"] = str(workers)
        store = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "ENDPOINT_URL": store_url or ""}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "DLT_DATA_DIR": str(Path(folder, "dlt")),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            **{f"SOURCES__SMS_SOURCE__{name}": value for name, value in options.items()},
            **{CREDENTIALS + name: value for name, value in store.items() if store_url},
        }
        with subprocess.Popen(
            [sys.executable, str(MAIN_JOB)], cwd=folder, env=environment, stdout=subprocess.DEVNULL
        ) as job:
            _, status, usage = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
        if job.returncode:
            raise RuntimeError(f"the job ended with {job.returncode}")
        times = [pull.time for pull in simulator.log() if pull.replies]
        rate = (len(times) - 1) / (times[-1] - times[0])
        cpu = 1000 * (usage.ru_utime + usage.ru_stime) / len(times)
        return Measure(rate, cpu, usage.ru_maxrss / 1024)


def main() -> None:
    """Print a line for the folder, and one for the store with each delay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=50_000, metavar="N")
    parser.add_argument("--workers", type=int, metavar="N", help="pull_workers, by default the job's own")
    parser.add_argument("--delays", type=float, nargs="*", default=[0.0, 0.03, 0.1], metavar="SECONDS")
    options = parser.parse_args()
    print(f"{options.replies:,} replies, {os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f}")
    print(f"  in a folder             {measure(options.replies, options.workers, None)}", flush=True)
    for delay in options.delays:
        with light_store(delay) as url:
            result = measure(options.replies, options.workers, url)
        print(f"  in a store {delay * 1000:4.0f} ms away  {result}", flush=True)


if __name__ == "__main__":
    main()
