"""Kills the main job at every moment of its life, a thousand times, and looks whether anything was lost.

    python -m tests.crash.harness --kills 1000

Replies arrive at a simulator, which is a process of its own, before and during each run of the job. Each
run is ended by SIGKILL, at a moment drawn from the whole length of a run or aimed at a phase, which is seen
from outside (in the journal, dlt's working directory, the database, the simulator). At the end the job runs
undisturbed until the queues are empty, and the simulator's own log is held against the warehouse and
against what every kill left in the journal (see `tests.crash.truth`).

Most runs are forked from a process that has imported everything (see `tests.crash.fork_server`): real
processes and real kills, but without the 1.5 seconds that an interpreter takes to begin, and therefore with
more kills where something can be lost. A share of the runs (`--exec-share`) is started the plain way.

A seed repeats the draws: the replies and the aims, but not what two processes do in a millisecond.
"""

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
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from sms_source.simulator import SimulatorProcess
from tests.crash.actor import AIMS, PACKAGE_AIMS, REPLAY_AIMS, Actor, Plan, Running
from tests.crash.damage import TEARS, Warehouse, tear
from tests.crash.journal_files import read_archive, read_leftovers
from tests.crash.options import Options, Report
from tests.crash.private import files_in_clear
from tests.crash.replies import ReplyMaker
from tests.crash.simulator_connections import wait_for_requests
from tests.crash.truth import RECEIPTS, REPLIES, Row, Run, Tables, Truth

__all__ = ["Harness", "Options", "Report", "run"]

APP_IDS = ("1400006666", "1400007777")
HANG_SECONDS = 600
"""After which a run is taken to hang, on however busy a machine."""
UNDISTURBED_SHARE = 0.05
ANY_TIME_SHARE = 0.5
"""Of the kills, those at a moment drawn from the whole length of a run; the others are aimed."""
LATENCIES = (0.0, 0.005, 0.02, 0.1)
MAX_ARRIVALS = 8
"""Of replies, during a run: on a busy machine, replies without an end would be a run without one."""
MAX_RETRIES = 20
"""Of jobs that meet each other at the end."""
_TIMES = {"reply_time", "user_receive_time", "pulled_at", "requested_at", "answered_at"}


def run(options: Options, progress: Callable[[str], None] = lambda line: None) -> Report:
    """Run the harness; `progress` is told how far it is."""
    begun = time.monotonic()
    with Harness(options) as harness:
        harness.crash_often(progress)
        harness.report.seconds = time.monotonic() - begun
        return harness.report


def _with_moments(row: Row) -> Row:
    """Return the row with its times as such: to SQLite they are texts, to MariaDB they have no time zone."""
    for name in _TIMES & row.keys():
        value = row[name]
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is not None and value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        row[name] = value
    return row


class Harness:
    """The simulator, the jobs, and what is done to them."""

    def __init__(self, options: Options) -> None:
        self.report = Report(options)
        self._options = options
        self._random = random.Random(options.seed)
        self._replies = ReplyMaker(self._random)
        self._feeds = [REPLIES, RECEIPTS] if options.receipts else [REPLIES]
        self._runs: list[Run] = []
        self._first_pull = 0
        self._numbers = itertools.count(1)
        # By the way in which a job was started: as undisturbed ones took.
        self._seconds = {True: deque([2.5], maxlen=9), False: deque([1.0], maxlen=9)}

    def __enter__(self) -> "Harness":
        self._stack = ExitStack()
        self._root = Path(tempfile.mkdtemp(prefix="crash-"))
        self._data = self._root / "data"
        self._dataset = self._new_dataset_name()
        self._simulator = self._stack.enter_context(SimulatorProcess(APP_IDS, rate_limit=0))
        self._actors = []
        for number in range(self._options.jobs):
            name = "sms_replies" if self._options.same_name or not number else f"sms_replies_{number}"
            app_ids = APP_IDS if self._options.jobs == 1 else APP_IDS[number : number + 1]
            folder = self._root / f"job-{number}"
            actor = Actor(folder, self._data, name, app_ids, self._options, self._simulator)
            self._stack.callback(actor.close)
            self._actors.append(actor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self.report.violations or error:
            self.report.violations.append(f"the jobs' folder is kept: {self._root}")
        else:
            shutil.rmtree(self._root)

    def crash_often(self, progress: Callable[[str], None]) -> None:
        """Do all of it: the kills, the undisturbed end, the comparison."""
        options, report = self._options, self.report
        if not options.new_dataset:
            self._finish_pulling()
        while report.kills < options.kills and not report.violations:
            self._crash_once()
            if options.new_dataset and self._random.random() < 0.6:
                self._finish()
                self._begin_anew()
            if not report.runs % 20:
                progress(f"{report.kills} kills, {report.runs} runs")
        if not report.violations:
            self._finish()

    # The rounds.

    def _crash_once(self) -> None:
        options, draw = self._options, self._random
        latency = options.latency if options.latency is not None else draw.choice(LATENCIES)
        self._simulator.configure(latency=latency)
        self._enqueue(options.replies)
        self._run_jobs([self._plan(actor) for actor in self._actors])
        if options.wipe_data:
            shutil.rmtree(self._data, ignore_errors=True)
        if options.tear_data:
            kind = draw.choice(TEARS)
            for directory in self._actors[0].folders.working():
                tear(directory, kind, draw)
        if options.heal:
            self._send_back_in_time()

    def _plan(self, actor: Actor) -> Plan:
        options, draw = self._options, self._random
        by_exec = draw.random() < options.exec_share
        replays = draw.random() < options.replays
        arguments = ["--replay"] if replays else []
        chance = draw.random()
        if chance < UNDISTURBED_SHARE:
            return Plan(by_exec=by_exec, arguments=arguments)
        if chance < UNDISTURBED_SHARE + ANY_TIME_SHARE and not options.new_dataset:
            moment = draw.uniform(0, 1.1 * statistics.median(self._seconds[by_exec]))
            due = time.monotonic() + moment
            return Plan(f"{moment:.3f} s", lambda phases: time.monotonic() >= due, by_exec, arguments)
        aims = PACKAGE_AIMS if options.new_dataset else REPLAY_AIMS if replays else AIMS
        return Plan(*actor.aim_at(draw.choice(aims), draw), by_exec, arguments)

    def _run_jobs(self, plans: Sequence[Plan], *, replies_arrive: bool = True) -> None:
        """Run the jobs, each until its end or its kill, and note what became of them."""
        first_pull = self._pulls()
        running: list[Running] = []
        try:
            for actor, plan in zip(self._actors, plans, strict=True):
                run = Run(next(self._numbers), actor.app_ids, plan.aim, first_pull)
                output = self._root / f"output-{run.number}.txt"
                running.append(actor.begin(run, plan, self._dataset, output))
            self._watch(running, MAX_ARRIVALS if replies_arrive else 0)
        finally:
            for each in running:
                each.kill()
        wait_for_requests(self._simulator)
        for each in running:
            self._note(each)

    def _watch(self, running: list[Running], arrivals: int) -> None:
        """Have replies arrive until each run has ended or was killed."""
        next_arrival = time.monotonic() + self._random.uniform(0, 0.5)
        while going_on := [each for each in running if not each.is_over()]:
            if time.monotonic() - going_on[0].begun > HANG_SECONDS:
                self.report.violations.append(f"{going_on[0].run} hangs ({going_on[0].phases.reached()})")
                return
            if arrivals and time.monotonic() >= next_arrival:
                self._enqueue(10)
                arrivals -= 1
                next_arrival += self._random.uniform(0, 0.5)
            time.sleep(0.0005)

    def _note(self, ended: Running) -> None:
        run, folders = ended.run, ended.actor.folders
        if run.killed and folders.journal.in_store:
            self._wait_for_store(ended)
        run.end_pull = self._pulls()
        run.phase = ended.phases.reached()
        run.leftovers = read_leftovers(folders.journal, ended.phases.new(folders.drains))
        self._runs.append(run)
        self.report.runs += 1
        if self._options.private and (in_clear := files_in_clear(folders.job.parent)):
            self.report.violations.append(f"{run} left in clear: {', '.join(in_clear)}")
        text = ended.output.read_text(errors="replace")
        if run.killed:
            self.report.kills += 1
            self.report.phases[run.phase] += 1
        elif len(self._actors) > 1 and run.status == 1 and "Traceback" not in text:
            self.report.counts["refused"] += 1  # the destination's own refusal: the next run loads it
        elif run.status != 0 or "Traceback" in text:
            self.report.violations.append(
                f"{run}, which was not killed:\n{text}\n"
                f"the runs before it: {'; '.join(map(str, self._runs[-6:]))}"
            )
        else:
            self._seconds[ended.plan.by_exec].append(ended.seconds)
        if not run.killed and run.leftovers.intents:
            self.report.violations.append(f"{run} left {run.leftovers}")
        ended.output.unlink()

    def _wait_for_store(self, ended: Running) -> None:
        """Wait until an object that was on its way at the kill is there; remove what only time would.

        The next run would wait for a quarter of a minute to see that the lease's holder is dead.
        """
        folders, before = ended.actor.folders, None
        while (
            files := {d: folders.journal.names(f"drains/{d}") for d in ended.phases.new(folders.drains)}
        ) != before:
            before = files
            time.sleep(0.05)
        folders.journal.remove("lease")

    def _pulls(self) -> int:
        """Return how many pulls the simulator has met since all began anew."""
        return self._simulator.stats().pulls - self._first_pull

    def _enqueue(self, maximum: int) -> None:
        for app_id in [app_id for actor in self._actors for app_id in actor.app_ids]:
            for feed in self._feeds:
                make = self._replies.make if feed is REPLIES else self._replies.make_receipts
                records = make(self._random.randint(0, maximum))
                self.report.counts["enqueued"] += self._simulator.enqueue(app_id, records, feed=feed.name)

    # The variants.

    def _send_back_in_time(self) -> None:
        """Do to the warehouse what a person may, between two runs."""
        options = self._options
        acts: list[tuple[str, Callable[[], None], float]] = []
        folder = options.warehouse or (options.destination == "duckdb" and self._actors[0].folders.job)
        if folder:
            pattern = "*" if options.warehouse else f"{self._actors[0].folders.database.name}*"
            warehouse = Warehouse(Path(folder), pattern, self._root / "copy")
            acts += [
                ("kept", warehouse.keep_copy, 0.2),
                ("put back", warehouse.put_back, 0.2),
                ("deleted", warehouse.delete, 0.1),
            ]
        if options.destination != "filesystem":
            acts.append(("dropped", self._drop_dataset, 0.1 if folder else 0.3))
        chance = self._random.random()
        for what, act, share in acts:
            if 0 <= chance < share:
                act()
                self.report.counts[what] += 1
            chance -= share

    def _drop_dataset(self) -> None:
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        with suppress(DatabaseUndefinedRelation), self._pipeline("dropper").sql_client() as client:
            client.drop_dataset()

    def _begin_anew(self) -> None:
        """Be as if the job had never run here. The queues are empty."""
        if not self.report.violations:
            for actor in self._actors:
                for path in actor.folders.job.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                actor.folders.journal.remove("")
            shutil.rmtree(self._data, ignore_errors=True)
            self._dataset = self._new_dataset_name()
            self._first_pull = self._simulator.stats().pulls
            self._runs.clear()

    # The end.

    def _finish_pulling(self) -> None:
        """Run the jobs undisturbed until the queues are empty."""
        for _ in range(MAX_RETRIES):
            refused = self.report.counts["refused"]
            self._run_jobs([Plan("last") for _ in self._actors], replies_arrive=False)
            if self.report.violations:
                return
            is_refused = self.report.counts["refused"] > refused
            if not is_refused and not any(self._simulator.stats().queued.values()):
                return
        self.report.violations.append(f"the queues are not empty: {self._simulator.stats().queued}")

    def _finish(self) -> None:
        """Let the jobs end their work; compare."""
        self._simulator.configure(latency=0.0)
        self._finish_pulling()
        if self.report.violations:
            return
        pulls = self._simulator.log(self._first_pull)
        archive = [file for actor in self._actors for file in read_archive(actor.folders.journal)]
        for feed in self._feeds:
            truth = Truth(
                pulls,
                self._runs,
                self._replies.malformed,
                self._options.workers,
                feed,
                is_private=self._options.private,
            )
            tables = self._read_tables(feed.name)
            truth.compare(tables, archive if self._options.retention_days else None)
            self.report.counts += truth.counts
            self.report.counts["rejected"] += len(tables.rejected_records)
            self.report.violations += truth.violations

    def _read_tables(self, feed: str) -> Tables:
        pipeline = self._pipeline("reader")
        tables = []
        with pipeline.sql_client() as client:
            for name in (feed, "pulls", "rejected_records"):
                table = client.make_qualified_table_name(name)
                where = "" if name == feed else f" where feed = '{feed}'"
                with client.execute_query(f"select * from {table}{where}") as cursor:
                    columns = list(cursor.columns_schema)
                    rows = (dict(zip(columns, row, strict=True)) for row in cursor.fetchall())
                    tables.append([_with_moments(row) for row in rows])
        return Tables(*tables)

    def _pipeline(self, name: str) -> Any:
        """Return a pipeline of dlt's into the dataset, with a working directory of its own."""
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        import dlt

        destination: Any = self._options.destination
        if destination == "duckdb":
            destination = dlt.destinations.duckdb(str(self._actors[0].folders.database))
        return dlt.pipeline(
            f"crash_{uuid.uuid4().hex}",
            pipelines_dir=str(self._root / name),
            destination=destination,
            dataset_name=self._dataset,
        )

    def _new_dataset_name(self) -> str:
        return "sms" if self._options.destination == "duckdb" else f"sms_{uuid.uuid4().hex[:12]}"


def main(arguments: list[str] | None = None) -> int:
    """Run the harness from a shell; the exit status is 1 if the promise was broken."""
    options = Options.parse(arguments, __doc__ or "")
    print(f"python -m tests.crash.harness {options}", flush=True)
    report = run(options, progress=lambda line: print(line, file=sys.stderr, flush=True))
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
