"""A warehouse with the tables of the contract, made by dlt as a load makes them, and rows of a test's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa

from sms_source.keywords import keywords
from sms_source.views import create_views
from tests.conftest import Rows

_TEXT, _TIME, _NUMBER = pa.string(), pa.timestamp("us", "UTC"), pa.int64()
TABLES: dict[str, dict[str, Any]] = {
    "replies": {
        **dict.fromkeys(("reply_id", "pull_id", "channel", "sms_sdk_app_id", "region"), _TEXT),
        "reply_time": _TIME,
        **dict.fromkeys(("phone_number", "country_code", "subscriber_number", "sign_name"), _TEXT),
        **dict.fromkeys(("extend_code", "reply_content", "keyword", "request_id"), _TEXT),
        "pulled_at": _TIME,
        "_dlt_load_id": _TEXT,
    },
    "receipts": {
        **dict.fromkeys(("receipt_id", "pull_id", "channel", "sms_sdk_app_id", "region"), _TEXT),
        "user_receive_time": _TIME,
        **dict.fromkeys(("phone_number", "country_code", "subscriber_number", "serial_no"), _TEXT),
        **dict.fromkeys(("report_status", "description", "session_context", "request_id"), _TEXT),
        "pulled_at": _TIME,
        "_dlt_load_id": _TEXT,
    },
    "pulls": {
        **dict.fromkeys(("pull_id", "feed", "sms_sdk_app_id", "region", "request_id"), _TEXT),
        **dict.fromkeys(("requested_at", "answered_at"), _TIME),
        "outcome": _TEXT,
        **dict.fromkeys(("records", "at_risk"), _NUMBER),
        "error": _TEXT,
        "_dlt_load_id": _TEXT,
    },
    "rejected_records": {
        **dict.fromkeys(("feed", "pull_id", "request_id"), _TEXT),
        "position": _NUMBER,
        **dict.fromkeys(("sms_sdk_app_id", "reason", "record"), _TEXT),
        "pulled_at": _TIME,
        "_dlt_load_id": _TEXT,
    },
}
KEYS = {"replies": "reply_id", "receipts": "receipt_id", "pulls": "pull_id", "rejected_records": "pull_id"}

COLUMNS = {
    "opt_out_words": "word country_code meaning source",
    "unique_replies": " ".join(TABLES["replies"]),
    "opt_outs": "sms_sdk_app_id sign_name phone_number country_code opted_out_at keyword reply_content "
    "reply_id requests rule honour_by blocked_by_tencent",
    "possible_opt_outs": "reply_id sms_sdk_app_id sign_name phone_number reply_time reply_content phrase",
    "campaigns": "sms_sdk_app_id sign_name extend_code replies people opted_out opt_out_share first_reply_at "
    "last_reply_at",
    "answers": "sms_sdk_app_id sign_name extend_code keyword people people_share",
    "reply_hours": "weekday hour replies people",
    "late_replies": "reply_id reply_time pulled_at delay_seconds",
    "pulls_in_doubt": " ".join(n for n in TABLES["pulls"] if n != "_dlt_load_id")
    + " recoverable_until recovered",
    "receipt_codes": "code carrier category meaning",
    "unique_receipts": " ".join(TABLES["receipts"]),
    "deliveries": "day sms_sdk_app_id report_status description messages people category meaning",
    "reply_attributions": "reply_id receipt_id serial_no session_context response_seconds candidates",
    "response_rates": "day sms_sdk_app_id session_context delivered replied reply_rate "
    "median_response_seconds opted_out",
}
"""Of the views, as the contract has them."""

Row = dict[str, Any]
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
"""A Friday."""


def a_row(table: str, number: int, **values: Any) -> Row:
    """Return a row of a table, with these values and plain ones for the rest."""
    plain: Row = {
        "pull_id": "d/000001",
        "channel": "queue",
        "sms_sdk_app_id": "1400006666",
        "region": "ap-guangzhou",
        "phone_number": "+8612000000001",
        "country_code": "86",
        "subscriber_number": "12000000001",
        "request_id": "r",
        "pulled_at": NOON + timedelta(minutes=1),
        "_dlt_load_id": "1",
        **{
            "replies": {
                "reply_time": NOON,
                "sign_name": "Tencent Cloud",
                "extend_code": "11",
                "reply_content": "T",
            },
            "receipts": {
                "user_receive_time": NOON,
                "serial_no": f"5000:{number}",
                "report_status": "SUCCESS",
                "description": "DELIVRD",
                "session_context": None,
            },
            "pulls": {
                "feed": "replies",
                "requested_at": NOON,
                "answered_at": NOON,
                "outcome": "answered",
                "records": 1,
                "at_risk": 0,
                "error": None,
            },
            "rejected_records": {"feed": "replies", "position": number, "reason": "x", "record": "{}"},
        }[table],
        **values,
    }
    plain.setdefault(KEYS[table], f"d/000001/{number}")
    if table == "replies" and "keyword" not in values:
        (plain["keyword"],) = keywords(pa.array([plain["reply_content"]], pa.string())).to_pylist()
    return {column: plain[column] for column in TABLES[table]}


class Warehouse:
    """A dataset with the contract's tables.

    Args:
        destination: of dlt, configured.
        tables: that the dataset has.
        dataset: its name.
        folder: for dlt's working directory.
    """

    def __init__(self, destination: Any, *tables: str, dataset: str = "sms", folder: Path) -> None:
        self.tables = tables or tuple(TABLES)
        self.pipeline = dlt.pipeline(
            "views_test", pipelines_dir=str(folder / "dlt"), destination=destination, dataset_name=dataset
        )

        @dlt.source(name="contract")
        def contract() -> Iterator[Any]:
            for name in self.tables:
                fields = [pa.field(*item, nullable=item[0] != KEYS[name]) for item in TABLES[name].items()]
                empty = pa.schema(fields).empty_table()
                yield dlt.resource([empty], name=name, primary_key=KEYS[name], write_disposition="merge")

        self.pipeline.run(contract())

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Provide a connection of dlt's."""
        with self.pipeline.sql_client() as client:
            yield client

    def create_views(self, **options: Any) -> list[str]:
        """Make the views of the tables that are there; return the warnings."""
        with self.client() as client:
            return create_views(client, self.tables, **options)

    def fill(self, **rows: Sequence[Row]) -> None:
        """Rows in place of those that are there."""
        with self.client() as client:
            for name in self.tables:
                client.execute_sql(f"delete from {client.make_qualified_table_name(name)}")
            for name, table in rows.items():
                self._insert(client, name, table)

    def _insert(self, client: Any, name: str, rows: Sequence[Row]) -> None:
        columns = list(TABLES[name])
        marks = "(" + ", ".join(["%s"] * len(columns)) + ")"
        if rows:
            client.execute_sql(
                f"insert into {client.make_qualified_table_name(name)} ({', '.join(columns)}) "
                f"values {', '.join([marks] * len(rows))}",
                *(row[column] for row in rows for column in columns),
            )

    def execute(self, sql: str) -> None:
        """Something that has no rows."""
        with self.client() as client:
            client.execute_sql(sql)

    def query(self, sql: str) -> Rows:
        """Rows of a query."""
        with self.client() as client:
            return [tuple(row) for row in client.execute_sql(sql) or ()]

    def view(self, name: str, *columns: str) -> Rows:
        """Return what a view has, of these columns, in no order."""
        return self.query(f"select {', '.join(columns) or '*'} from sms.{name}")


def comparable(rows: list[tuple[Any, ...]]) -> list[str]:
    """Return rows in an order and a form that do not depend on the database."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(timezone.utc).isoformat()
        if isinstance(value, date):
            return value.isoformat()
        return round(value, 9) if isinstance(value, float) else value

    return sorted(repr(tuple(map(plain, row))) for row in rows)
