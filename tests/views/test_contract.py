"""Names, columns and meanings of the views, and the data that they are made of."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from sms_source.keywords import keywords as keywords_of
from sms_source.views import VIEWS, view_sql
from sms_source.views.sql import read_view
from tests.views.conftest import Databases
from tests.views.oracle import Data, read, reply_hours
from tests.views.warehouse import COLUMNS, NOON, TABLES, Warehouse, a_row, comparable

CATEGORIES = {
    *("delivered", "carrier_error", "invalid_number", "shutdown", "blocklist", "frequency", "other"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_of_the_contract(warehouse: Warehouse, view: str) -> None:
    """Names and order are what people's queries stand on."""
    with (
        warehouse.client() as client,
        client.execute_query(f"select * from sms.{view} where false") as cursor,
    ):
        columns = [entry[0] for entry in cursor.description]
    assert columns == COLUMNS[view].split()
    assert set(read_view(view).columns) <= set(columns)
    assert read_view(view).meaning


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_s_file_is_a_query_that_duckdb_runs(
    view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants a rule changed copies the file: in its folder it runs as it stands, and says the same."""
    folder = Path(__file__).resolve().parents[2] / "sms_source" / "views"
    types = {"string": "varchar", "int64": "bigint"}
    monkeypatch.chdir(folder)
    with duckdb.connect(tmp_path / "test.duckdb") as connection:
        connection.execute("create schema sms")
        for table, columns in TABLES.items():
            fields = ", ".join(
                f"{name} {types.get(str(kind), 'timestamptz')}" for name, kind in columns.items()
            )
            connection.execute(f"create table sms.{table} ({fields})")
        for name in VIEWS:
            connection.execute(f"create view sms.{name} as {view_sql(name)}")
        as_it_stands = connection.execute((folder / f"{view}.sql").read_text(encoding="utf-8")).fetchall()
        assert comparable(as_it_stands) == comparable(connection.execute(f"from sms.{view}").fetchall())


def test_a_view_comes_after_those_that_it_reads() -> None:
    """They are made in this order."""
    for number, name in enumerate(VIEWS):
        assert set(read_view(name).reads) <= set(VIEWS[:number])


def test_each_phrase_is_found(warehouse: Warehouse) -> None:
    """In any case and with any punctuation: the first look at a text passes over no phrase."""
    phrases = [entry["phrase"] for entry in read("opt_out_phrases")]
    texts = [f"Hi! {phrase.upper().replace(' ', ' ,')}…" for phrase in phrases]
    replies = [a_row("replies", n, reply_content=text) for n, text in enumerate(texts)]
    warehouse.fill(replies=replies)
    found: dict[str, str] = dict(warehouse.view("possible_opt_outs", "reply_id", "phrase"))
    for reply, phrase in zip(replies, phrases, strict=True):
        assert len(found[reply["reply_id"]]) >= len(phrase), phrase


@pytest.mark.parametrize(
    "text",
    ["1", "yes please", "I'll call you", "更多信息", "what does it cost?", "谢谢", "at the bus stop", "好"],
)
def test_ordinary_answers_are_no_possible_opt_outs(warehouse: Warehouse, text: str) -> None:
    """A list for a person to read is of use when it is short."""
    warehouse.fill(replies=[a_row("replies", 1, reply_content=text)])
    assert warehouse.view("possible_opt_outs") == []


def test_the_data_are_whole() -> None:
    """Each line has a source, words are keywords, and nothing is there twice."""
    for name, key in (("opt_out_words", "word"), ("receipt_codes", "code"), ("opt_out_phrases", "phrase")):
        entries = read(name)
        assert len({entry[key] for entry in entries}) == len(entries)
        assert all(entry["source"] for entry in entries)
    words = [entry["word"] for entry in read("opt_out_words")]
    assert keywords_of(pa.array(words)).to_pylist() == words
    codes = read("receipt_codes")
    assert len(codes) == 308
    assert {entry["category"] for entry in codes} == CATEGORIES
    assert all(entry["meaning"].isascii() for entry in codes)


def test_answers_do_not_hang_on_the_session_s_time_zone(databases: Databases) -> None:
    """Days, hours and deadlines are UTC's, also across a change to summer time."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    at = datetime(2026, 10, 31, 23, 30, tzinfo=timezone.utc)  # a Saturday, the last before winter time
    replies = [a_row("replies", n, country_code="1", reply_time=at + timedelta(days=n), reply_content="stop",
                     phone_number=f"+{n}") for n in range(8)]  # fmt: skip
    receipts = [a_row("receipts", n, user_receive_time=row["reply_time"] - timedelta(hours=72),
                      phone_number=row["phone_number"]) for n, row in enumerate(replies)]  # fmt: skip
    warehouse.fill(replies=replies, receipts=receipts)
    names = ("opt_outs", "reply_hours", "deliveries", "reply_attributions", "response_rates")
    answers = []
    with warehouse.client() as client:
        for zone in ("UTC", "America/New_York", "Asia/Shanghai"):
            client.execute_sql(f"set timezone to '{zone}'")
            answers.append([comparable(list(client.execute_sql(f"select * from sms.{n}"))) for n in names])
    assert answers[0] == answers[1] == answers[2]
    due: dict[str, datetime] = dict(warehouse.view("opt_outs", "phone_number", "honour_by"))
    assert due["+0"].astimezone(timezone.utc) == at + timedelta(days=13)
    assert due["+1"].astimezone(timezone.utc) == at + timedelta(days=1 + 12)
    assert due["+2"].astimezone(timezone.utc) == at + timedelta(days=2 + 14)


@pytest.mark.long
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Asia/Kolkata"])
def test_reply_hours_are_those_of_the_configured_zone(databases: Databases, zone: str) -> None:
    """Half-hour zones and both sides of a change of the clock, too."""
    warehouse = databases.warehouse()
    assert warehouse.create_views(views_time_zone=zone) == []
    replies = [a_row("replies", n, reply_time=NOON + timedelta(hours=7 * n)) for n in range(30)]
    replies += [a_row("replies", 100 + n, reply_time=NOON + timedelta(days=n * 10)) for n in range(30)]
    warehouse.fill(replies=replies)
    expected = reply_hours(Data(replies, zone=ZoneInfo(zone)))
    assert comparable(warehouse.view("reply_hours")) == comparable(expected)


def test_a_word_of_one_s_own_opts_out_everywhere(databases: Databases) -> None:
    """In any case and form, whatever the country; and it is in the list with its source."""
    warehouse = databases.warehouse()
    assert warehouse.create_views(opt_out_words=["no más"]) == []
    replies = [
        a_row("replies", n, reply_content=text, phone_number=f"+{n}", country_code=country)
        for n, (text, country) in enumerate([("No más!", "34"), ("NO MÁS", None), ("más", "34")])
    ]
    warehouse.fill(replies=replies)
    assert sorted(warehouse.view("opt_outs", "phone_number")) == [("+0",), ("+1",)]
    assert ("NOMÁS", None, "opt_out", "option opt_out_words") in warehouse.view("opt_out_words")


def test_a_row_without_a_time_counts_as_a_delivery_of_no_day(databases: Databases) -> None:
    """A carrier may report a failure without a time: it is in the view, for the page's reasons."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    warehouse.fill(receipts=[a_row("receipts", 1, user_receive_time=None, report_status="FAIL")])
    assert warehouse.view("deliveries", "day", "report_status", "messages") == [(None, "FAIL", 1)]
