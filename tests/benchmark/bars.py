"""The bars: what this connector has to reach, each a ratio of figures taken in turn on one machine."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import duckdb

from tests.benchmark.contender import (
    MINIMAL,
    OURS,
    SCRIPTS,
    TEXTBOOK,
    Contender,
    a_folder,
    arrived,
    environment,
    python,
)
from tests.benchmark.measure import Usage, measure
from tests.benchmark.workload import (
    AT_THE_CEILING,
    CEILING,
    UNLIMITED,
    Pulled,
    Setting,
    source,
    write_rows,
)

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Scale:
    """How much is measured: rounds, and replies or rows of each bar's work."""

    rounds: int = 3
    ceiling: int = 200_000
    cpu: int = 200_000
    memory: int = 1_000_000
    memory_small: int = 100_000
    table: int = 10_000
    table_rows: int = 10_000_000
    small_rounds: int = 9
    view_rows: int = 10_000_000
    view_rounds: int = 15
    inflow: int = 1_500
    texts: int = 300_000
    store: int = 200_000
    drains: int = 1_000_000


QUICK = Scale(1, 3_000, 2_000, 10_000, 2_000, 1_000, 100_000, 1, 100_000, 1, 50, 1_000, 3_000, 1_000)


@dataclass
class Bar:
    """A bar, and what was measured: a value a round.

    bound: what the median must reach; at least or, with `at_most`, at most.
    possible: what the libraries alone would reach, a value a round, where that says what is possible.
    """

    name: str
    bound: float
    at_most: bool
    values: list[float] = field(default_factory=list)
    unit: str = ""
    possible: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def spread(self) -> str:
        """The rounds' minimum and maximum, and what is possible."""
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        return f"{spread}; possible {statistics.median(self.possible):.3g}" if self.possible else spread

    def line(self) -> str:
        """Return the bar, for a person."""
        sign = "≤" if self.at_most else "≥"
        met = "met   " if self.is_met else "MISSED"
        return f"{met}  {self.name}: {self.value:.3g}{self.unit} ({sign} {self.bound:g}; {self.spread})"


class Workshop:
    """Makes the folders of runs.

    They stay until the end: on ext4, a file that is made soon after thousands were deleted takes ten times
    the CPU (measured), which would be put down to whoever makes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    def a_folder(self) -> Path:
        """Return a new one."""
        return a_folder(self._folder, f"run-{next(self._numbers)}")

    def drain(
        self, contender: Contender, setting: Setting, replies: int, folder: Path | None = None
    ) -> tuple[Usage, Pulled]:
        """Has a contender empty a queue of a new simulator; in a folder of its own, checks what it loaded."""
        own = folder or self.a_folder()
        with source(setting) as queue:
            queue.enqueue(replies)
            usage = contender.start(own, queue).wait()
            pulled = queue.pulled()
        if not folder:
            self.check(contender, own, replies)
        return usage, pulled

    def check(self, contender: Contender, folder: Path, replies: int) -> None:
        """Raise `AssertionError` unless a contender has loaded so many replies."""
        rows = arrived(contender, folder).rows
        if rows != replies:
            raise AssertionError(f"{contender.name} loaded {rows} replies of {replies}")


def ceiling(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure the drain at the ceiling."""
    rate = Bar("pull rate over the API's ceiling", 0.95, at_most=False)
    refused = Bar("requests refused for the rate", 0.01, at_most=True)
    whole = Bar("whole run over the ideal time", 1.25, at_most=True)
    for _ in range(scale.rounds):
        usage, pulled = workshop.drain(OURS, AT_THE_CEILING, scale.ceiling)
        rate.values.append(pulled.rate / CEILING)
        refused.values.append(pulled.refused / pulled.requests)
        whole.values.append(usage.seconds / (scale.ceiling / CEILING))
    return [rate, refused, whole]


def cpu(workshop: Workshop, scale: Scale) -> list[Bar]:
    """CPU seconds a reply, beside a textbook dlt resource; and beside it, requests and dlt alone."""
    bar = Bar("CPU a reply, a textbook dlt resource over ours", 6, at_most=False)
    for _ in range(scale.rounds):
        ours, theirs = (
            workshop.drain(contender, UNLIMITED, scale.cpu)[0].cpu_seconds for contender in (OURS, TEXTBOOK)
        )
        folder = workshop.a_folder()
        write_rows(folder / "rows.parquet", scale.cpu)
        minimal = workshop.drain(MINIMAL, UNLIMITED, scale.cpu, folder)[0].cpu_seconds
        workshop.check(MINIMAL, folder, scale.cpu)
        bar.values.append(theirs / ours)
        bar.possible.append(theirs / minimal)
    return [bar]


def memory(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Peak memory, of a long queue and of a short one."""
    peak = Bar(f"peak memory at {scale.memory:,} replies", 350, at_most=True, unit=" MB")
    flat = Bar(f"peak memory, over that at {scale.memory_small:,}", 1.2, at_most=True)
    for _ in range(scale.rounds):
        small = workshop.drain(OURS, UNLIMITED, scale.memory_small)[0].peak_bytes
        large = workshop.drain(OURS, UNLIMITED, scale.memory)[0].peak_bytes
        peak.values.append(large / MEGABYTE)
        flat.values.append(large / small)
    return [peak, flat]


def table(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure what the table's size costs: the same replies into a full table and into an empty one."""
    bar = Bar(f"a run into {scale.table_rows:,} rows over one into none", 1.3, at_most=True)
    full = workshop.a_folder()
    workshop.drain(OURS, UNLIMITED, 1, full)
    fill(full / OURS.database, scale.table_rows)
    for _ in range(scale.rounds):
        empty = workshop.a_folder()
        workshop.drain(OURS, UNLIMITED, 1, empty)
        into_none, _ = workshop.drain(OURS, UNLIMITED, scale.table, empty)
        into_full, _ = workshop.drain(OURS, UNLIMITED, scale.table, full)
        bar.values.append(into_full.seconds / into_none.seconds)
    return [bar]


def fill(database: Path, rows: int) -> None:
    """Fill the table of replies, and the ledger, with what many runs would have left there."""
    # A random UUID is what the API gives as RequestId; 100 replies share one.
    request_id = "md5((i // 100)::varchar)"
    uuid = "-".join(
        f"{request_id}[{a}:{b}]" for a, b in ((1, 8), (9, 12), (13, 16), (17, 20), (21, 32))
    ).replace("-", " || '-' || ")
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"""
            insert into sms.replies by name
            select
                request_id || '/' || (i % 100) as reply_id, '1400000001' as sms_sdk_app_id,
                'ap-guangzhou' as region, to_timestamp(1600000000 + i) as reply_time,
                '+8613' || i as phone_number, '86' as country_code, '13' || i as subscriber_number,
                '湖畔书店' as sign_name, '101' as extend_code, '收到' as reply_content, request_id,
                to_timestamp(1600000000 + i) as pulled_at, '1600000000.0' as _dlt_load_id
            from (select i, {uuid} as request_id from range({rows}) t(i))
            """
        )
        connection.execute(
            f"""
            insert into sms.pulls by name
            select
                '20200101T000000000000Z-00000000/' || i as pull_id, '1400000001' as sms_sdk_app_id,
                'ap-guangzhou' as region, md5(i::varchar) as request_id,
                to_timestamp(1600000000 + i) as requested_at, to_timestamp(1600000000 + i) as answered_at,
                'answered' as outcome, 100 as records, 0 as at_risk, '1600000000.0' as _dlt_load_id
            from range({rows} // 100) t(i)
            """
        )


def small(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure the fixed cost of a run with 100 replies, beside the least that dlt can do."""
    bar = Bar("a run of 100 replies over a bare dlt pipeline of 100 dicts", 1.3, at_most=True)
    ours, bare = workshop.a_folder(), workshop.a_folder()
    with source(UNLIMITED) as queue:
        for is_warm in warm(scale.small_rounds):
            queue.enqueue(100)
            our_usage = OURS.start(ours, queue).wait()
            bare_usage = measure([[python(), str(SCRIPTS / "bare_dlt.py")]], bare, environment(bare))
            if is_warm:
                bar.values.append(our_usage.seconds / bare_usage.seconds)
    return [bar]


def empty(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure the fixed cost of the run that happens most: nobody has replied."""
    bar = Bar("a run on an empty queue over `import dlt`", 1, at_most=True)
    folder = workshop.a_folder()
    with source(UNLIMITED) as queue:
        for is_warm in warm(scale.small_rounds):
            usage = OURS.start(folder, queue).wait()
            import_usage = measure([[python(), "-c", "import dlt"]], folder, environment(folder))
            if is_warm:
                bar.values.append(usage.seconds / import_usage.seconds)
    return [bar]


def warm(rounds: int) -> Iterator[bool]:
    """Yield a round to warm up, then those that count."""
    yield False
    for _ in range(rounds):
        yield True


PARTS: dict[str, Callable[[Workshop, Scale], list[Bar]]] = {
    "ceiling": ceiling,
    "cpu": cpu,
    "memory": memory,
    "table": table,
    "small": small,
    "empty": empty,
}
