"""Tables as the connector loads them, with made-up rows: what the page is about."""

import random
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from dlt.destinations.sql_client import SqlClientBase

NOW = datetime(2026, 7, 3, 9, 30, tzinfo=timezone.utc)
"""The time of the pages: a Friday."""

APP = "1400006666"
OTHER_APP = "1400007777"

_TEXT, _TIME, _COUNT = "varchar", "timestamp with time zone", "bigint"
_LOADED = {"request_id": _TEXT, "pulled_at": _TIME}
TABLES: dict[str, dict[str, str]] = {
    "replies": {
        **dict.fromkeys(("reply_id", "pull_id", "channel", "sms_sdk_app_id", "region"), _TEXT),
        "reply_time": _TIME,
        **dict.fromkeys(("phone_number", "country_code", "subscriber_number", "sign_name"), _TEXT),
        **dict.fromkeys(("extend_code", "reply_content", "keyword", "_dlt_load_id"), _TEXT),
        **_LOADED,
    },
    "receipts": {
        **dict.fromkeys(("receipt_id", "pull_id", "channel", "sms_sdk_app_id", "region"), _TEXT),
        "user_receive_time": _TIME,
        **dict.fromkeys(("phone_number", "country_code", "subscriber_number", "serial_no"), _TEXT),
        **dict.fromkeys(("report_status", "description", "session_context", "_dlt_load_id"), _TEXT),
        **_LOADED,
    },
    "pulls": {
        **dict.fromkeys(("pull_id", "feed", "sms_sdk_app_id", "region", "request_id"), _TEXT),
        **dict.fromkeys(("requested_at", "answered_at"), _TIME),
        **{"outcome": _TEXT, "records": _COUNT, "at_risk": _COUNT, "error": _TEXT},
    },
    "rejected_records": {
        **dict.fromkeys(("feed", "pull_id", "sms_sdk_app_id", "reason", "record"), _TEXT),
        **{"position": _COUNT, **_LOADED},
    },
}
"""The columns of the public contract, with their types."""

Rows = dict[str, list[dict[str, Any]]]


def keyword(text: str | None) -> str | None:
    """What a text is without case, spaces and punctuation, if that is short: the column of that name."""
    kept = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text or "").upper()))
    return kept if 0 < len(kept) <= 20 else None


def a_reply(text: str | None = "TD", ago: timedelta = timedelta(hours=5), **fields: Any) -> dict[str, Any]:
    """A row of `replies`, written so long before `NOW`."""
    written = NOW - ago
    row = {
        **dict.fromkeys(TABLES["replies"]),
        **{"channel": "queue", "sms_sdk_app_id": APP, "region": "ap-guangzhou", "pull_id": "p1"},
        **{"phone_number": "+8612000000001", "country_code": "86", "sign_name": "Harbour Clinic"},
        **{"extend_code": "11", "reply_content": text, "keyword": keyword(text)},
        **{"reply_time": written, "pulled_at": written + timedelta(seconds=40), **fields},
    }
    return {"reply_id": f"p1/{random.getrandbits(60)}", **{k: v for k, v in row.items() if k != "reply_id" or v}}


def a_receipt(status: str = "SUCCESS", ago: timedelta = timedelta(hours=6), **fields: Any) -> dict[str, Any]:
    """A row of `receipts`, received so long before `NOW`."""
    received = NOW - ago
    return {
        **dict.fromkeys(TABLES["receipts"]),
        **{"receipt_id": f"p2/{random.getrandbits(60)}", "channel": "queue", "sms_sdk_app_id": APP},
        **{"region": "ap-guangzhou", "pull_id": "p2", "phone_number": "+8612000000001", "country_code": "86"},
        **{"serial_no": f"5000:{random.getrandbits(60)}", "report_status": status},
        **{"description": "DELIVRD" if status == "SUCCESS" else "UNDELIVRD", "session_context": ""},
        **{"user_receive_time": received, "pulled_at": received + timedelta(seconds=40), **fields},
    }


def a_pull_in_doubt(ago: timedelta = timedelta(days=1), **fields: Any) -> dict[str, Any]:
    """A row of `pulls`, whose outcome is unknown."""
    return {
        **{"pull_id": f"p{random.getrandbits(60)}", "feed": "replies", "sms_sdk_app_id": APP},
        **{"region": "ap-guangzhou", "request_id": None, "requested_at": NOW - ago, "answered_at": None},
        **{"outcome": "in_doubt", "records": None, "at_risk": 100, "error": "Client.ReadTimeout", **fields},
    }


def a_rejected_record(ago: timedelta = timedelta(days=2), **fields: Any) -> dict[str, Any]:
    """A row of `rejected_records`."""
    return {
        **{"feed": "replies", "pull_id": "p1", "sms_sdk_app_id": APP, "request_id": None, "position": 3},
        **{"reason": "ReplyTime is not an integer", "record": "{}", "pulled_at": NOW - ago, **fields},
    }


def create_tables(client: SqlClientBase[Any], rows: Rows, *, without: Iterable[str] = ()) -> None:
    """Makes the dataset and its tables, and fills them."""
    client.create_dataset()
    for table, columns in TABLES.items():
        if table in without:
            continue
        name = client.make_qualified_table_name(table)
        client.execute_sql(
            f"create table {name} (" + ", ".join(f'"{column}" {kind}' for column, kind in columns.items()) + ")"
        )
        for chunk in _chunks(rows.get(table, []), 1_000):
            places = ", ".join(["(" + ", ".join(["%s"] * len(columns)) + ")"] * len(chunk))
            client.execute_sql(
                f"insert into {name} values {places}", *(row[column] for row in chunk for column in columns)
            )


def _chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


_NUMBERS = {"86": ("120", 8), "1": ("20255501", 2), "44": ("7700900", 3), "65": ("8123", 4)}
_CAMPAIGNS: tuple[tuple[str, str, str, str, int, dict[str, int], dict[str, int]], ...] = (
    (
        *(APP, "Harbour Clinic", "101", "reminder", 26),
        {"1": 55, "44": 30, "65": 15},
        {"Y": 60, "Yes": 30, "yes please": 6, "No": 9, "Reschedule": 8, "STOP": 5, "stop please": 2}
        | {"Please stop texting me": 2, "wrong number, remove me": 1, "Is parking free on Sundays?": 2},
    ),
    (
        *(APP, "Northwind Parcel", "102", "survey", 18),
        {"86": 80, "65": 20},
        {"5": 46, "4": 30, "3": 12, "2": 5, "1": 9, "5分": 8, "1 分，太慢了": 2, "TD": 4, "退订": 3}
        | {"谢谢 🙏": 5, "快递放门口了吗？": 3},
    ),
    (
        *(OTHER_APP, "湖畔书店", "201", "summer sale", 11),
        {"86": 100},
        {"TD": 22, "退订": 16, "T": 9, "R": 14, "td": 4, "别再发了": 3, "1": 30, "请问几点开门？": 5, "好的": 8},
    ),
)
_FAILURES = {"UNDELIVRD": 8, "MK:0001": 3, "MX:0012": 2, "TUIDING": 2, "REJECTD": 2, "EXPIRED": 1}


def story(messages: int = 6_000, *, seed: int = 1, days: int = 28) -> Rows:
    """Replies and receipts of three campaigns: a reminder, a survey and a sale, with what went wrong."""
    generator = random.Random(seed)
    random.seed(seed)
    rows: Rows = {"replies": [], "receipts": [], "pulls": [], "rejected_records": []}
    for app, sign, code, context, share, countries, texts in _CAMPAIGNS:
        for _ in range(messages * share // 55):
            country = generator.choices(list(countries), list(countries.values()))[0]
            prefix, digits = _NUMBERS[country]
            number = f"+{country}{prefix}{generator.randrange(10**digits):0{digits}}"
            sent = _working_hour(generator, days)
            failed = generator.random() < 0.045
            what = {"sms_sdk_app_id": app, "phone_number": number, "country_code": country}
            rows["receipts"].append(
                a_receipt(
                    "FAIL" if failed else "SUCCESS",
                    sent,
                    session_context=context,
                    **({"description": _one(generator, _FAILURES)} if failed else {}),
                    **what,
                )
            )
            waited = timedelta(seconds=generator.lognormvariate(6.2, 1.7))
            if not failed and generator.random() < 0.34 and waited < min(sent, timedelta(hours=72)):
                late = timedelta(hours=generator.uniform(1, 9)) if generator.random() < 0.004 else timedelta()
                rows["replies"].append(
                    a_reply(_one(generator, texts), sent - waited, sign_name=sign, extend_code=code, **what)
                )
                rows["replies"][-1]["pulled_at"] += late
    rows["pulls"] += [a_pull_in_doubt(timedelta(days=2, hours=3)), a_pull_in_doubt(timedelta(days=16), at_risk=40)]
    rows["rejected_records"] += [a_rejected_record(), a_rejected_record(reason="PhoneNumber is absent")]
    return rows


def _one(generator: random.Random, weights: dict[str, int]) -> str:
    return generator.choices(list(weights), list(weights.values()))[0]


def _working_hour(generator: random.Random, days: int) -> timedelta:
    """How long before `NOW` a message was sent: by day, more in the middle of the week and of the day."""
    while True:
        ago = timedelta(days=generator.random() * days)
        sent = NOW - ago
        hour = sent.hour + sent.minute / 60
        likely = max(0.0, 1 - abs(hour - 11) / 8) * (0.25 if sent.isoweekday() > 5 else 1 - abs(sent.isoweekday() - 2) / 8)
        if generator.random() < likely:
            return ago
