"""How long the page of 10 million replies takes, and how much memory.

python -m tests.report.speed [--rows 10000000] [--receipts] [--database FILE]

The rows are those of tests.benchmark.views; the page is made in a process of its own, by two threads.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from sms_source.views import VIEWS, view_sql
from sms_source.views.sql import read_view
from tests.benchmark.views import make_tables

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


def make(database: Path, rows: int, *, has_receipts: bool) -> None:
    """Tables, if the file has none, and views."""
    is_new = not database.exists()
    with duckdb.connect(str(database)) as connection:
        connection.execute("set timezone = 'UTC'")
        if is_new:
            make_tables(connection, rows, "queue")
            if not has_receipts:
                connection.execute("drop table sms.receipts; checkpoint")
        found = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'sms'"
        ).fetchall()
        tables = {table for (table,) in found}
        for view in VIEWS:
            if read_view(view).needs <= tables:
                connection.execute(f"create or replace view sms.{view} as {view_sql(view, tables=tables)}")


def main() -> None:
    """Makes the warehouse and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--receipts", action="store_true", help="as many receipts as replies")
    parser.add_argument("--database", type=Path, help="keeps the tables; by default a temporary file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = arguments.database or Path(folder, "speed.duckdb")
        make(database, arguments.rows, has_receipts=arguments.receipts)
        begun = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", _PROGRAM, str(database), folder], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{time.perf_counter() - begun:.1f} s, {cpu:.1f} CPU s, {after.ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
