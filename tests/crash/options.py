"""What the crash harness is to do, and what it did."""

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass
class Options:
    """What to do to the job.

    kills: how many.
    seed: of all draws.
    workers: the job's `pull_workers`.
    exec_share: of the runs, those started the plain way.
    wipe_data: delete dlt's data directory after every kill, as an ephemeral runner does.
    tear_data: damage dlt's working directory after every kill, as a power cut does.
    new_dataset: a kill or two before the dataset exists, a check, and everything anew, over and over.
    heal: put an older copy of the warehouse back between runs, or delete it, or drop its dataset.
    warehouse: the folder in which all of it is, and nothing else; None for the job's DuckDB file, and for a
        server, of which there is no copy.
    replays: the share of runs that load the archive again.
    jobs: two of them load into one dataset at once, each with queues and a journal of its own.
    same_name: whether these have one pipeline name.
    retention_days: the job's `journal_retention_days`.
    destination: of dlt; one other than DuckDB takes its credentials from the environment.
    receipts: whether receipts arrive and are drained, too.
    journal_url: of a journal in an object store, which takes its credentials from the environment.
    latency: of the simulator's answers, in seconds; None draws one for each run.
    replies: the most that arrive for an application before a run.
    package_records: after which a job that was not started the plain way closes a load package, and pulls
        for the next one while dlt loads; None for the job's own number.
    merged_at: bundles that such a job merges into one; None for the job's own number.
    private: whether the journal is encrypted and numbers are pseudonyms; then every file is looked through
        after each run.
    """

    kills: int = 100
    seed: int = 1
    workers: int = 16
    exec_share: float = 0.1
    wipe_data: bool = False
    tear_data: bool = False
    new_dataset: bool = False
    heal: bool = False
    warehouse: str | None = None
    receipts: bool = False
    replays: float = 0.0
    jobs: int = 1
    same_name: bool = False
    retention_days: float = 7.0
    destination: str = "duckdb"
    journal_url: str | None = None
    latency: float | None = None
    replies: int = 300
    package_records: int | None = None
    merged_at: int | None = None
    private: bool = False

    @classmethod
    def parse(cls, arguments: list[str] | None, description: str) -> "Options":
        """Return what a command line asks for; each field is an option."""
        parser = argparse.ArgumentParser(
            prog="python -m tests.crash.harness",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        kinds = {"float | None": float, "int | None": int, "str | None": str}
        for option in fields(cls):
            default = random.randrange(10**6) if option.name == "seed" else option.default
            name = f"--{option.name.replace('_', '-')}"
            if isinstance(default, bool):
                parser.add_argument(name, action="store_true")
            else:
                kind = kinds.get(str(option.type), type(default))
                parser.add_argument(name, type=kind, default=default, metavar="VALUE")
        return cls(**vars(parser.parse_args(arguments)))

    def __str__(self) -> str:
        words = []
        for name, value in vars(self).items():
            option = f"--{name.replace('_', '-')}"
            if value is True:
                words.append(option)
            elif value is not False and value is not None:
                words.append(f"{option} {value}")
        return " ".join(words)


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
            "records": f"{counts['enqueued']:,} enqueued, {counts['handed out']:,} handed out, "
            f"{counts['loaded']:,} loaded ({counts['rejected']:,} of them rejected)",
            "lost in flight": f"{counts['lost in flight']:,} records of "
            f"{counts['answers lost in flight']:,} answers",
            "in doubt": f"{counts['in doubt']:,} pulls, {counts['at risk']:,} records at risk; "
            f"{counts['in doubt, nothing lost']:,} of the pulls had lost nothing",
            "warehouse": f"{counts['put back']:,} times put back, {counts['deleted']:,} deleted, "
            f"{counts['dropped']:,} dropped",
            "refused": f"{counts['refused']:,} runs that met the other job",
            "doubled": f"{counts['doubled']:,}",
            "missing": f"{counts['missing']:,}",
            "seconds": f"{self.seconds:,.0f}",
        }
        lines = [f"{name:18}{text}" for name, text in rows.items()]
        lines += [f"VIOLATION: {violation}" for violation in self.violations]
        return "\n".join(lines)
