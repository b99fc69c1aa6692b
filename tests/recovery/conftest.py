"""What the tests of recovery share: people who reply, pulls that lose replies, the rows that come back."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply

Lose = Callable[..., None]
Query = Callable[[str], list[tuple[Any, ...]]]


def number_of(person: int) -> str:
    """Return the number of one of many people."""
    return f"+86120{person:08d}"


def reply_of(person: int, text: str = "T", ago: int = 3600, **fields: Any) -> dict[str, Any]:
    """Return a reply of one of many people, of so many seconds ago."""
    time_field = {"ReplyTime": int(time.time()) - ago}
    return a_reply(text, PhoneNumber=number_of(person), **{**time_field, **fields})


def receipt_of(person: int, ago: int = 3600, **fields: Any) -> dict[str, Any]:
    """Return a receipt of one of many people, of so many seconds ago."""
    return {
        "UserReceiveTime": int(time.time()) - ago,
        "CountryCode": "86",
        "PhoneNumber": number_of(person),
        "SubscriberNumber": number_of(person)[3:],
        "SerialNo": f"5000:{person}",
        "ReportStatus": "SUCCESS",
        "Description": "DELIVRD",
        "SessionContext": None,
        **fields,
    }


@pytest.fixture
def lose(configured: SimulatorProcess) -> Lose:
    """Have the next pull lose records: their answer's connection is reset."""

    def enqueue(records: list[dict[str, Any]], *, feed: str = "replies", app_id: str = APP) -> None:
        configured.enqueue(app_id, records, feed=feed)
        configured.fail_next("reset", times=-(-len(records) // 100), app_id=app_id)

    return enqueue


@pytest.fixture
def query(own_folders: Path) -> Query:
    """Return the rows of a query."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(own_folders / "sms_replies.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return ask


def write_numbers(path: Path, count: int) -> Path:
    """Write a CSV file of so many people."""
    path.write_text("name,phone_number\n" + "".join(f"x,{number_of(person)}\n" for person in range(count)))
    return path
