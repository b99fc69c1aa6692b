"""The bars of unusual work: a steady trickle, long texts, a large archive, a journal far away, options."""

import base64
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb

from sms_source.journal.bundle import Member, read_bundle
from sms_source.journal.file_format import format_time
from sms_source.journal.journal import Journal
from tests.benchmark.bars import MEGABYTE, Bar, Scale, Workshop, warm
from tests.benchmark.contender import OURS, environment
from tests.benchmark.measure import Run, Usage, measure
from tests.benchmark.workload import UNLIMITED, Setting, Source, a_campaign, source
from tests.helpers.jobs import OPTION
from tests.s3 import throughput

A_WAY_OFF = Setting("a way off", rate_limit=100, latency=0.06)
ARRIVALS = 25
"""Replies a second: fewer than the API hands out, and never a moment without one."""
TEXT = "很" * 3_000
STORE_DELAY = 0.1
IDLE_SECONDS = 30
POLL_SECONDS = 0.02


def inflow(workshop: Workshop, scale: Scale) -> list[Bar]:
    """From a reply's arrival to its row, while replies arrive all the time."""
    bar = Bar(f"arrival to row, 99 of 100, at {ARRIVALS} replies a second", 3, at_most=True, unit=" s")
    for _ in range(scale.rounds):
        with source(A_WAY_OFF) as queue:
            waits = sorted(_follow(workshop.a_folder(), queue, scale.inflow))
        bar.values.append(waits[len(waits) * 99 // 100])
    return [bar]


def _follow(folder: Path, queue: Source, count: int) -> list[float]:
    """Have so many replies arrive while the job follows; return what each waited for its row, in seconds."""
    command = [*OURS.commands()[0], "--follow", "1", "--log-format", "json"]
    arrivals: list[float] = []
    waits: list[float] = []

    def arrive() -> None:
        begun = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begun + number / ARRIVALS - time.monotonic()))
            arrivals.append(time.monotonic())
            queue.enqueue(1)

    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, queue),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as job:
        assert job.stdout is not None
        job.stdout.readline()  # the first round: the job has started
        arriving = threading.Thread(target=arrive)
        arriving.start()
        loaded = _loaded(folder / "sms_journal" / "archive")
        while len(waits) < count:
            assert job.poll() is None, "the job has ended"
            found, now = next(loaded), time.monotonic()
            waits += [now - arrivals[number] for number in range(len(waits), found)]
            time.sleep(POLL_SECONDS)
        arriving.join()
        job.terminate()
    return waits


def _loaded(archive: Path) -> Iterator[int]:
    """Count the replies in the archive again and again; a reply goes there once its row is committed."""
    seen: set[str] = set()
    pulls: dict[tuple[str, str], int] = {}
    while True:
        for path in archive.glob("*.zip"):
            if path.name in seen:
                continue
            with suppress(FileNotFoundError):  # merged meanwhile: what it held is in another one
                for member in read_bundle(path.read_bytes()):
                    pulls[member.drain_id, member.name] = member.content.count(b'"ReplyTime"')
                seen.add(path.name)
        yield sum(pulls.values())


def texts(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Peak memory with the longest texts that people may send, in an alphabet of three bytes a character."""
    bar = Bar(f"peak memory at {scale.texts:,} replies of 3,000 characters", 500, at_most=True, unit=" MB")
    folder = workshop.a_folder()
    with source(UNLIMITED) as queue:
        batch = [{**reply, "ReplyContent": TEXT} for reply in a_campaign(min(1_000, scale.texts))]
        for _ in range(scale.texts // len(batch)):
            queue.simulator.enqueue(queue.app_id, batch)
        bar.values.append(OURS.start(folder, queue).wait().peak_bytes / MEGABYTE)
    workshop.check(OURS, folder, scale.texts)
    return [bar]


def receipts(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Peak memory of a long queue of receipts, beside a short one of replies."""
    bar = Bar(f"peak memory at {scale.memory:,} receipts", 350, at_most=True, unit=" MB")
    folder = workshop.a_folder()
    with source(UNLIMITED) as queue:
        queue.enqueue(100)
        queue.simulator.make_up(queue.app_id, scale.memory, feed="receipts")
        both = {**environment(folder, queue), f"{OPTION}PULL_FEEDS": '["replies", "receipts"]'}
        bar.values.append(measure(OURS.commands(), folder, both).peak_bytes / MEGABYTE)
    _check_receipts(folder, scale.memory)
    return [bar]


def _check_receipts(folder: Path, expected: int) -> None:
    """Raise `AssertionError` unless so many receipts were loaded."""
    with duckdb.connect(str(folder / OURS.database), read_only=True) as connection:
        ((rows,),) = connection.execute("select count(*) from sms.receipts").fetchall()
    if rows != expected:
        raise AssertionError(f"{rows} receipts of {expected} were loaded")


def encryption(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure the CPU that an encrypted journal costs."""
    bar = Bar("CPU a reply with an encrypted journal over one in clear", 1.05, at_most=True)
    key = base64.b64encode(bytes(range(32))).decode()
    for _ in range(scale.rounds):
        seconds = []
        for options in ({}, {f"{OPTION}JOURNAL_ENCRYPTION_KEY": key}):
            folder = workshop.a_folder()
            with source(UNLIMITED) as queue:
                queue.enqueue(scale.cpu)
                usage = measure(OURS.commands(), folder, {**environment(folder, queue), **options})
            workshop.check(OURS, folder, scale.cpu)
            seconds.append(usage.cpu_seconds)
        bar.values.append(seconds[1] / seconds[0])
    return [bar]


def store(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Pull a second when each answer goes into an object store far away first."""
    bar = Bar("pulls a second, with the journal in a store 100 ms away", 95, at_most=False)
    for _ in range(scale.rounds):
        with throughput.light_store(STORE_DELAY) as url:
            bar.values.append(throughput.measure(scale.store, None, url).rate)
    return [bar]


def drains(workshop: Workshop, scale: Scale) -> list[Bar]:
    """Measure what an archive of many small drains costs each run; its size; a replay of all of it."""
    count = f"{scale.drains:,} drains in the archive"
    quiet = Bar(f"a quiet run with {count} over one with none", 1.1, at_most=True)
    loading = Bar(f"a run of 100 replies with {count} over one with none", 1.1, at_most=True)
    idle = Bar(f"CPU of an idle `--follow 1` with {count} over one with none", 1.1, at_most=True)
    size = Bar("bytes of the archive a reply, at one reply a drain", 1_000, at_most=True)
    memory = Bar(f"peak memory of a replay of {count}", 350, at_most=True, unit=" MB")
    full, none = workshop.a_folder(), workshop.a_folder()
    with source(UNLIMITED) as queue:
        for folder in (full, none):
            queue.enqueue(1)
            OURS.start(folder, queue).wait()
        size.values.append(_archive(full, scale.drains) / scale.drains)
        for bar, replies in ((quiet, 0), (loading, 100)):
            for is_warm in warm(scale.small_rounds):
                seconds = []
                for folder in (full, none):
                    queue.enqueue(replies)
                    seconds.append(OURS.start(folder, queue).wait().seconds)
                if is_warm:
                    bar.values.append(seconds[0] / seconds[1])
        for _ in range(scale.rounds):
            idle.values.append(_idle(full, queue).cpu_seconds / _idle(none, queue).cpu_seconds)
        replay = [[*OURS.commands()[0], "--replay"]]
        memory.values.append(measure(replay, full, environment(full, queue)).peak_bytes / MEGABYTE)
    expected = 1 + scale.drains + 100 * (scale.small_rounds + 1)
    workshop.check(OURS, full, expected)
    return [quiet, loading, idle, size, memory]


def _archive(folder: Path, count: int) -> int:
    """Put so many drains into the archive, each as the one that is there; return the bytes that they take."""
    bundles = folder / "sms_journal" / "archive"
    (only,) = bundles.iterdir()
    (loaded,) = read_bundle(only.read_bytes())
    before = sum(path.stat().st_size for path in bundles.iterdir())
    with Journal(str(folder / "sms_journal")) as journal:
        journal.archive.add(_drains(loaded, count), loaded.load_id)
    return sum(path.stat().st_size for path in bundles.iterdir()) - before


def _drains(loaded: Member, count: int) -> Iterator[Member]:
    """Return drains of the last six days, a pull in each."""
    begun, step = datetime.now(timezone.utc) - timedelta(days=6), timedelta(days=6) / count
    for number in range(count):
        yield loaded._replace(drain_id=f"{format_time(begun + number * step)}-{number:08x}")


def _idle(folder: Path, queue: Source) -> Usage:
    """Return what the job uses that follows an empty queue for some time."""
    run = Run([[*OURS.commands()[0], "--follow", "1"]], folder, environment(folder, queue))
    time.sleep(IDLE_SECONDS)
    run.terminate()
    return run.wait()


PARTS = {
    "inflow": inflow,
    "texts": texts,
    "receipts": receipts,
    "encryption": encryption,
    "store": store,
    "drains": drains,
}
