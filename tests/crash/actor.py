"""One job of the harness: its queues, journal and folder, and how a run of it is started and watched."""

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sms_source.simulator import SimulatorProcess
from tests.crash import private
from tests.crash.folders import Folders, Phases
from tests.crash.job import (
    MAIN_SCRIPT,
    MERGED_AT,
    PACKAGE_RECORDS,
    ROOT,
    ForkServer,
    Job,
    JournalFiles,
    execute,
    kill,
)
from tests.crash.options import Options
from tests.crash.truth import Run
from tests.helpers.jobs import options_for

PULL_LIMIT = 20
"""Replies a pull: small, so that a run of the job makes many."""

PACKAGE_AIMS = ("emptied", "extracting", "extracted", "normalizing", "normalized", "started", "database")
AIMS = ("pull", "drains", "answer", *PACKAGE_AIMS, "completed", "loaded", "archived", "told")
REPLAY_AIMS = ("given_again", *PACKAGE_AIMS, "completed", "loaded", "archived", "told")
_LARGEST_COUNT = {"pull": 25, "answer": 20, "started": 4, "completed": 6, "database": 8, "given_again": 3}

KEPT = ("DESTINATION__", "ICEBERG_CATALOG__", JournalFiles.prefix)
"""Beginnings of the names of the environment's variables that the job gets."""

Moment = Callable[[Phases], bool]


def never(_phases: Phases) -> bool:
    """Be the moment of a kill that does not come."""
    return False


@dataclass
class Plan:
    """What a run is to do, and when it is killed."""

    aim: str = "none"
    is_due: Moment = never
    by_exec: bool = False
    arguments: list[str] = field(default_factory=list)


class Actor:
    """One job, run after run.

    Args:
        folder: of the job.
        data: dlt's data directory, which several jobs of one user share.
        pipeline: its name.
        app_ids: of the queues that it empties.
        options: of the harness.
        simulator: which has the queues.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        pipeline: str,
        app_ids: tuple[str, ...],
        options: Options,
        simulator: SimulatorProcess,
    ) -> None:
        folder.mkdir()
        url = options.journal_url or str(folder / "sms_journal")
        self.folders = Folders(folder, data, url, pipeline)
        self.pipeline = pipeline
        self.app_ids = app_ids
        self._options = options
        self._simulator = simulator
        self._environment = self._job_environment()
        self._forks = ForkServer(folder, self._environment)

    def close(self) -> None:
        """End what starts the runs."""
        self._forks.close()

    def begin(self, run: Run, plan: Plan, dataset: str, output: Path) -> "Running":
        """Start a run of the job."""
        phases = Phases(self.folders, output)
        arguments = ["--destination", self._options.destination, "--pipeline", self.pipeline]
        arguments += ["--dataset", dataset, *plan.arguments]
        job: Job
        if plan.by_exec:
            command = [sys.executable, str(MAIN_SCRIPT), *arguments]
            job = execute(command, self.folders.job, self._environment, output)
        else:
            job = self._forks.start(arguments, output)
        return Running(self, run, plan, phases, output, job)

    def aim_at(self, name: str, draw: random.Random) -> tuple[str, Moment]:
        """Return a condition that is met when a run comes to a point, and a little later."""
        folders = self.folders
        count = draw.randint(1, _LARGEST_COUNT.get(name, 1))
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

    def _job_environment(self) -> dict[str, str]:
        options, simulator = self._options, self._simulator
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "LC_ALL") or name.startswith(KEPT)
        }
        section = options_for(
            simulator,
            *self.app_ids,
            journal_url=self.folders.journal.url,
            journal_retention_days=str(options.retention_days),
            pull_workers=str(options.workers),
            pull_limit=str(PULL_LIMIT),
            pull_feeds='["replies", "receipts"]' if options.receipts else '["replies"]',
            # The rate is not what is tested here, and a killed run's last second counts against the next.
            pulls_per_second="1000",
            **(private.OPTIONS if options.private else {}),
        )
        return {
            **kept,
            **section,
            "HOME": str(self.folders.job.parent),
            "DLT_DATA_DIR": str(self.folders.data),
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            PACKAGE_RECORDS: str(options.package_records or ""),
            MERGED_AT: str(options.merged_at or ""),
            # A process is forked safely only while it has one thread.
            "OPENBLAS_NUM_THREADS": "1",
        }


@dataclass
class Running:
    """A run that goes on."""

    actor: Actor
    run: Run
    plan: Plan
    phases: Phases
    output: Path
    job: Job
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def is_over(self) -> bool:
        """Look whether the run has ended; kill it if its moment has come."""
        status = self.job.poll()
        if status is None and self.plan.is_due(self.phases):
            kill(self.job)
            status = self.job.poll()
        if status is None:
            return False
        if not self.seconds:
            self.run.status, self.seconds = status, time.monotonic() - self.begun
        return True

    def kill(self) -> None:
        """End it, whatever its moment."""
        if not self.is_over():
            kill(self.job)
            self.is_over()
