"""What a job leaves on the disk, seen from outside with none of the product's code."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.crash.job import JournalFiles


class Folders:
    """What a job leaves; each method without arguments gives a set that grows as the job goes on.

    Args:
        job: the job's current directory, which has its DuckDB file.
        data: dlt's data directory.
        journal_url: of the job's journal.
        pipeline: the pipeline's name.
    """

    def __init__(self, job: Path, data: Path, journal_url: str, pipeline: str) -> None:
        self.job = job
        self.data = data
        self.journal = JournalFiles(journal_url)
        self.database = job / f"{pipeline}.duckdb"
        self._pipeline = pipeline

    def working(self) -> list[Path]:
        """Return dlt's working directories of the pipeline: its own, and those beside it."""
        own = self.data / "pipelines" / self._pipeline
        return [own, *self.data.glob(f"sms_source/*/pipelines/{self._pipeline}")]

    def drains(self) -> set[str]:
        """Return the drains that are in the journal as not loaded."""
        return {name for name in self.journal.names("drains") if not name.endswith(".zip")}

    def given_again(self) -> set[str]:
        """Return the bundles that count as not loaded any more."""
        return {name for name in self.journal.names("drains") if name.endswith(".zip")}

    def archived(self) -> set[str]:
        """Return the bundles that are loaded."""
        return {name for name in self.journal.names("archive") if name.endswith(".zip")}

    def answers(self, drains: set[str]) -> set[str]:
        """Return the answers of these drains."""
        return {
            f"{drain}/{name}"
            for drain in drains
            for name in self.journal.names(f"drains/{drain}")
            if name.endswith(".answer")
        }

    def emptied(self) -> set[str]:
        """Return the working directories that have just been renamed, to be deleted."""
        return {name for name in _names(self.data / "pipelines") if name.startswith(".emptied-")}

    def extracting(self) -> set[str]:
        """Return the extractions that have begun."""
        return self._packages("normalize") - {"extracted", ".version"}

    def extracted(self) -> set[str]:
        """Return the load packages that wait to be normalized."""
        return self._packages("normalize/extracted")

    def normalizing(self) -> set[str]:
        """Return the load packages that are being normalized."""
        return self._packages("load/new")

    def normalized(self) -> set[str]:
        """Return the load packages that wait to be loaded, or are being loaded."""
        return self._packages("load/normalized")

    def started(self) -> set[str]:
        """Return the load jobs that have begun."""
        return self._load_jobs("started_jobs") | self.completed()

    def completed(self) -> set[str]:
        """Return the load jobs that have ended."""
        return self._load_jobs("completed_jobs")

    def loaded(self) -> set[str]:
        """Return the load packages that are loaded."""
        return self._packages("load/loaded")

    def database_files(self) -> list[Path]:
        """Return the database's file and its log."""
        return [self.database, self.database.with_name(f"{self.database.name}.wal")]

    def database_states(self) -> set[tuple[str, int]]:
        """Return the database's files with their sizes: another set whenever one grows."""
        states = set()
        for path in self.database_files():
            with suppress(FileNotFoundError):
                states.add((path.name, path.stat().st_size))
        return states

    def _packages(self, place: str) -> set[str]:
        return {name for working in self.working() for name in _names(working / place)}

    def _load_jobs(self, state: str) -> set[str]:
        return {
            f"{package}/{name}"
            for working in self.working()
            for package in _names(working / "load" / "normalized")
            for name in _names(working / "load" / "normalized" / package / state)
        }


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


class Phases:
    """How far a run has come, by what has changed in the folders since it began.

    Args:
        folders: of the job.
        output: what the run prints.
    """

    def __init__(self, folders: Folders, output: Path) -> None:
        self._output = output
        # In the order in which a run comes to them, but for pulling, which goes on beside them.
        self._marks: dict[str, Callable[[], set[str]]] = {
            "pull": folders.drains,
            "empty": folders.emptied,
            "give again": folders.given_again,
            "extract": folders.extracting,
            "extracted": folders.extracted,
            "normalize": folders.normalizing,
            "normalized": folders.normalized,
            "load": folders.started,
            "loaded": folders.loaded,
            "archived": folders.archived,
        }
        self._before = {method: method() for method in (*self._marks.values(), folders.completed)}

    def new(self, method: Callable[[], set[str]]) -> set[str]:
        """Return what a method of the folders gives now and did not when the run began."""
        return method() - self._before[method]

    def reached(self) -> str:
        """Return the last phase of which there is a trace."""
        if self.has_told():
            return "told"
        return next((name for name, method in reversed(self._marks.items()) if self.new(method)), "start")

    def has_told(self) -> bool:
        """Return whether the run has printed what it did."""
        output = self._output.read_bytes() if self._output.exists() else b""
        return b"Loaded " in output or b"No new replies" in output
