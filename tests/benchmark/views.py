"""How long each view takes over 10 million replies and 10 million receipts, in DuckDB.

python -m tests.benchmark.views [--rows 10000000] [--threads 2] [--database FILE]

The rows are made in SQL, the same each time: 90 days, 2 applications, 30 campaigns and half as many people as
rows. A fifth of the replies are opt-outs, half are one of some short answers, the rest is prose that is
different each time. The time of a view is that of its whole result into a temporary table; the CPU's beside
it says what a busy machine adds.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from sms_source.views import VIEWS, view_sql
from sms_source.views.sql import read_view
from tests.views.warehouse import TABLES

_TYPES = {"string": "varchar", "timestamp[us, tz=UTC]": "timestamptz", "int64": "bigint"}

_REPLIES = """
insert into sms.replies by name
with numbers as (
  select range as n, hash(range) as h, hash(range + 7_000_000_000) as g from range({rows})
)
select
  'd/' || lpad((n // 100)::varchar, 9, '0') || '/' || (n % 100) as reply_id,
  'd/' || lpad((n // 100)::varchar, 9, '0') as pull_id,
  '{channel}' as channel,
  '14000066' || (h % 2) as sms_sdk_app_id,
  'ap-guangzhou' as region,
  timestamptz '2026-08-01 00:00:00+00' + to_seconds(h % (90 * 86400)) as reply_time,
  '+861' || lpad((g % ({rows} // 2))::varchar, 10, '0') as phone_number,
  '86' as country_code,
  '1' || lpad((g % ({rows} // 2))::varchar, 10, '0') as subscriber_number,
  'Sign ' || (h % 5) as sign_name,
  (10 + h % 6)::varchar as extend_code,
  case
    when g % 100 < 20 then ['T', 'TD', 't', '退订', 'T退订', 'STOP'][1 + (h % 6)::int]
    when g % 100 < 21 then 'START'
    when g % 100 < 70 then ['1', '2', '3', '4', '5', 'Y', 'yes', '好的', '收到'][1 + (h % 9)::int]
    when g % 100 < 72 then ['please stop texting me', '别再发了', 'remove me from the list'][1 + (h % 3)::int]
    else 'I would like to know more about order ' || h || ', thanks'
  end as reply_content,
  case when g % 100 < 70 then upper(reply_content) when reply_content = '别再发了' then reply_content end
    as keyword,
  'r' || (n // 100) as request_id,
  reply_time + to_seconds(case when h % 1000 = 0 then 7200 else g % 60 end) as pulled_at,
  (n // 100000)::varchar as _dlt_load_id
from numbers
"""

_RECEIPTS = """
insert into sms.receipts by name
with numbers as (
  select range as n, hash(range) as h, hash(range + 7_000_000_000) as g from range({rows})
)
select
  'e/' || lpad((n // 100)::varchar, 9, '0') || '/' || (n % 100) as receipt_id,
  'e/' || lpad((n // 100)::varchar, 9, '0') as pull_id,
  '{channel}' as channel,
  '14000066' || (h % 2) as sms_sdk_app_id,
  'ap-guangzhou' as region,
  -- Of four receipts three are some hours before a reply of the same number.
  timestamptz '2026-08-01 00:00:00+00'
    + to_seconds(case when n % 4 = 0 then g % (90 * 86400) else h % (90 * 86400) - h % 14400 end)
    as user_receive_time,
  '+861' || lpad((g % ({rows} // 2))::varchar, 10, '0') as phone_number,
  '86' as country_code,
  '1' || lpad((g % ({rows} // 2))::varchar, 10, '0') as subscriber_number,
  '5000:' || n as serial_no,
  case when h % 20 = 0 then 'FAIL' else 'SUCCESS' end as report_status,
  case when h % 20 = 0 then ['MK:0001', 'UNDELIV_601', '12', 'MX:0012'][1 + (g % 4)::int] else 'DELIVRD' end
    as description,
  'campaign ' || (h % 10) as session_context,
  's' || (n // 100) as request_id,
  user_receive_time + interval 5 second as pulled_at,
  (n // 100000)::varchar as _dlt_load_id
from numbers
"""


def make_tables(connection: duckdb.DuckDBPyConnection, rows: int, channel: str) -> None:
    """Tables of the contract, with so many replies and receipts."""
    connection.execute("create schema sms")
    for table, columns in TABLES.items():
        types = ", ".join(f"{name} {_TYPES[str(kind)]}" for name, kind in columns.items())
        connection.execute(f"create table sms.{table} ({types})")
    for statement in (_REPLIES, _RECEIPTS):
        connection.execute(statement.format(rows=rows, channel=channel))
    connection.execute(
        "insert into sms.pulls select distinct pull_id, 'replies', sms_sdk_app_id, region, request_id, "
        "pulled_at, pulled_at, if(hash(pull_id) % 10000 = 0, 'in_doubt', 'answered'), 100, 0, null, "
        "_dlt_load_id from sms.replies where reply_id like '%/0'"
    )
    connection.execute("checkpoint")


class Timing(NamedTuple):
    """How long a view takes by the clock and of the CPU, and how many rows it has."""

    view: str
    seconds: float
    cpu_seconds: float
    rows: int

    def line(self) -> str:
        """Return the timing, for a person."""
        return f"{self.view:22}{self.seconds:8.2f} s{self.cpu_seconds:8.2f} CPU s{self.rows:14,} rows"


def make(database: Path, rows: int, channel: str = "queue", *, has_receipts: bool = True) -> None:
    """Tables, if the file has none, and views, anew."""
    is_new = not database.exists()
    with duckdb.connect(str(database)) as connection:
        connection.execute("set timezone = 'UTC'")
        if is_new:
            make_tables(connection, rows, channel)
            if not has_receipts:
                connection.execute("drop table sms.receipts; checkpoint")
        found = connection.execute("select table_name from duckdb_tables() where schema_name = 'sms'")
        tables = {table for (table,) in found.fetchall()}
        for view in VIEWS:
            if read_view(view).needs <= tables:
                connection.execute(f"create or replace view sms.{view} as {view_sql(view, tables=tables)}")


def timings(database: Path, threads: int = 2, views: Sequence[str] = VIEWS) -> Iterator[Timing]:
    """Asks each view for all its rows."""
    with duckdb.connect(str(database), config={"threads": threads}) as connection:
        connection.execute("set timezone = 'UTC'")
        for view in views:
            begun, cpu_begun = time.perf_counter(), time.process_time()
            connection.execute(f"create temp table result as select * from sms.{view}")
            seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
            (rows,) = connection.execute("select count(*) from result").fetchall()[0]
            connection.execute("drop table result")
            yield Timing(view, seconds, cpu_seconds, rows)


def total(timed: Sequence[Timing]) -> Timing:
    """All views together, one after another."""
    _, *sums = zip(*timed, strict=True)
    return Timing("all", *map(sum, sums))


def main() -> None:
    """Make the tables if the file has none, and time the views."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of each table")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channel", default="queue", help="which brought all rows")
    parser.add_argument("--database", type=Path, help="keeps the tables; by default a temporary file")
    parser.add_argument("views", nargs="*", default=VIEWS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.database or Path(folder, "views.duckdb")
        make(file, arguments.rows, arguments.channel)
        timed = []
        for timing in timings(file, arguments.threads, arguments.views):
            print(timing.line(), flush=True)
            timed.append(timing)
        print(total(timed).line())


if __name__ == "__main__":
    main()
