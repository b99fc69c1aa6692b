"""The bars of the views and the report: over millions of rows, and what the views cost a load."""

from pathlib import Path

from tests.benchmark.bars import MEGABYTE, Bar, Scale, Workshop, warm
from tests.benchmark.contender import OURS, environment
from tests.benchmark.measure import measure
from tests.benchmark.views import Timing, make, timings
from tests.benchmark.workload import UNLIMITED, source
from tests.report.speed import page_of


def views(workshop: Workshop, scale: Scale, database: Path | None = None) -> tuple[list[Timing], list[Bar]]:
    """Each view over so many replies and receipts, the page of them, and a load with views over one without.

    Args:
        workshop: makes the folders.
        scale: says how many.
        database: keeps the rows, which take some minutes to make; a temporary file by default.
    """
    folder = workshop.a_folder()
    file = (database or folder / "views.duckdb").resolve()
    make(file, scale.view_rows)
    timed = list(timings(file))
    opt_outs = Bar("the view `opt_outs`", 5, at_most=True, unit=" s")
    opt_outs.values += [timing.seconds for timing in timed if timing.view == "opt_outs"]
    seconds = Bar("the report", 30, at_most=True, unit=" s")
    peak = Bar("the report's peak memory", 1_000, at_most=True, unit=" MB")
    for _ in range(scale.rounds):
        usage = page_of(file, folder)
        seconds.values.append(usage.seconds)
        peak.values.append(usage.peak_bytes / MEGABYTE)
    return timed, [opt_outs, seconds, peak, load(workshop, scale)]


def load(workshop: Workshop, scale: Scale) -> Bar:
    """Measure a load of 100 replies with views, beside one without, in turn; both have loaded before."""
    bar = Bar("a run of 100 replies with views over one without", 1.10, at_most=True)
    folders = {True: workshop.a_folder(), False: workshop.a_folder()}
    with source(UNLIMITED) as queue:
        for is_warm in warm(scale.view_rounds):
            seconds = {}
            for has_views, folder in folders.items():
                queue.enqueue(100)
                variables = {
                    **environment(folder, queue),
                    "SOURCES__SMS_SOURCE__CREATE_VIEWS": str(has_views).lower(),
                }
                seconds[has_views] = measure(OURS.commands(), folder, variables).seconds
            if is_warm:
                bar.values.append(seconds[True] / seconds[False])
    return bar
