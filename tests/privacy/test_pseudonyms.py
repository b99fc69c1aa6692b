"""Pseudonyms: no number in any table, and the same pseudonym for the same person."""

import hashlib
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.privacy.numbers import RUN
from sms_source.privacy.pseudonym import without_numbers
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.privacy.keys import KEY
from tests.privacy.scan import found, texts_of

SECRET = "a secret of some length"
NUMBER, DIGITS, NATIONAL = "+8613712345678", "8613712345678", "13712345678"
PERSON = sms_source.pseudonym(NUMBER, SECRET)
WIDE = "".join(chr(ord(char) + 0xFEE0) for char in NUMBER)
"""As a Chinese keyboard writes it."""
ARABIC = "+" + "".join(chr(ord("\u0660") + int(digit)) for digit in DIGITS)


def test_a_pseudonym_has_the_documented_form() -> None:
    """Whoever has the key can compute it anywhere: HMAC-SHA256, 16 bytes, hexadecimal in letters."""
    digest = hmac.new(SECRET.encode(), b"+8613712345678", hashlib.sha256).hexdigest()[:32]
    assert "p_" + "".join("abcdefghijklmnop"[int(char, 16)] for char in digest) == PERSON
    assert re.fullmatch(r"p_[a-p]{32}", PERSON)


@given(st.text(max_size=100), st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_it_is_the_hmac_of_any_library(key: str, number: str) -> None:
    """For a key of any length."""
    digest = hmac.new(key.encode(), number.encode(), hashlib.sha256).hexdigest()[:32]
    assert sms_source.pseudonym(number, key) == "p_" + digest.translate(
        str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    )


@pytest.mark.parametrize(
    "number", ["0086 137-1234-5678", "+86 (137) 1234 5678", "  (+86) 137 1234 5678", WIDE, ARABIC]
)
def test_one_number_has_one_pseudonym_however_it_is_written(number: str) -> None:
    """A list of recipients spells numbers in its own way."""
    assert sms_source.pseudonym(number, SECRET) == PERSON


def test_other_numbers_and_other_keys_give_others() -> None:
    """Without the key nobody can try numbers; one without its country is no other country's."""
    numbers = (NUMBER, DIGITS, NATIONAL, f"+{NATIONAL}")
    assert (
        len({sms_source.pseudonym(NUMBER, SECRET + "!"), *(sms_source.pseudonym(n, SECRET) for n in numbers)})
        == 5
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call me: 13712345678!", f"call me: {PERSON}!"),
        ("+8613712345678", PERSON),
        ("008613712345678 or 13800138000", f"{PERSON} or ***"),
        (WIDE[3:], PERSON),
        (ARABIC, PERSON),
        ("137-1234-5678 or +86 137 1234 5678, or 138 0013 8000", f"{PERSON} or {PERSON}, or ***"),
        ("+13712345678 is American", "*** is American"),
        ("order 1234567", "order ***"),
        ("on 2026-11-24 at 13:20:00, 100 200", "on 2026-11-24 at 13:20:00, 100 200"),
        ("code 123456, 5分", "code 123456, 5分"),
        (r'{"x": "\u0031371234567\u0038"}', f'{{"x": "{PERSON}"}}'),
        (r"a \u0031 stays", r"a \u0031 stays"),
        ("\\u0661" * 7, "***"),
        ("\\ud835\\udfcf" * 7, "***"),
        (r'{"a": "\\u00311234567"}', r'{"a": "\\u***"}'),
        (
            r'{"a\"": 13712345678, "b": [1380013800, -1.3800138, 5, "x 13800138000"]}',
            rf'{{"a\"": "{PERSON}", "b": ["***", "-1.***", 5, "x ***"]}}',
        ),
        ("[call 138 0013 8000]", "[call ***]"),
    ],
)
def test_runs_of_digits_in_a_text_are_replaced(text: str, expected: str) -> None:
    """The row's own number by its pseudonym, any other by a mask; what is shorter stays."""
    assert without_numbers(text, [NUMBER], SECRET) == expected


@given(
    st.recursive(
        st.none() | st.integers() | st.text('0123456789 -\\"u', max_size=20) | st.just(int(NATIONAL)),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("12345678 \\", max_size=9), inner)
        ),
        max_leaves=5,
    ).map(lambda value: [value]),
    st.booleans(),
)
def test_what_is_json_stays_json(value: list[Any], ascii_only: bool) -> None:  # noqa: FBT001
    """A number in it becomes a string; what has no run of digits stays as it is."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    without = without_numbers(text, [NUMBER], SECRET)
    assert json.loads(without) == value or RUN.search(text)
    assert not RUN.search(without)


def test_what_tencent_cloud_adds_or_gets_wrong_hides_no_number(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """A number in the name of a new field makes no column of it; a rejected record is JSON where it was."""
    configured.enqueue(
        APP,
        [
            a_reply("1", PhoneNumber=NUMBER, **{f"p{NATIONAL}": "a", "Note": "b"}),
            b'{"PhoneNumber": "' + NUMBER.encode() + b'", "ReplyTime": 1620734188, "SignName": 5}',
            b'{"ReplyTime": "\\u0661\\u0663\\u0668\\u0661\\u0662\\u0663\\u0664\\u0665"}',
        ],
    )
    sms_source.load(pseudonym_key=SECRET)
    columns = [name for (name,) in warehouse.query("select column_name from information_schema.columns")]
    assert "note" in columns
    assert not [name for name in columns if NATIONAL in name]
    assert warehouse.query("select other_fields from sms.replies") == [(f'{{"p{PERSON}": "a"}}',)]
    records = [json.loads(record) for (record,) in warehouse.query("select record from sms.rejected_records")]
    assert records == [{"PhoneNumber": PERSON, "ReplyTime": "***", "SignName": 5}, {"ReplyTime": "***"}]


def test_an_unknown_field_with_the_name_of_another_tables_column_hides_no_number(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """What is no number in one table may be one in another, where Tencent Cloud adds it."""
    fields = ("feed", "outcome", "SerialNo", "receipt_id")
    configured.enqueue(APP, [a_reply("1", PhoneNumber=NUMBER, **dict.fromkeys(fields, NATIONAL))])
    receipt = {"PhoneNumber": NUMBER, "UserReceiveTime": 1_620_734_188, "ReportStatus": "SUCCESS"}
    fields = ("keyword", "ExtendCode", "reply_id", "outcome")
    configured.enqueue(APP, [{**receipt, **dict.fromkeys(fields, NATIONAL)}], feed="receipts")
    sms_source.load(pseudonym_key=SECRET, pull_feeds=["replies", "receipts"])
    assert warehouse.query("select feed, outcome, serial_no, receipt_id from sms.replies") == [(PERSON,) * 4]
    assert warehouse.query("select keyword, extend_code, reply_id, outcome from sms.receipts") == [
        (PERSON,) * 4
    ]


@pytest.mark.long
def test_no_table_holds_a_number(configured: SimulatorProcess, warehouse: Warehouse, tmp_path: Path) -> None:
    """In columns, texts, unknown fields and rejected records; with an encrypted journal on no disk at all."""
    person = {"PhoneNumber": NUMBER, "SubscriberNumber": NATIONAL}
    configured.enqueue(
        APP,
        [
            a_reply(f"I am {NATIONAL}, my wife is 13800138000", **person),
            a_reply("13800138000", **person, Operator={"from": NUMBER, "n": 13800138000}),
            a_reply("退订", **person, Note="vote 5"),
            a_reply("x", **{**person, "SignName": 5}),
            a_reply("y", **{**person, "PhoneNumber": 8613712345678}),
            a_reply("lone surrogate \ud83d", **person),
            b'{"PhoneNumber": "+86137\\u00312345678", "ReplyTime": nope}',
        ],
    )
    sms_source.load(pseudonym_key=SECRET, journal_encryption_key=KEY)
    rows = warehouse.query(
        "select phone_number, country_code, subscriber_number, reply_content, keyword, extend_code, "
        "operator, note from sms.replies order by reply_id"
    )
    assert rows == [
        (PERSON, "86", None, f"I am {PERSON}, my wife is ***", None, "11", None, None),
        (PERSON, "86", None, "***", None, "11", f'{{"from": "{PERSON}", "n": "***"}}', None),
        (PERSON, "86", None, "退订", "退订", "11", None, "vote 5"),
    ]
    rejected = [
        record for (record,) in warehouse.query("select record from sms.rejected_records order by position")
    ]
    assert [PERSON in record for record in rejected] == [True, True, True, False]
    assert len(rejected) == 4
    texts = texts_of(warehouse)
    assert not [text for text in texts if NATIONAL in text or "13800138000" in text]
    assert found(tmp_path, [NATIONAL, "13800138000"]) == set()


@pytest.mark.long
def test_a_replay_turns_numbers_that_are_there_into_pseudonyms(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Turned on later, it holds for new rows; the archive is loaded again for the old ones."""
    configured.enqueue(APP, [a_reply("1", PhoneNumber=NUMBER)])
    sms_source.load()
    configured.enqueue(APP, [a_reply("2", PhoneNumber=NUMBER)])
    sms_source.load(pseudonym_key=SECRET)
    query = "select reply_content, phone_number from sms.replies order by 1"
    assert warehouse.query(query) == [("1", NUMBER), ("2", PERSON)]
    sms_source.load(pseudonym_key=SECRET, replay=True)
    assert warehouse.query(query) == [("1", PERSON), ("2", PERSON)]
    assert not [text for text in texts_of(warehouse) if DIGITS in text]


def test_the_source_for_ones_own_pipeline_knows_pseudonyms(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Not `load()` alone."""
    configured.enqueue(APP, [a_reply("1", PhoneNumber=NUMBER)])
    warehouse.run(pseudonym_key=SECRET, journal_encryption_key=KEY)
    assert warehouse.query("select phone_number from sms.replies") == [(PERSON,)]


def test_a_short_key_is_refused_and_not_shown(configured: SimulatorProcess) -> None:
    """A key that can be guessed protects nobody."""
    with pytest.raises(ConfigurationError, match="pseudonym_key has 7 characters") as caught:
        sms_source.load(pseudonym_key="7secret")
    assert "7secret" not in str(caught.value)


@pytest.mark.long
def test_views_and_the_page_work_on_pseudonyms(
    configured: SimulatorProcess, warehouse: Warehouse, tmp_path: Path
) -> None:
    """An opt-out is told by its pseudonym, which whoever has the key can match with a list."""
    from sms_source.report import write_report

    now = int(time.time())
    configured.enqueue(APP, [a_reply(text, PhoneNumber=NUMBER, ReplyTime=now) for text in ("5", "stop")])
    sms_source.load(pseudonym_key=SECRET)
    assert warehouse.query("select phone_number, keyword, opted_out_at is not null from sms.opt_outs") == [
        (PERSON, "STOP", True)
    ]
    page = tmp_path / "page.html"
    write_report(warehouse.pipeline(), page, full_numbers=True)
    assert PERSON in page.read_text(encoding="utf-8")
