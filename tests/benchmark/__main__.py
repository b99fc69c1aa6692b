"""Measures this connector: beside other ways to get the replies into DuckDB, and against its own bars.

    python -m tests.benchmark              all of it; writes docs/benchmark.md and docs/benchmark.svg
    python -m tests.benchmark --bars cpu   some bars alone, and nothing is written
    python -m tests.benchmark --only views the views and the report alone; writes their section of the page
    python -m tests.benchmark --only unusual --bars store   of unusual work, some; writes them into the page
    python -m tests.benchmark --quick      a small run of everything into a temporary folder

The exit status is 1 when a bar is missed. A quick run shows that all works; its figures mean nothing.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmark import bars, race, report, unusual_bars, view_bars
from tests.benchmark.contender import AIRBYTE_ENVIRONMENT, CONTENDERS, SINGER_ENVIRONMENT
from tests.benchmark.views import total
from tests.environment import ROOT

PARTS = {**bars.PARTS, **unusual_bars.PARTS}


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bars", nargs="+", choices=PARTS, metavar="BAR", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--only", choices=["views", "unusual"], help="measure this section of the page")
    parser.add_argument("--database", type=Path, help="keeps the rows that the views are measured with")
    parser.add_argument("--quick", action="store_true", help="see that all works")
    parser.add_argument("--resolve", action="store_true", help="make the contenders' constraints anew")
    args = parser.parse_args()
    if args.resolve:
        SINGER_ENVIRONMENT.resolve()
        AIRBYTE_ENVIRONMENT.resolve()
        return 0
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        workshop = bars.Workshop(Path(folder))
        scale = bars.QUICK if args.quick else bars.Scale()
        pages = Path(folder, "docs")
        pages.mkdir()
        shutil.copy(ROOT / "docs" / "benchmark.md", pages)  # with the parts that are not measured now
        if args.only == "unusual":
            unusual = [part for part in unusual_bars.PARTS if part in (args.bars or PARTS)]
            reached = measure(workshop, unusual, scale)
            report.write_unusual(pages, reached)
            publish(pages, is_quick=args.quick)
        elif args.bars:
            reached = measure(workshop, args.bars, scale)
        elif args.only:
            reached = measure_views(workshop, pages, scale, args.database)
            publish(pages, is_quick=args.quick)
        else:
            SINGER_ENVIRONMENT.install()
            AIRBYTE_ENVIRONMENT.install()
            course = race.SHORT if args.quick else race.FULL
            results = race.race(workshop, CONTENDERS, course, tell)
            losses = race.losses(workshop, CONTENDERS, course, tell)
            reached = measure(workshop, list(bars.PARTS), scale)
            report.write(pages, results, losses, reached)
            unusual_reached = measure(workshop, list(unusual_bars.PARTS), scale)
            report.write_unusual(pages, unusual_reached)
            reached += unusual_reached
            reached += measure_views(workshop, pages, scale, args.database)
            publish(pages, is_quick=args.quick)
    return int(not args.quick and not all(bar.is_met for bar in reached))


def measure(workshop: bars.Workshop, parts: Sequence[str], scale: bars.Scale) -> list[bars.Bar]:
    """Measures some of the bars, and tells of each."""
    reached = []
    for part in parts:
        for bar in PARTS[part](workshop, scale):
            tell(bar.line())
            reached.append(bar)
    return reached


def measure_views(
    workshop: bars.Workshop, pages: Path, scale: bars.Scale, database: Path | None
) -> list[bars.Bar]:
    """Measures the views and the report, tells of each, and puts their section into the page."""
    timed, reached = view_bars.views(workshop, scale, database)
    for line in [timing.line() for timing in (*timed, total(timed))] + [bar.line() for bar in reached]:
        tell(line)
    report.write_views(pages, timed, reached, scale.view_rows)
    return reached


def publish(pages: Path, *, is_quick: bool) -> None:
    """Put the page where it is read, unless its figures mean nothing."""
    if not is_quick:
        shutil.copytree(pages, ROOT / "docs", dirs_exist_ok=True)


def tell(line: str) -> None:
    """Tells a person how it goes."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
