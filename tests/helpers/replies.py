"""Replies of every kind, and the rows that they become."""

import random
from datetime import datetime, timezone
from typing import Any

from tests.conftest import a_reply

SUBSTANCE = [
    "😀👩‍👩‍👧 T",
    "توقف עצור",
    "NUL \x00 and \x01\x1b[31m controls\r\n\t",
    'it\'s "quoted" \\ back, semi; -- comment',
    "长" * 10_000,
    "",
    "退订",
    "\u2028\ufeff\ufffd\U0010ffff",
]


def everything_people_write(count: int, seed: int) -> list[dict[str, Any]]:
    """Return replies with every kind of text, out of order, equal in a second, all fields varied."""
    chance = random.Random(seed)
    return [
        a_reply(
            chance.choice(SUBSTANCE),
            PhoneNumber=f"+86120{chance.randrange(50):08d}",
            SignName=chance.choice(["Tencent Cloud", "签名", None]),
            ExtendCode=chance.choice(["", "11", "12"]),
            ReplyTime=1_700_000_000 + chance.randrange(1000),
        )
        for _ in range(count)
    ]


def as_rows(app_id: str, records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the rows that records should become."""
    return [
        (
            app_id,
            datetime.fromtimestamp(record["ReplyTime"], timezone.utc),
            *(record[name] for name in ("PhoneNumber", "CountryCode", "SubscriberNumber")),
            *(record[name] for name in ("SignName", "ExtendCode", "ReplyContent")),
        )
        for record in records
    ]


ALL_FIELDS = """
    select sms_sdk_app_id, reply_time, phone_number, country_code, subscriber_number, sign_name, extend_code,
           reply_content
    from sms.replies
"""


def canonical(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Rows in an order and a form in which they can be compared."""
    return sorted(
        tuple(
            value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else repr(value)
            for value in row
        )
        for row in rows
    )
