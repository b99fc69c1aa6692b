"""Measures how fast the main job drains a queue whose answers go into an object store first.

    python -m tests.s3.throughput --delays 0.03 0.1 --kills 10

The store is a light one on this machine (`tests.s3.light_store`). A delay, in seconds, is added to each of
its answers, as the way to a store in another place adds one; a pull waits for two of them. The rate is that
of the pulls in the simulator's log, with the job's default options and the API's quota of 100 a second;
beside it, the CPU that the job took for a pull, and the most memory that it had. With `--kills`, so many
jobs are killed in the middle of a drain, and what each leaves in doubt is counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import s3fs

from sms_source.simulator import SimulatorProcess, demo_replies
from tests.helpers.jobs import MAIN_JOB, home_in, options_for, wait_until
from tests.s3.conftest import CREDENTIALS

APP = "1400006666"


class Measure(NamedTuple):
    """What one run took.

    rate: pulls a second, from the first to the last one.
    cpu: milliseconds of the job's process for a pull, loading included.
    memory: its peak, in MB.
    """

    rate: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.rate:6.1f} pulls/s, {self.cpu:5.1f} ms CPU a pull, {self.memory:4.0f} MB"


@contextmanager
def light_store(delay: float) -> Iterator[str]:
    """Provide the URL of a store in a process of its own."""
    command = [sys.executable, "-m", "tests.s3.light_store", "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as store:
        assert store.stdout is not None
        yield f"http://127.0.0.1:{int(store.stdout.readline())}"
        store.kill()


def environment(
    simulator: SimulatorProcess, folder: str, store_url: str | None, workers: int | None
) -> dict[str, str]:
    """Return what the job is configured with. Without a store, the journal is a folder."""
    options = {"journal_url": f"s3://journals/{Path(folder).name}" if store_url else "sms_journal"}
    if workers:
        options["pull_workers"] = str(workers)
    store = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "ENDPOINT_URL": store_url or ""}
    return {
        **home_in(folder),
        **options_for(simulator, APP, **options),
        **{CREDENTIALS + name: value for name, value in store.items() if store_url},
    }


def measure(replies: int, workers: int | None, store_url: str | None) -> Measure:
    """Drain a queue once."""
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess([APP]) as simulator:
        enqueue(simulator, replies)
        options = environment(simulator, folder, store_url, workers)
        with subprocess.Popen(
            [sys.executable, str(MAIN_JOB)], cwd=folder, env=options, stdout=subprocess.DEVNULL
        ) as job:
            _, status, usage = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
        if job.returncode:
            raise RuntimeError(f"the job ended with {job.returncode}")
        times = [pull.time for pull in simulator.log() if pull.replies]
        rate = (len(times) - 1) / (times[-1] - times[0])
        cpu = 1000 * (usage.ru_utime + usage.ru_stime) / len(times)
        return Measure(rate, cpu, usage.ru_maxrss / 1024)


def in_doubt_after_kill(workers: int | None, store_url: str, latency: float) -> int:
    """Kill the job in the middle of a drain; return how many pulls have an intent and no answer."""
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess([APP]) as simulator:
        enqueue(simulator, 40_000)
        simulator.configure(latency=latency)
        options = environment(simulator, folder, store_url, workers)
        with subprocess.Popen([sys.executable, str(MAIN_JOB)], cwd=folder, env=options) as job:
            wait_until(lambda: simulator.stats().pulls >= 150)
            job.kill()
        files = s3fs.S3FileSystem(key="k", secret="s", endpoint_url=store_url, skip_instance_cache=True)
        names = [
            str(path).rpartition("/")[2] for path in files.find(options["SOURCES__SMS_SOURCE__JOURNAL_URL"])
        ]
    states: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if name.endswith((".intent", ".answer")):
            states[name.partition(".")[0]].add(name.rpartition(".")[2])
    return sum(found == {"intent"} for found in states.values())


def enqueue(simulator: SimulatorProcess, replies: int) -> None:
    """Have replies wait."""
    for start in range(0, replies, 20_000):
        count = min(20_000, replies - start)
        simulator.enqueue(APP, demo_replies(count, seed=start, now=int(time.time())))


def main() -> None:
    """Print a line for the folder, and one for the store with each delay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=50_000, metavar="N")
    parser.add_argument("--workers", type=int, metavar="N", help="pull_workers, by default the job's own")
    parser.add_argument("--delays", type=float, nargs="*", default=[0.0, 0.03, 0.1], metavar="SECONDS")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kills in each store, too")
    parser.add_argument(
        "--latency", type=float, default=0.05, metavar="SECONDS", help="of the API, for kills"
    )
    options = parser.parse_args()
    print(f"{options.replies:,} replies, {os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f}")
    print(f"  in a folder             {measure(options.replies, options.workers, None)}", flush=True)
    for delay in options.delays:
        with light_store(delay) as url:
            print(f"  in a store {delay * 1000:4.0f} ms away  ", end="", flush=True)
            print(measure(options.replies, options.workers, url), flush=True)
            doubts = [
                in_doubt_after_kill(options.workers, url, options.latency) for _ in range(options.kills)
            ]
            if doubts:
                print(
                    f"    in doubt after a kill: {statistics.mean(doubts):.1f}, at most {max(doubts)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
