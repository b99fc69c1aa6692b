"""What a pushed body says, in the field names of the API."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.api.answers import Unreadable
from sms_source.api.pushes import NotAPushError, entry_texts, parse_push, together
from sms_source.feeds import RECEIPTS, REPLIES
from sms_source.simulator.callbacks import callback_body
from sms_source.simulator.records import encode
from tests.conftest import APP, a_reply
from tests.receiving.receiving_job import a_pushed_receipt, a_pushed_reply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def records(body: Any, feed: Any = REPLIES) -> list[Any]:
    """Return the records of a body."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_push(feed, APP, encoded).records


def ids(body: bytes, app_id: str = APP) -> list[str]:
    """Return the ids of a body's records."""
    return parse_push(REPLIES, app_id, body).ids


def test_a_pushed_reply_is_the_pulled_one() -> None:
    """A number comes in two parts."""
    assert records(a_pushed_reply()) == [a_reply("TD")]


def test_a_pushed_receipt_is_the_pulled_one() -> None:
    """Its time is Beijing's, without a zone; its errmsg is the pull's Description."""
    assert records([a_pushed_receipt(ext="spring")], RECEIPTS) == [
        {
            "UserReceiveTime": 1_445_040_184,
            "CountryCode": "86",
            "SubscriberNumber": "12000000001",
            "PhoneNumber": "+8612000000001",
            "ReportStatus": "SUCCESS",
            "Description": "DELIVRD",
            "ReportDescription": "用户短信送达成功",
            "SerialNo": "5000:1",
            "SessionContext": "spring",
        }
    ]


def test_the_time_is_that_of_tencent_s_samples() -> None:
    """They pair 17:18:37 with 1570526317."""
    (record,) = records([a_pushed_receipt(user_receive_time="2019-10-08 17:18:37")], RECEIPTS)
    assert record["UserReceiveTime"] == 1_570_526_317


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("1970-01-01 08:00:00", 0),
        ("soon", "soon"),
        (5, 5),
        (None, None),
        ("2015-13-17 08:03:04",) * 2,
    ],
)
def test_a_time_that_is_none_stays_what_it_is(given: Any, expected: Any) -> None:
    """Whether a record without a time fits is decided where pulled ones are looked at."""
    (record,) = records([a_pushed_receipt(user_receive_time=given)], RECEIPTS)
    assert record["UserReceiveTime"] == expected


def test_keys_may_be_missing_or_unknown() -> None:
    """Older international documents have a port, and neither sign nor country code."""
    body = {"mobile": "12000000001", "text": "TD", "time": 1, "port": "1069", "PhoneNumber": "?"}
    assert records(body) == [
        {
            "PhoneNumber": "12000000001",
            "SubscriberNumber": "12000000001",
            "ReplyContent": "TD",
            "ReplyTime": 1,
            "port": "1069",
        }
    ]


@pytest.mark.parametrize(
    ("code", "mobile", "number"),
    [
        ("+86", "1", "+861"),
        ("86", "+861", "+861"),
        ("86", "", None),
        ("", "1", "1"),
        (86, "1", "1"),
        ("86", 1, 1),
    ],
)
def test_a_number_is_made_of_its_parts(code: Any, mobile: Any, number: Any) -> None:
    """Where both are there; what is no text does not fit, and is told so."""
    (record,) = records(a_pushed_reply(nationcode=code, mobile=mobile))
    assert record["PhoneNumber"] == number


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"{", b"[" * 100, b'[{"a": 1}', b"[nope]", b'"', b"{} {}", b"\xff"]
)
def test_what_is_no_json_is_no_push(body: bytes) -> None:
    """Whoever pushes it is told."""
    with pytest.raises(NotAPushError, match="no JSON"):
        records(body)


def test_a_broken_entry_costs_none_beside_it() -> None:
    """It is one that can't be read; the others have the ids that they have without it."""
    good = json.dumps(a_pushed_reply()).encode()
    pushed = parse_push(REPLIES, APP, b"[ " + good + b', {"text": nope}, ' + good + b"]")
    assert pushed.records == [
        a_reply("TD"),
        Unreadable('{"text": nope}', "not JSON: Expecting value"),
        a_reply("TD"),
    ]
    assert [pushed.ids[0], pushed.ids[2]] == ids(good) * 2


def test_the_same_entry_has_the_same_id_however_it_is_written() -> None:
    """In whatever order of keys, alone or among others; another application's is another."""
    entry = a_pushed_reply("退订")
    alone = json.dumps(entry).encode()
    turned = json.dumps(dict(reversed(entry.items())), ensure_ascii=False, indent=1).encode()
    assert ids(alone) == ids(turned) == ids(b"[" + turned + b"]")
    assert len({*ids(alone), *ids(alone, "-"), *ids(json.dumps(a_pushed_reply("T")).encode())}) == 3
    assert parse_push(RECEIPTS, APP, alone).ids != ids(alone)


@pytest.mark.parametrize(
    "entry",
    [b'{"text": "\\ud83d"}', b'{"n": 99999999999999999999}', b'{"n": ' + b"[" * 400 + b"]" * 400 + b"}"],
)
def test_an_entry_without_a_canonical_form_is_known_by_its_text(entry: bytes) -> None:
    """A lone surrogate, a number beyond 64 bits, nesting too deep."""
    assert ids(entry) == ids(b"[" + entry + b"]")[:1] == ids(b"[1, " + entry + b"]")[1:]


@given(st.lists(JSON, max_size=5))
def test_any_array_has_an_entry_and_an_id_for_each(values: list[Any]) -> None:
    """Whatever is in it; its texts are those of the entries."""
    body = json.dumps(values).encode()
    pushed = parse_push(REPLIES, APP, body)
    assert len(pushed.records) == len(pushed.ids) == len(values)
    assert [json.loads(text) for text in entry_texts(body)] == values
    assert [entry_id for text in entry_texts(body) for entry_id in ids(f"[{text}]".encode())] == pushed.ids


SPACE = st.text(" \t\r\n\x0b\x1f\x85\xa0\u2028\u3000\ufeff", max_size=3)
BODY = st.binary(max_size=60) | st.builds(
    lambda before, value, after: f"{before}{json.dumps(value)}{after}".encode(),
    SPACE,
    st.lists(JSON, max_size=3) | st.dictionaries(st.text(), JSON, max_size=3),
    SPACE,
)


@given(BODY)
def test_any_bytes_are_a_push_or_none(body: bytes) -> None:
    """Nothing else is raised, and what is a push has the same entries alone or between others."""
    good = json.dumps([a_pushed_reply("1"), a_pushed_reply("2")]).encode()
    try:
        alone = parse_push(REPLIES, APP, body)
    except NotAPushError:
        return
    assert len(alone.records) == len(entry_texts(body))
    between = parse_push(REPLIES, APP, together([good, body, good]))
    assert between.ids == ids(good) + alone.ids + ids(good)
    assert repr(between.records) == repr(records(good) + alone.records + records(good))


@pytest.mark.parametrize("space", ["\u3000", "\xa0", "\u2028", "\x1f"])
def test_a_body_behind_any_space_is_read_alone_and_between_others(space: str) -> None:
    """What has such a space around it is no JSON, but all that is in it is: no entry is lost to it."""
    good = json.dumps([a_pushed_receipt("1"), a_pushed_receipt("2")]).encode()
    odd = f"{space}{json.dumps([a_pushed_receipt('3'), a_pushed_receipt('4')])}{space}".encode()
    assert [record["SerialNo"] for record in records(odd, RECEIPTS)] == ["3", "4"]
    both = records(together([good, odd]), RECEIPTS)
    assert [record["SerialNo"] for record in both] == ["1", "2", "3", "4"]


def test_the_simulator_s_callbacks_are_read() -> None:
    """Two who have read the same documents."""
    reply = a_reply("T", ExtendCode="")
    assert records(callback_body("replies", encode(reply))) == [
        {name: value for name, value in reply.items() if name != "ExtendCode"}
    ]


def test_entries_that_differ_in_a_long_number_are_two() -> None:
    """A parser that rounds numbers beyond 64 bits would make one of them."""
    one, other = (b'{"msgid": 1234567890123456789012%d}' % n for n in (3, 4))
    assert ids(one) != ids(other)
    assert records(one) == [{"msgid": 12345678901234567890123}]
