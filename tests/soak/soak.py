"""Lets the main job follow its queues for some thousand rounds, and looks whether anything grows.

    python -m tests.soak.soak --rounds 5000

A reply arrives at a moment that is drawn, and the next one once it is loaded: so a round finds one reply or
none. The first quarter of the rounds is for what fills up once (caches, pools). From then on memory, open
files, threads and what the job keeps on the disk must stay as they are; but for the archive, which may have
1 kB more a reply, and the destination, which has the rows, and dlt's row for each load. Reads /proc, so it
needs Linux.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sms_source.settings import JOURNAL_RESERVE
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.helpers.jobs import MAIN_JOB, home_in, options_for

SAMPLES = 40

SLACK = {
    "memory, kB": 16_384,  # the allocator's own ups and downs
    "open files": 8,
    "threads": 20,  # those of a drain, and those of a load, when a sample falls into one
    "journal, entries": 40,  # bundles that wait to become one
    "journal, bytes beyond 1 kB a reply": 2 * JOURNAL_RESERVE,  # of a pull that is in flight
    "dlt, entries": 60,  # a package that is being loaded
    "dlt, bytes": 131_072,
    "stderr, bytes": 0,
}
"""What may differ between two moments without being growth."""


@dataclass
class Report:
    """What was measured; `grown` is empty if nothing grows."""

    interval: float
    rounds: int = 0
    loads: int = 0
    seconds: float = 0.0
    samples: list[dict[str, int]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    status: int | None = None

    @property
    def quarters(self) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        """The second quarter of the samples, and the last."""
        quarter = len(self.samples) // 4
        return self.samples[quarter : 2 * quarter], self.samples[-quarter:]

    @property
    def grown(self) -> list[str]:
        """What was larger in the last quarter than in the second, at its largest."""
        early, late = self.quarters
        return [
            name
            for name, slack in SLACK.items()
            if max(sample[name] for sample in late) > max(sample[name] for sample in early) + slack
        ]

    def __str__(self) -> str:
        early, late = self.quarters
        lines = [f"{self.rounds:,} rounds in {self.seconds:,.0f} s, {self.loads:,} of them with a reply"]
        lines.append(f"{'':36}{'second quarter':>24}{'last quarter':>24}")
        for name in SLACK:
            ranges = [
                f"{min(s[name] for s in part):,} to {max(s[name] for s in part):,}" for part in (early, late)
            ]
            lines.append(f"{name:36}{ranges[0]:>24}{ranges[1]:>24}")
        lines.append(f"{'rows':36}" + ", ".join(f"{name} {count:,}" for name, count in self.rows.items()))
        latencies = sorted(self.latencies[1:])  # the first reply waits for the job to start
        middle, high, last = (latencies[int(part * (len(latencies) - 1))] for part in (0.5, 0.99, 1))
        lines.append(
            f"{'arrival to row':36}{middle:.2f} s in the middle, {high:.2f} s for 99 of 100, {last:.2f} s at "
            f"most, at an interval of {self.interval:g} s"
        )
        lines += [f"GROWN: {name}" for name in self.grown]
        return "\n".join(lines)


class Soak:
    """A simulator, and the job that follows it in a folder of its own."""

    def __init__(self, interval: float) -> None:
        self.report = Report(interval)

    def __enter__(self) -> "Soak":
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        self._simulator = self._stack.enter_context(SimulatorProcess([APP], rate_limit=0))
        self._errors = self._folder / "stderr"
        command = [sys.executable, str(MAIN_JOB), "--log-format", "json", "--follow"]
        with self._errors.open("wb") as errors:
            self._job = subprocess.Popen(
                [*command, str(self.report.interval)],
                cwd=self._folder,
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._stack.callback(self._job.kill)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, rounds: int, progress: Callable[[str], None] = lambda line: None) -> Report:
        """Follows for so many rounds, then ends the job with SIGTERM."""
        report = self.report
        begun = time.monotonic()
        while report.rounds < rounds:
            time.sleep(random.uniform(0, 2 * report.interval))
            arrived = time.monotonic()
            self._simulator.enqueue(APP, [a_reply()])
            while not self._read_summary()["replies"]:
                pass
            report.latencies.append(time.monotonic() - arrived)
            report.loads += 1
            # A round with a reply is two requests: the second one finds the queue empty.
            report.rounds = self._simulator.stats().pulls - report.loads
            if report.rounds * SAMPLES >= rounds * (len(report.samples) + 1):
                report.samples.append(self._sample())
                progress(f"{report.rounds:,} rounds, {report.samples[-1]['memory, kB']:,} kB")
        self._job.send_signal(signal.SIGTERM)
        self._job.communicate()
        report.seconds = time.monotonic() - begun
        report.status = self._job.returncode
        report.rows = self._count_rows()
        return report

    def _read_summary(self) -> dict[str, Any]:
        assert self._job.stdout is not None
        line = self._job.stdout.readline()
        if not line:
            raise RuntimeError(f"the job has ended:\n{self._errors.read_text()}")
        summary: dict[str, Any] = json.loads(line)
        return summary

    def _sample(self) -> dict[str, int]:
        process = Path("/proc", str(self._job.pid))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        journal, dlt = (_size(self._folder / name) for name in ("journal", "dlt"))
        return {
            "memory, kB": int(status["VmRSS"].split()[0]),
            "open files": len(os.listdir(process / "fd")),
            "threads": int(status["Threads"]),
            "journal, entries": journal[0],
            "journal, bytes beyond 1 kB a reply": journal[1] - 1_000 * self.report.loads,
            "dlt, entries": dlt[0],
            "dlt, bytes": dlt[1],
            "stderr, bytes": self._errors.stat().st_size,
        }

    def _count_rows(self) -> dict[str, int]:
        import duckdb

        names = ("replies", "pulls", "_dlt_loads", "_dlt_pipeline_state", "_dlt_version")
        with duckdb.connect(str(self._folder / "sms_replies.duckdb"), read_only=True) as connection:
            counts = [connection.execute(f"select count(*) from sms.{name}").fetchall() for name in names]
        return {name: count for name, ((count,),) in zip(names, counts, strict=True)}

    def _environment(self) -> dict[str, str]:
        journal = str(self._folder / "journal")
        return {**home_in(self._folder), **options_for(self._simulator, APP, journal_url=journal)}


def _size(folder: Path) -> tuple[int, int]:
    """How many entries a folder has, all the way down, and their bytes."""
    entries = size = 0
    for path, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        for name in files:
            with suppress(FileNotFoundError):  # the job works on
                size += Path(path, name).stat().st_size
    return entries, size


def main() -> int:
    """Run it from a shell; the exit status is 1 if anything grows, or a reply is missing or doubled."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=2_000, metavar="N")
    parser.add_argument("--interval", type=float, default=0.05, metavar="SECONDS")
    args = parser.parse_args()
    with Soak(args.interval) as soak:
        report = soak.run(args.rounds, progress=lambda line: print(line, file=sys.stderr, flush=True))
    print(report)
    return 0 if report.status == 0 and not report.grown and report.rows["replies"] == report.loads else 1


if __name__ == "__main__":
    sys.exit(main())
