"""How long the page of 10 million replies takes, and how much memory.

python -m tests.report.speed [--rows 10000000] [--receipts] [--database FILE]

The rows are those of tests.benchmark.views; the page is made in a process of its own, by two threads.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmark.measure import Usage, measure
from tests.benchmark.views import make
from tests.environment import ROOT

_PROGRAM = """
import datetime, sys
from pathlib import Path
import dlt
from sms_source.report import write_report
destination = dlt.destinations.duckdb(sys.argv[1])
folder = sys.argv[2]
pipeline = dlt.pipeline("speed", pipelines_dir=folder, destination=destination, dataset_name="sms")
now = datetime.datetime(2026, 10, 30, tzinfo=datetime.timezone.utc)
write_report(pipeline, Path(folder, "page.html"), now=now)
"""


def page_of(database: Path, folder: Path) -> Usage:
    """Make the page of a DuckDB file in a folder, and return what that used."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return measure([[sys.executable, "-c", _PROGRAM, str(database), str(folder)]], folder, environment)


def main() -> None:
    """Make the warehouse and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--receipts", action="store_true", help="as many receipts as replies")
    parser.add_argument("--database", type=Path, help="keeps the tables; by default a temporary file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = (arguments.database or folder / "speed.duckdb").resolve()
        make(database, arguments.rows, has_receipts=arguments.receipts)
        usage = page_of(database, folder)
        megabytes = usage.peak_bytes / 1_000_000
        print(f"{usage.seconds:.1f} s, {usage.cpu_seconds:.1f} CPU s, {megabytes:,.0f} MB")


if __name__ == "__main__":
    main()
