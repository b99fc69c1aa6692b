"""Measures this connector: beside other ways to get the replies into DuckDB, and against its own bars.

    python -m tests.benchmark              all of it; writes docs/benchmark.md and docs/benchmark.svg
    python -m tests.benchmark --bars cpu   some bars alone, and nothing is written
    python -m tests.benchmark --quick      a small run of everything into a temporary folder

The exit status is 1 when a bar is missed. A quick run shows that all works; its figures mean nothing.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmark import bars, race, report
from tests.benchmark.contender import AIRBYTE_ENVIRONMENT, CONTENDERS, SINGER_ENVIRONMENT
from tests.environment import ROOT


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bars", nargs="+", choices=bars.PARTS, metavar="BAR", help=f"of {', '.join(bars.PARTS)}"
    )
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
        if args.bars:
            reached = measure(workshop, args.bars, scale)
        else:
            SINGER_ENVIRONMENT.install()
            AIRBYTE_ENVIRONMENT.install()
            course = race.SHORT if args.quick else race.FULL
            results = race.race(workshop, CONTENDERS, course, tell)
            losses = race.losses(workshop, CONTENDERS, course, tell)
            reached = measure(workshop, list(bars.PARTS), scale)
            pages = Path(folder, "docs")
            report.write(pages, results, losses, reached)
            if not args.quick:
                shutil.copytree(pages, ROOT / "docs", dirs_exist_ok=True)
    return int(not args.quick and not all(bar.is_met for bar in reached))


def measure(workshop: bars.Workshop, parts: Sequence[str], scale: bars.Scale) -> list[bars.Bar]:
    """Measures some of the bars, and tells of each."""
    reached = []
    for part in parts:
        for bar in bars.PARTS[part](workshop, scale):
            tell(bar.line())
            reached.append(bar)
    return reached


def tell(line: str) -> None:
    """Tells a person how it goes."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
