"""Rows that a page is about: those of a test's own, and the story of three campaigns."""

import itertools
import random
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.views.warehouse import Row, Warehouse, a_row

NOW = datetime(2026, 7, 3, 9, 30, tzinfo=timezone.utc)
"""The time of the pages: a Friday."""

APP, OTHER_APP = "1400006666", "1400007777"

_numbers = itertools.count()


def a_reply(text: str | None = "TD", ago: timedelta = timedelta(hours=5), **values: Any) -> Row:
    """Return a row of `replies`, written so long before `NOW` and pulled soon after."""
    times = {"reply_time": NOW - ago, "pulled_at": NOW - ago + timedelta(seconds=40)}
    return a_row("replies", next(_numbers), **{"reply_content": text, **times, **values})


def a_receipt(status: str = "SUCCESS", ago: timedelta = timedelta(hours=6), **values: Any) -> Row:
    """Return a row of `receipts`, of a message that arrived or failed so long before `NOW`."""
    times = {"user_receive_time": NOW - ago, "pulled_at": NOW - ago + timedelta(seconds=40)}
    code = "DELIVRD" if status == "SUCCESS" else "UNDELIVRD"
    what = {"report_status": status, "description": code, **times, **values}
    return a_row("receipts", next(_numbers), **what)


def a_pull_in_doubt(ago: timedelta = timedelta(days=1), **values: Any) -> Row:
    """Return a row of `pulls`, whose outcome is unknown."""
    number = next(_numbers)
    what = {"outcome": "in_doubt", "records": None, "at_risk": 100, "error": "Client.ReadTimeout"}
    times = {"requested_at": NOW - ago, "answered_at": None, "pull_id": f"d/{number:06}"}
    return a_row("pulls", number, **{**what, **times, **values})


def a_rejected_record(ago: timedelta = timedelta(days=2), **values: Any) -> Row:
    """Return a row of `rejected_records`."""
    what = {"reason": "ReplyTime is not an integer", "pulled_at": NOW - ago}
    return a_row("rejected_records", next(_numbers), **{**what, **values})


_PHONES = {"86": ("120", 8), "1": ("20255501", 2), "44": ("7700900", 3), "65": ("8123", 4)}
"""Prefixes of numbers that are nobody's, or reserved for fiction, and how many digits follow."""

_CAMPAIGNS: tuple[tuple[dict[str, str], str, int, dict[str, int], dict[str, int]], ...] = (
    # What its replies have in common, its session context, its share of 55, countries, and what people write.
    (
        {"sms_sdk_app_id": APP, "sign_name": "Harbour Clinic", "extend_code": "101"},
        *("reminder", 26, {"1": 55, "44": 30, "65": 15}),
        {"Y": 60, "Yes": 30, "yes please": 6, "No": 9, "Reschedule": 8, "STOP": 5, "stop please": 2}
        | {"Please stop texting me": 2, "wrong number, remove me": 1, "Is parking free on Sundays?": 2},
    ),
    (
        {"sms_sdk_app_id": APP, "sign_name": "Northwind Parcel", "extend_code": "102"},
        *("survey", 18, {"86": 80, "65": 20}),
        {"5": 46, "4": 30, "3": 12, "2": 5, "1": 9, "5分": 8, "1 分, 太慢了": 2, "TD": 4, "退订": 3}
        | {"谢谢 🙏": 5, "快递放门口了吗": 3},
    ),
    (
        {"sms_sdk_app_id": OTHER_APP, "sign_name": "湖畔书店", "extend_code": "201"},
        *("summer sale", 11, {"86": 100}),
        {
            "TD": 22,
            "退订": 16,
            "T": 9,
            "R": 14,
            "td": 4,
            "别再发了": 3,
            "1": 30,
            "请问几点开门": 5,
            "好的": 8,
        },
    ),
)
_FAILURES = {"UNDELIVRD": 8, "MK:0001": 3, "MX:0012": 2, "TUIDING": 2, "REJECTD": 2, "EXPIRED": 1}
_ANSWERED = 0.34
_LONGEST_WAIT = timedelta(hours=72)


def story(messages: int = 6_000, *, days: int = 28) -> dict[str, list[Row]]:
    """Receipts and replies of a reminder, a survey and a sale, with opt-outs and what went wrong."""
    chance = random.Random(1)
    receipts, replies = [], []
    for common, context, share, countries, texts in _CAMPAIGNS:
        for _ in range(messages * share // 55):
            country = _one(chance, countries)
            prefix, digits = _PHONES[country]
            person = {
                "sms_sdk_app_id": common["sms_sdk_app_id"],
                "phone_number": f"+{country}{prefix}{chance.randrange(10**digits):0{digits}}",
                "country_code": country,
                "subscriber_number": None,
            }
            sent, waited = _when(chance, days), timedelta(seconds=chance.lognormvariate(6.2, 1.7))
            if chance.random() < 0.045:
                reason = _one(chance, _FAILURES)
                receipts.append(
                    a_receipt("FAIL", sent, session_context=context, description=reason, **person)
                )
                continue
            receipts.append(a_receipt("SUCCESS", sent, session_context=context, **person))
            if chance.random() < _ANSWERED and waited < min(sent, _LONGEST_WAIT):
                replies.append(a_reply(_one(chance, texts), sent - waited, **person | common))
                if chance.random() < 0.004:
                    replies[-1]["pulled_at"] += timedelta(hours=chance.uniform(1, 9))
    return {
        "replies": replies,
        "receipts": receipts,
        "pulls": [a_pull_in_doubt(timedelta(days=2)), a_pull_in_doubt(timedelta(days=16), at_risk=40)],
        "rejected_records": [a_rejected_record(), a_rejected_record(reason="PhoneNumber is absent")],
    }


def _one(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _when(chance: random.Random, days: int) -> timedelta:
    """How long before `NOW` a message was sent: by day, and rather on a Tuesday than on a Sunday."""
    while True:
        ago = timedelta(days=chance.random() * days)
        sent = NOW - ago
        by_hour = max(0.0, 1 - abs(sent.hour + sent.minute / 60 - 11) / 8)
        by_weekday = 0.25 if sent.isoweekday() > 5 else 1 - abs(sent.isoweekday() - 2) / 8
        if chance.random() < by_hour * by_weekday:
            return ago


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
"""Text that would run, were it markup."""


def hostile() -> dict[str, list[Row]]:
    """Rows whose every text wants to be more than a text."""
    texts = [
        HOSTILE,
        "\u202egnp.exe\u202e\u2066 hidden",
        "x" * 10_000,
        "\x01\x1b[31mred\x7f",
        "z" + "\u0301" * 300 + "algo",
        "{{ 7 * 7 }} {% raw %}",
        "</td></table></style><style>* { display: none }",
        "call +8613812345678 or 138-1234-5678",
        " ",
        None,
        "a\n\nb",
        "W" * 40,
        "please stop <b>texting</b> me",
    ]
    replies = [
        a_reply(
            text,
            timedelta(hours=1 + hour),
            sign_name=HOSTILE,
            extend_code="<i>",
            phone_number=f"+86120000{hour:05}",
        )
        for hour, text in enumerate(texts)
    ]
    american: dict[str, Any] = {"phone_number": "+12025550100", "country_code": "1", "sign_name": HOSTILE}
    return {
        "replies": [*replies, a_reply("STOP", **american)],
        "receipts": [
            a_receipt(session_context=HOSTILE, phone_number="+8612000000001", ago=timedelta(hours=8)),
            a_receipt("FAIL", description=HOSTILE),
        ],
        "pulls": [a_pull_in_doubt(region=HOSTILE, error=HOSTILE)],
        "rejected_records": [a_rejected_record(reason=HOSTILE, record=HOSTILE)],
    }


def campaigns(count: int = 50) -> dict[str, list[Row]]:
    """Return replies to many campaigns, the first of which has a name of 200 characters."""
    chance = random.Random(2)
    names = [("A campaign of a very long name, " * 8)[:200], *(f"Campaign {n}" for n in range(1, count))]
    return {
        "replies": [
            a_reply(
                chance.choice(["1", "2", "3", "TD", "see you there"]),
                timedelta(hours=chance.randrange(600)),
                phone_number=f"+8612{chance.randrange(10**9):09}",
                sign_name=name,
                extend_code=str(number),
            )
            for number, name in enumerate(names)
            for _ in range(chance.randrange(2, 60))
        ]
    }


def fill(warehouse: Warehouse, rows: dict[str, list[Row]]) -> Warehouse:
    """Return the warehouse with these rows, and the views of its tables."""
    warehouse.fill(**rows)
    warnings = warehouse.create_views()
    assert not warnings, warnings
    return warehouse
