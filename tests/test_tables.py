"""How answers become tables."""

import json
from datetime import datetime, timezone
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.api.answers import parse_answer, whole_records
from sms_source.feeds import RECEIPTS, REPLIES
from sms_source.journal.pull import Pull
from sms_source.loading.tables import Tables, to_tables
from tests.conftest import a_reply

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def a_pull(records: list[Any] | bytes, number: int = 1, request_id: str | None = "r1", **fields: Any) -> Pull:
    """Return a pull that was answered with these records."""
    encoded = records if isinstance(records, bytes) else orjson.dumps(records)
    body = b'{"Response": {"PullSmsReplyStatusSet": ' + encoded + b"}}"
    return Pull(
        pull_id=f"d/{number:06d}",
        feed="replies",
        sms_sdk_app_id="1400006666",
        region="ap-guangzhou",
        limit=100,
        requested_at=AT,
        answered_at=AT,
        request_id=request_id,
        records=parse_answer(REPLIES, body).records,
        body=body,
        **fields,
    )


def tables(*pulls: Pull, new_columns: dict[str, set[str]] | None = None) -> Tables:
    """Return the tables of some pulls."""
    return to_tables(pulls, [REPLIES], {} if new_columns is None else new_columns)


def replies(result: Tables) -> pa.Table:
    """Return the table of replies."""
    return result.records["replies"]


def test_a_reply_keeps_every_field_and_gains_its_origin() -> None:
    """A row holds what the person wrote and where to ask about it."""
    assert replies(tables(a_pull([a_reply("T")]))).to_pylist() == [
        {
            "reply_id": "d/000001/0",
            "pull_id": "d/000001",
            "channel": "queue",
            "sms_sdk_app_id": "1400006666",
            "region": "ap-guangzhou",
            "ReplyTime": datetime(2021, 5, 11, 11, 56, 28, tzinfo=timezone.utc),
            "PhoneNumber": "+8612000000001",
            "CountryCode": "86",
            "SubscriberNumber": "12000000001",
            "SignName": "Tencent Cloud",
            "ExtendCode": "11",
            "ReplyContent": "T",
            "keyword": "T",
            "request_id": "r1",
            "pulled_at": AT,
        }
    ]


def test_equal_replies_stay_two_rows() -> None:
    """Two people, or one twice, may send the same text in the same second."""
    pulls = a_pull([a_reply(), a_reply()]), a_pull([a_reply()], 2)
    assert replies(tables(*pulls))["reply_id"].to_pylist() == ["d/000001/0", "d/000001/1", "d/000002/0"]


def test_a_record_goes_by_its_pull_whatever_its_request_id() -> None:
    """Nothing of the API's has to be unique, nor to be there: a replay meets the same row again."""
    result = tables(
        a_pull([a_reply(), {}], request_id=None), a_pull([a_reply()], 2, "r"), a_pull([a_reply()], 3, "r")
    )
    assert replies(result)["reply_id"].to_pylist() == ["d/000001/0", "d/000002/0", "d/000003/0"]
    assert replies(result)["request_id"].to_pylist() == [None, "r", "r"]
    (rejected,) = result.rejected.to_pylist()
    assert (rejected["pull_id"], rejected["position"], rejected["request_id"]) == ("d/000001", 1, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"PhoneNumber": None}, "PhoneNumber is null or absent, not a string"),
        ({"PhoneNumber": 8612}, "PhoneNumber is an integer, not a string"),
        ({"ReplyContent": ["x"]}, "ReplyContent is an array, not a string"),
        ({"SignName": {"x": 1}}, "SignName is an object, not a string"),
        ({"ExtendCode": False}, "ExtendCode is a boolean, not a string"),
        ({"ReplyTime": "1620734188"}, "ReplyTime is a string, not an integer"),
        ({"ReplyTime": 1.5}, "ReplyTime is a number with a fraction, not an integer"),
        ({"ReplyTime": True}, "ReplyTime is a boolean, not an integer"),
        ({"ReplyTime": None}, "ReplyTime is null or absent, not an integer"),
        ({"ReplyTime": 0}, "ReplyTime is not from 1 to 4102444799"),
        ({"ReplyTime": 4102444800}, "ReplyTime is not from 1 to 4102444799"),
    ],
)
def test_a_record_that_does_not_fit_is_set_aside_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    """It neither stops the run nor vanishes, nor takes the good ones beside it along."""
    bad = a_reply(**fields)
    result = tables(a_pull([a_reply("good"), bad, a_reply("too")]))
    assert replies(result)["reply_id"].to_pylist() == ["d/000001/0", "d/000001/2"]
    assert result.rejected.to_pylist() == [
        {
            "feed": "replies",
            "pull_id": "d/000001",
            "request_id": "r1",
            "position": 1,
            "sms_sdk_app_id": "1400006666",
            "reason": reason,
            "record": orjson.dumps(bad).decode(),
            "pulled_at": AT,
        }
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'"text"', "the record is a string, not an object"),
        (b"null", "the record is null or absent, not an object"),
        (b"{]", "not JSON: Expecting property name enclosed in double quotes"),
        (
            b'{"PhoneNumber": "+86", "ReplyTime": 1, "ReplyContent": "\\ud800"}',
            "ReplyContent is not valid Unicode",
        ),
        (
            b'{"PhoneNumber": "+86", "ReplyTime": 1, "New": ' + b"[" * 200 + b"]" * 200 + b"}",
            "a field unknown to this version is nested deeper than 100 levels",
        ),
    ],
)
def test_what_is_no_record_is_set_aside_verbatim(record: bytes, reason: str) -> None:
    """Whatever stood at that place of the answer can be read in the warehouse."""
    result = tables(a_pull(b"[" + orjson.dumps(a_reply()) + b"," + record + b"]"))
    assert replies(result).num_rows == 1
    (rejected,) = result.rejected.to_pylist()
    assert (rejected["record"], rejected["reason"]) == (record.decode(), reason)


def test_text_fields_may_be_null_or_absent() -> None:
    """Only the phone number and the time make a reply."""
    (row,) = replies(tables(a_pull([{"PhoneNumber": "+86", "ReplyTime": 1, "SignName": None}]))).to_pylist()
    assert (row["SignName"], row["ReplyContent"], row["PhoneNumber"]) == (None, None, "+86")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_person_writes_arrives_unchanged(content: str) -> None:
    """Emoji, right-to-left, NUL and control characters, quotes: any Unicode, any length."""
    assert replies(tables(a_pull([a_reply(content)])))["ReplyContent"].to_pylist() == [content]


def test_a_field_that_the_api_adds_arrives_as_a_column_of_text() -> None:
    """Strings as they are, all else as JSON, so that no later type can clash."""
    records = [a_reply(MessageId="m-1"), a_reply(), a_reply(MessageId=5), a_reply(MessageId={"a": ["ü"]})]
    column = replies(tables(a_pull(records)))["MessageId"].to_pylist()
    assert column == ["m-1", None, "5", '{"a": ["ü"]}']


def test_a_new_field_that_could_clash_with_a_column_goes_with_the_others() -> None:
    """No name that the API might choose can overwrite a column or make the table unreadable."""
    names = ["reply_id", "RequestId", "_dlt_load_id", "", "a b", "中文", "foo_bar", "FooBar", "phonenumber"]
    table = replies(tables(a_pull([a_reply(**dict.fromkeys(names, "x")), a_reply()])))
    assert table["foo_bar"].to_pylist() == ["x", None]
    assert table["reply_id"].to_pylist() == ["d/000001/0", "d/000001/1"]
    others, nothing = table["OtherFields"].to_pylist()
    assert orjson.loads(others).keys() == set(names) - {"foo_bar"}
    assert nothing is None


def test_new_columns_are_bounded() -> None:
    """A server that invents names makes one column of them, not a table of thousands."""
    columns: dict[str, set[str]] = {"replies": set()}
    first = replies(tables(a_pull([a_reply(**{f"x{n}": n for n in range(60)})]), new_columns=columns))
    second = replies(tables(a_pull([a_reply(x1="again", y="new")]), new_columns=columns))
    assert len([name for name in first.column_names if name.startswith("x")]) == 50
    assert second["x1"].to_pylist() == ["again"]
    assert second["OtherFields"].to_pylist() == ['{"y": "new"}']


def test_a_new_field_with_a_lone_surrogate_is_escaped() -> None:
    """It is no reason to set the reply aside."""
    record = orjson.dumps(a_reply(New="@")).replace(b"@", b"\\ud800")
    result = tables(a_pull(b"[" + record + b', {"New": ["\\udfff"], "PhoneNumber": "", "ReplyTime": 1}]'))
    assert replies(result)["New"].to_pylist() == ['"\\ud800"', '["\\udfff"]']


def test_the_ledger_has_a_row_for_each_pull() -> None:
    """With what it handed out, or what it may have lost."""
    doubted = Pull("d/000002", "replies", "1400006666", "ap-guangzhou", 30, AT, error="Client.ReadTimeout: x")
    answered, in_doubt = tables(a_pull([a_reply(), {}]), doubted).pulls.to_pylist()
    assert (answered["pull_id"], answered["outcome"], answered["records"], answered["at_risk"]) == (
        "d/000001",
        "answered",
        2,
        0,
    )
    assert in_doubt == {
        "pull_id": "d/000002",
        "feed": "replies",
        "sms_sdk_app_id": "1400006666",
        "region": "ap-guangzhou",
        "request_id": None,
        "requested_at": AT,
        "answered_at": None,
        "outcome": "in_doubt",
        "records": 0,
        "at_risk": 30,
        "error": "Client.ReadTimeout: x",
    }


def test_what_a_broken_answer_brought_whole_is_rows_of_a_pull_in_doubt() -> None:
    """It did reach this machine; the ledger bounds what did not."""
    body = a_pull([a_reply("a"), {"bad": 1}, a_reply("b")]).body[:-40]
    came = whole_records(REPLIES, body)
    doubted = Pull("d/000002", "replies", "1400006666", "ap-guangzhou", 30, AT)
    result = tables(doubted.doubted("Client.TruncatedBody: x", None, body, came.records))
    assert replies(result)["ReplyContent"].to_pylist() == ["a"]
    assert result.rejected["record"].to_pylist() == ['{"bad":1}']
    (row,) = result.pulls.to_pylist()
    assert (row["outcome"], row["records"], row["at_risk"]) == ("in_doubt", 2, 28)


def test_a_broken_answer_s_record_that_is_no_utf_8_is_set_aside_with_its_bytes_escaped() -> None:
    """Its text could not be written into any table, and would stop every later run."""
    body = a_pull([a_reply("a")]).body.replace(b"}]}}", b'}, {"ReplyContent": "\xff" }, {"a":  1}, {"b"')
    came = whole_records(REPLIES, body)
    doubted = Pull("d/000002", "replies", "1400006666", "ap-guangzhou", 30, AT)
    result = tables(doubted.doubted("Client.TruncatedBody: x", None, body, came.records))
    assert replies(result)["ReplyContent"].to_pylist() == ["a"]
    assert result.rejected["record"].to_pylist() == ['{"ReplyContent": "\\xff" }', '{"a":  1}']


def a_receipt(**fields: Any) -> dict[str, Any]:
    """Return a receipt as the API hands it out."""
    return {
        "UserReceiveTime": 1_620_734_188,
        "CountryCode": "86",
        "PhoneNumber": "+8612000000001",
        "SubscriberNumber": "12000000001",
        "SerialNo": "5000:1045710669157053657849499619",
        "ReportStatus": "SUCCESS",
        "Description": "DELIVRD",
        "SessionContext": "",
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({}, "ReportStatus", "SUCCESS"),
        ({"UserReceiveTime": 0, "ReportStatus": "FAIL"}, "UserReceiveTime", None),
        ({"UserReceiveTime": None}, "UserReceiveTime", None),
        ({"SessionContext": None}, "SessionContext", None),
        ({"Description": "012"}, "Description", "012"),
    ],
)
def test_a_receipt_may_lack_its_time_and_context(fields: dict[str, Any], column: str, value: Any) -> None:
    """A failed message has none that is documented; a carrier's code stays the text that it is."""
    body = orjson.dumps({"Response": {"PullSmsSendStatusSet": [a_receipt(**fields)]}})
    pull = Pull("d/000001", "receipts", "1400006666", "ap-guangzhou", 100, AT)
    result = to_tables([pull.answered(parse_answer(RECEIPTS, body), body)], [RECEIPTS], {})
    (row,) = result.records["receipts"].to_pylist()
    assert (row["receipt_id"], row["channel"], row[column]) == ("d/000001/0", "queue", value)
    assert result.rejected.num_rows == 0


def test_a_row_keeps_the_load_id_that_it_first_came_with() -> None:
    """A replay must not make yesterday's rows look new to whoever exports by it."""
    pulls = a_pull([a_reply(), {}], load_id="1.5"), a_pull([a_reply(), {}], 2)
    result = to_tables(pulls, [REPLIES], {}, "2.5")
    for table in (replies(result), result.pulls, result.rejected):
        assert table["_dlt_load_id"].to_pylist() == ["1.5", "2.5"]


def test_a_feed_without_pulls_has_an_empty_table() -> None:
    """So that it exists after the first load, with the types that it will have."""
    result = to_tables([], [REPLIES, RECEIPTS], {})
    assert {name: table.num_rows for name, table in result.by_name().items()} == {
        "replies": 0,
        "receipts": 0,
        "pulls": 0,
        "rejected_records": 0,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(sorted(a_reply())) | st.text(max_size=5)


@given(st.lists(st.dictionaries(NAMES, JSON, max_size=8) | JSON, max_size=4))
def test_every_record_is_either_a_reply_or_rejected(records: list[Any]) -> None:
    """No mix of good and bad records loses one, doubles one, or stops the run."""
    encoded = json.dumps([a_reply(), *records, a_reply()]).encode()
    result = tables(a_pull(encoded))
    fitting = [int(i.rpartition("/")[2]) for i in replies(result)["reply_id"].to_pylist()]
    rejected = result.rejected["position"].to_pylist()
    assert sorted(fitting + rejected) == list(range(len(records) + 2))
    assert {0, len(records) + 1} <= set(fitting)
