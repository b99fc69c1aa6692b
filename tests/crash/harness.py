"""Kills the main job at every moment of its life, a thousand times, and looks whether anything was lost.

    python -m tests.crash.harness --kills 1000

Replies arrive at a simulator, which is a process of its own, before and during each run of the job. Each
run is ended by SIGKILL, at a moment drawn from the whole length of a run or aimed at a phase, which is seen
from outside (in the journal, dlt's working folder, the database, the simulator). At the end the job runs
undisturbed until the queues are empty, and the simulator's own log is held against the warehouse and
against what every kill left in the journal (see `tests.crash.truth`).

Most runs are forked from a process that has imported everything (see `tests.crash.fork_server`): real
processes and real kills, but without the 1.5 seconds that an interpreter takes to begin, and therefore with
more kills where something can be lost. A share of the runs (`--exec`) is started the plain way.

A seed repeats the draws: the replies and the aims, but not what two processes do in a millisecond.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sms_source.simulator import SimulatorProcess
from tests.crash.job import (
    ABORT_PACKAGES,
    MAIN_SCRIPT,
    PACKAGE_REPLIES,
    ROOT,
    Folders,
    ForkServer,
    JournalFiles,
    Phases,
    execute,
    kill,
)
from tests.crash.replies import ReplyMaker
from tests.crash.truth import Run, Tables, Truth, read_leftovers

APP_IDS = ("1400006666", "1400007777")
PULL_LIMIT = 20
"""Replies a pull: small, so that a run of the job makes many."""
HANG_SECONDS = 120
UNDISTURBED_SHARE = 0.05
ANY_TIME_SHARE = 0.5
"""Of the kills, those at a moment drawn from the whole length of a run; the others are aimed."""
LATENCIES = (0.0, 0.005, 0.02, 0.1)
PACKAGE_AIMS = ("extracting", "extracted", "normalizing", "normalized", "started", "database")
AIMS = ("pull", "drains", "answer", *PACKAGE_AIMS, "completed", "loaded", "committed", "told")


@dataclass
class Options:
    """What to do to the job.

    kills: how many.
    seed: of all draws.
    workers: the job's `pull_workers`.
    exec_share: of the runs, those started the plain way.
    wipe_working_directory: after every kill, as on an ephemeral runner whose journal survives.
    drop_pending: after every kill that left load packages pending, drop them, as a person may.
    kill_drops: kill some of the processes that drop packages, too.
    new_dataset: a kill or two before the dataset exists, a check, and everything anew, over and over.
    retention_days: the job's `journal_retention_days`.
    destination: of dlt; one other than DuckDB takes its credentials from the environment.
    journal_url: of a journal in an object store, which takes its credentials from the environment.
    latency: of the simulator's answers, in seconds; None draws one for each run.
    replies: the most that arrive for an application before a run.
    package_replies: after which a job that was not started the plain way closes a load package, and pulls
        for the next one while dlt loads; None for the job's own number.
    """

    kills: int = 100
    seed: int = 1
    workers: int = 16
    exec_share: float = 0.1
    wipe_working_directory: bool = False
    drop_pending: bool = False
    kill_drops: bool = False
    new_dataset: bool = False
    retention_days: float = 7.0
    destination: str = "duckdb"
    journal_url: str | None = None
    latency: float | None = None
    replies: int = 300
    package_replies: int | None = None


@dataclass
class Report:
    """What was done and found; `violations` is empty if the promise holds."""

    options: Options
    runs: int = 0
    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        phases = ", ".join(f"{phase} {count}" for phase, count in self.phases.most_common())
        counts = self.counts
        rows = {
            "kills": f"{self.kills:,} of {self.runs:,} runs, {self.options.workers} workers",
            "  by phase": phases,
            "replies": f"{counts['enqueued']:,} enqueued, {counts['handed out']:,} handed out, "
            f"{counts['loaded']:,} loaded ({counts['rejected']:,} of them rejected)",
            "lost in flight": f"{counts['lost in flight']:,} replies of "
            f"{counts['answers lost in flight']:,} answers, "
            f"the oldest handed out {counts['oldest lost, ms']:,} ms before the kill",
            "in doubt": f"{counts['in doubt']:,} pulls, {counts['at risk']:,} replies at risk; of the pulls "
            f"{counts['in doubt, never sent']:,} never sent, {counts['in doubt, empty']:,} answered empty",
            "packages dropped": f"{counts['packages dropped']:,} times, "
            f"{counts['drops killed']:,} of them killed",
            "doubled": f"{counts['doubled']:,}",
            "missing": f"{counts['missing']:,}",
            "seconds": f"{self.seconds:,.0f}",
        }
        lines = [f"{name:18}{text}" for name, text in rows.items()]
        lines += [f"VIOLATION: {violation}" for violation in self.violations]
        return "\n".join(lines)


def run(options: Options, progress: Callable[[str], None] = lambda line: None) -> Report:
    """Runs the harness; `progress` is told how far it is."""
    begun = time.monotonic()
    with Harness(options) as harness:
        harness.crash_often(progress)
        harness.report.seconds = time.monotonic() - begun
        return harness.report


def never(phases: Phases) -> bool:
    """The moment of a kill that does not come."""
    return False


class Harness:
    """The simulator, the job's folder, and what is done to the job there."""

    def __init__(self, options: Options) -> None:
        self.report = Report(options)
        self._options = options
        self._random = random.Random(options.seed)
        self._replies = ReplyMaker(self._random)
        self._runs: list[Run] = []
        self._first_pull = 0
        self._numbers = itertools.count(1)
        # By the way in which a job was started: as undisturbed ones took.
        self._seconds = {True: deque([2.5], maxlen=9), False: deque([1.0], maxlen=9)}

    def __enter__(self) -> "Harness":
        self._stack = ExitStack()
        self._root = Path(tempfile.mkdtemp(prefix="crash-"))
        self._folders = Folders(self._root / "job", self._options.journal_url)
        self._folders.job.mkdir()
        self._dataset = self._new_dataset_name()
        self._simulator = self._stack.enter_context(SimulatorProcess(APP_IDS, rate_limit=0))
        self._environment = self._job_environment()
        self._forks = ForkServer(self._folders.job, self._environment)
        self._stack.callback(self._forks.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self.report.violations or error:
            self.report.violations.append(f"the job's folder is kept: {self._root}")
        else:
            shutil.rmtree(self._root)

    def crash_often(self, progress: Callable[[str], None]) -> None:
        """All of it: the kills, the undisturbed end, the comparison."""
        options, report = self._options, self.report
        if not options.new_dataset:
            self._run_job("none", never)
        while report.kills < options.kills and not report.violations:
            self._crash_once()
            if options.new_dataset and self._random.random() < 0.6:
                self._finish()
                self._begin_anew()
            if not report.runs % 50:
                progress(f"{report.kills} kills, {report.runs} runs")
        if not report.violations:
            self._finish()

    # The rounds.

    def _crash_once(self) -> None:
        options, draw = self._options, self._random
        latency = options.latency if options.latency is not None else draw.choice(LATENCIES)
        self._simulator.configure(latency=latency)
        self._enqueue(options.replies)
        by_exec = draw.random() < options.exec_share
        aims = PACKAGE_AIMS if options.new_dataset else AIMS
        chance = draw.random()
        if chance < UNDISTURBED_SHARE:
            run = self._run_job("none", never, by_exec=by_exec)
        elif chance < UNDISTURBED_SHARE + ANY_TIME_SHARE and not options.new_dataset:
            moment = draw.uniform(0, 1.1 * statistics.median(self._seconds[by_exec]))
            due = time.monotonic() + moment
            run = self._run_job(f"{moment:.3f} s", lambda phases: time.monotonic() >= due, by_exec=by_exec)
        else:
            run = self._run_job(*self._aim(draw.choice(aims)), by_exec=by_exec)
        if run.killed:
            if options.drop_pending and self._folders.pending():
                self._drop_pending()
            if options.wipe_working_directory:
                shutil.rmtree(self._folders.dlt, ignore_errors=True)

    def _aim(self, name: str) -> tuple[str, Callable[[Phases], bool]]:
        """A condition that is met when a run comes to a point, and a little later."""
        draw, folders = self._random, self._folders
        count = draw.randint(
            1, {"pull": 25, "answer": 20, "started": 4, "completed": 6, "database": 8}.get(name, 1)
        )
        delay = draw.choice([0.0, draw.uniform(0, 0.005), draw.uniform(0, 0.1)])
        pulls = self._simulator.stats().pulls
        states: set[tuple[str, int]] = folders.database_states()
        known = len(states)
        due: list[float] = []

        def came_to(phases: Phases) -> bool:
            if name == "pull":
                time.sleep(0.002)  # asking costs the simulator time
                return self._simulator.stats().pulls >= pulls + count
            if name == "answer":
                return len(folders.answers(phases.new(folders.drains))) >= count
            if name == "database":
                states.update(folders.database_states())
                return len(states) >= known + count
            if name == "told":
                return phases.has_told()
            return len(phases.new(getattr(folders, name))) >= count

        def is_due(phases: Phases) -> bool:
            if not due and came_to(phases):
                due.append(time.monotonic() + delay)
            return bool(due) and time.monotonic() >= due[0]

        return f"{name} {count} + {delay * 1000:.0f} ms", is_due

    def _run_job(self, aim: str, is_due: Callable[[Phases], bool], *, by_exec: bool = False) -> Run:
        """Runs the job, kills it once `is_due` says so, and notes what became of it."""
        number = next(self._numbers)
        output = self._root / f"output-{number}.txt"
        phases = Phases(self._folders, output)
        run = Run(number, aim, started_at=time.time())
        begun = time.monotonic()
        arguments = ["--destination", self._options.destination, "--dataset", self._dataset]
        if by_exec:
            command = [sys.executable, str(MAIN_SCRIPT), *arguments]
            job = execute(command, self._folders.job, self._environment, output)
        else:
            job = self._forks.start(arguments, output)
        next_arrival = begun + self._random.uniform(0, 0.5)
        while (status := job.poll()) is None:
            if is_due(phases):
                kill(job)
            elif time.monotonic() - begun > HANG_SECONDS:
                self.report.violations.append(f"run {number} hangs ({phases.reached()})")
                kill(job)
            elif aim != "last" and time.monotonic() >= next_arrival:
                self._enqueue(10)
                next_arrival += self._random.uniform(0, 0.5)
            time.sleep(0.0005)
        run.ended_at, run.status = time.time(), status
        if not run.killed:
            self._seconds[by_exec].append(time.monotonic() - begun)
        self._note(run, phases, output)
        return run

    def _note(self, run: Run, phases: Phases, output: Path) -> None:
        self._wait_for_simulator()
        if run.killed and self._folders.journal.in_store:
            self._wait_for_store(phases)
        run.phase = phases.reached()
        run.leftovers = read_leftovers(self._folders.journal, phases.new(self._folders.drains))
        self._runs.append(run)
        self.report.runs += 1
        text = output.read_text(errors="replace")
        if run.killed:
            self.report.kills += 1
            self.report.phases[run.phase] += 1
        elif run.status != 0 or "Traceback" in text:
            self.report.violations.append(
                f"run {run.number}, which was not killed, ended with {run.status}:\n{text}\n"
                f"the runs before it: {self._history()}"
            )
        if not run.killed and run.leftovers.intents:
            self.report.violations.append(
                f"run {run.number} ended with {run.status} and left {run.leftovers}"
            )
        output.unlink()

    def _history(self) -> str:
        return "; ".join(map(str, self._runs[-6:]))

    def _wait_for_simulator(self) -> None:
        """Waits until a request that was on its way at the kill is in the log, before the next run begins."""
        before = -1
        while (pulls := self._simulator.stats().pulls) != before:
            before = pulls
            time.sleep(0.004)

    def _wait_for_store(self, phases: Phases) -> None:
        """Waits until an object that was on its way at the kill is there; removes what only time would.

        The next run would wait for a quarter of a minute to see that the lease's holder is dead.
        """
        journal, before = self._folders.journal, None
        while (
            files := {d: journal.names(f"drains/{d}") for d in phases.new(self._folders.drains)}
        ) != before:
            before = files
            time.sleep(0.05)
        journal.remove("lease")

    def _enqueue(self, most: int) -> None:
        for app_id in APP_IDS:
            replies = self._replies.make(self._random.randint(0, most))
            self.report.counts["enqueued"] += self._simulator.enqueue(app_id, replies)

    # The variants.

    def _drop_pending(self) -> None:
        """Drops the pending packages, with dlt's command or its function."""
        output = self._root / "drop.txt"
        files = self._folders.package_files()
        if self._random.random() < self._options.exec_share:
            dlt = Path(sys.executable).with_name("dlt")
            command = [str(dlt), "-y", "pipeline", "sms_replies", "drop-pending-packages"]
            job = execute(command, self._folders.job, self._environment, output)
        else:
            job = self._forks.start(["sms_replies"], output, what=ABORT_PACKAGES)
            if self._options.kill_drops:
                # Some time; when the first file is gone; when all are gone, and dlt's state is still there.
                due = time.monotonic() + self._random.uniform(0, 0.2)
                is_due: Callable[[], bool] = self._random.choice(
                    [
                        lambda: time.monotonic() >= due,
                        lambda: len(self._folders.package_files()) < len(files),
                        lambda: not self._folders.pending(),
                    ]
                )
                while job.poll() is None and not is_due():
                    pass
                kill(job)
        while (status := job.poll()) is None:
            time.sleep(0.002)
        self.report.counts["packages dropped"] += 1
        if status == -signal.SIGKILL:
            self.report.counts["drops killed"] += 1
        elif status != 0:
            self.report.violations.append(
                f"dropping ended with {status}:\n{output.read_text()}\n{self._history()}"
            )
        elif self._folders.pending():
            self.report.violations.append(f"packages are still there after dropping:\n{output.read_text()}")
        output.unlink()

    def _begin_anew(self) -> None:
        """As if the job had never run here. The queues are empty."""
        if not self.report.violations:
            for path in self._folders.job.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._folders.journal.remove("")
            self._dataset = self._new_dataset_name()
            self._first_pull = self._simulator.stats().pulls
            self._runs.clear()

    # The end.

    def _finish(self) -> None:
        """Runs the job undisturbed until the queues are empty; compares."""
        self._simulator.configure(latency=0.0)
        for _ in range(3):
            self._run_job("last", never)
            if self.report.violations:
                return
            if not any(self._simulator.stats().queued.values()):
                break
        else:
            self.report.violations.append(f"the queues are not empty: {self._simulator.stats().queued}")
        pulls = self._simulator.log(self._first_pull)
        truth = Truth(pulls, self._runs, self._replies.malformed, self._options.workers)
        tables = self._read_tables()
        truth.compare(tables)
        oldest = max(truth.counts.pop("oldest lost, ms", 0), self.report.counts["oldest lost, ms"])
        self.report.counts += truth.counts
        self.report.counts["oldest lost, ms"] = oldest
        self.report.counts["rejected"] += len(tables.rejected_replies)
        self.report.violations += truth.violations

    def _read_tables(self) -> Tables:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        import dlt

        destination: Any = self._options.destination
        if destination == "duckdb":
            destination = dlt.destinations.duckdb(str(self._folders.database))
        pipeline = dlt.pipeline(
            f"crash_{uuid.uuid4().hex}",
            pipelines_dir=str(self._root / "reader"),
            destination=destination,
            dataset_name=self._dataset,
        )
        tables = []
        with pipeline.sql_client() as client:
            for name in Tables._fields:
                table = client.make_qualified_table_name(name)
                with client.execute_query(f"select * from {table}") as cursor:
                    columns = [column[0] for column in cursor.description]
                    tables.append([dict(zip(columns, row, strict=True)) for row in cursor.fetchall()])
        return Tables(*tables)

    # The surroundings.

    def _new_dataset_name(self) -> str:
        return "sms" if self._options.destination == "duckdb" else f"sms_{uuid.uuid4().hex[:12]}"

    def _job_environment(self) -> dict[str, str]:
        options, simulator = self._options, self._simulator
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "LC_ALL") or name.startswith(("DESTINATION__", JournalFiles.prefix))
        }
        section = {
            "CREDENTIALS__SECRET_ID": simulator.secret_id,
            "CREDENTIALS__SECRET_KEY": simulator.secret_key,
            "SMS_SDK_APP_IDS": '["' + '", "'.join(APP_IDS) + '"]',
            "API_ENDPOINT": simulator.url,
            "JOURNAL_URL": self._folders.journal.url,
            "JOURNAL_RETENTION_DAYS": str(options.retention_days),
            "PULL_WORKERS": str(options.workers),
            "PULL_LIMIT": str(PULL_LIMIT),
            # The rate is not what is tested here, and a killed run's last second counts against the next.
            "PULLS_PER_SECOND": "1000",
        }
        return {
            **kept,
            **{f"SOURCES__SMS_SOURCE__{name}": value for name, value in section.items()},
            "HOME": str(self._root),
            "DLT_DATA_DIR": str(self._folders.dlt),
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            PACKAGE_REPLIES: str(options.package_replies or ""),
            # A process is forked safely only while it has one thread.
            "OPENBLAS_NUM_THREADS": "1",
        }


def main(arguments: list[str] | None = None) -> int:
    """Runs the harness from a shell; the exit status is 1 if the promise was broken."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.harness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=defaults.kills, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N")
    parser.add_argument("--workers", type=int, default=defaults.workers, metavar="N")
    parser.add_argument("--exec", type=float, default=defaults.exec_share, metavar="SHARE", dest="exec_share")
    parser.add_argument("--wipe-working-directory", action="store_true")
    parser.add_argument("--drop-pending", action="store_true")
    parser.add_argument("--kill-drops", action="store_true")
    parser.add_argument("--new-dataset", action="store_true")
    parser.add_argument("--retention-days", type=float, default=defaults.retention_days, metavar="DAYS")
    parser.add_argument("--destination", default=defaults.destination, metavar="NAME")
    parser.add_argument("--journal-url", default=defaults.journal_url, metavar="URL")
    parser.add_argument("--latency", type=float, metavar="SECONDS")
    parser.add_argument("--replies", type=int, default=defaults.replies, metavar="N")
    parser.add_argument("--package-replies", type=int, metavar="N")
    options = Options(**vars(parser.parse_args(arguments)))
    print(f"python -m tests.crash.harness {_as_arguments(options)}", flush=True)
    report = run(options, progress=lambda line: print(line, file=sys.stderr, flush=True))
    print(report)
    return 1 if report.violations else 0


def _as_arguments(options: Options) -> str:
    """The command line that gives these options."""
    words = []
    for name, value in vars(options).items():
        option = "--" + {"exec_share": "exec"}.get(name, name).replace("_", "-")
        if value is True:
            words.append(option)
        elif value is not False and value is not None:
            words.append(f"{option} {value}")
    return " ".join(words)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
