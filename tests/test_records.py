"""Which records fit, and where the fields go that this version does not know."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.feeds import FEEDS, RECEIPTS, REPLIES, Feed
from sms_source.loading.records import (
    OTHER_FIELDS,
    known_new_columns,
    misfit,
    new_fields,
    plain_name,
)
from sms_source.loading.tables import known_columns
from sms_source.settings import NEWEST_TIME, OLDEST_TIME
from tests.conftest import a_reply
from tests.recovery.conftest import receipt_of

WORDS = "what a person wrote"
NUMBER = "+8613712345678"


def fields_of(*records: dict[str, Any], new_columns: set[str] | None = None) -> dict[str, list[str | None]]:
    """Return the columns of what this version does not know of some replies."""
    columns = set() if new_columns is None else new_columns
    return new_fields(REPLIES, [*records], columns, known_columns(REPLIES))


def nested(levels: int) -> list[Any]:
    """Return an array in an array, and so on."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# -------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize("time", [OLDEST_TIME, NEWEST_TIME])
def test_a_time_may_be_at_either_end(time: int) -> None:
    """What is just beyond does not fit, as no table would hold it as a moment of somebody's."""
    assert misfit(REPLIES, a_reply(ReplyTime=time)) is None
    for beyond in (OLDEST_TIME - 1, NEWEST_TIME + 1):
        assert misfit(REPLIES, a_reply(ReplyTime=beyond)) == "ReplyTime is not from 1 to 4102444799"


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (0, None),
        (None, None),
        (OLDEST_TIME, None),
        (-1, "UserReceiveTime is not from 1 to 4102444799"),
        (False, "UserReceiveTime is a boolean, not an integer"),
        (0.0, "UserReceiveTime is a number with a fraction, not an integer"),
        ("0", "UserReceiveTime is a string, not an integer"),
    ],
)
def test_the_time_of_a_receipt_may_be_none_and_nothing_else_that_equals_it(
    time: Any, reason: str | None
) -> None:
    """The API says 0 for none; false and 0.0 equal it in Python, and are something else in JSON."""
    assert misfit(RECEIPTS, receipt_of(1, UserReceiveTime=time)) == reason


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_a_record_needs_what_its_feed_requires(feed: Feed) -> None:
    """And no other text: of a receipt, whether the message arrived is what makes it one."""
    record = a_reply() if feed is REPLIES else receipt_of(1)
    for name in feed.text_fields:
        without = {key: value for key, value in record.items() if key != name}
        reason = f"{name} is null or absent, not a string" if name in feed.required_fields else None
        assert misfit(feed, record) is None
        assert misfit(feed, without) == reason


def test_a_field_may_be_as_deep_as_a_column_takes() -> None:
    """A hundred levels; a hundred thousand are told as well, and stop no run."""
    reason = "a field unknown to this version is nested deeper than 100 levels"
    assert misfit(REPLIES, a_reply(New=nested(100))) is None
    assert misfit(REPLIES, a_reply(New={"a": nested(99)})) is None
    for deep in (nested(101), {"a": nested(100)}, nested(100_000)):
        assert misfit(REPLIES, a_reply(New=deep)) == reason


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([WORDS, f"{WORDS}\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just(WORDS), inner, max_size=1),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from([*a_reply(), WORDS]), VALUES) | VALUES)
def test_a_reason_never_says_what_a_person_wrote(record: Any) -> None:
    """It stands in the table of what does not fit, and in logs, where nobody looks for a person's words."""
    assert WORDS not in (misfit(REPLIES, record) or "")


# -------------------------------------------------------------------------------------- what becomes a column


@pytest.mark.parametrize("name", ["a", "MessageId", "message_id", "A1", "a" * 50])
def test_a_name_that_any_destination_takes_is_a_column(name: str) -> None:
    """As it came: dlt's naming makes of it what the other columns are named like."""
    assert fields_of(a_reply(**{name: "x"})) == {name: ["x"]}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_a",
        "a_",  # dlt's naming makes `ax` of it, which may be there already
        "1a",
        "a.b",
        "a" * 51,
        "ä",
        "a\n",
        "phone_number",
        "replydate",
        "m8613712345678",
        NUMBER,
    ],
)
def test_any_other_name_is_no_column(name: str) -> None:
    """A column's name stays for good, and is seen by everybody: no number of a person's may become one."""
    (columns,) = fields_of(a_reply(**{name: "x"})).items()
    assert columns == (OTHER_FIELDS, [json.dumps({name: "x"}, ensure_ascii=False)])


def test_of_names_that_a_destination_takes_for_one_the_first_is_the_column() -> None:
    """The other's values are not mixed with it, whatever batch brings them."""
    seen: set[str] = set()
    first = fields_of(a_reply(message_id="a", MessageId="b"), new_columns=seen)
    assert first == {"message_id": ["a"], OTHER_FIELDS: ['{"MessageId": "b"}']}
    assert seen == {"messageid"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (None, None),
        (True, "true"),
        (1.0, "1.0"),
        (2**70, str(2**70)),
        ([], "[]"),
        ("5", "5"),
        (5, "5"),
    ],
)
def test_a_value_is_text_whatever_its_type(value: Any, text: str | None) -> None:
    """So that no later record can be of a type that the column does not take; null stays null."""
    assert fields_of(a_reply(New=value)) == {"New": [text]}


NAMES = st.sampled_from([*a_reply(), "New", "new", "n_ew", "a_", NUMBER, *(f"x{n}" for n in range(60))])


@given(st.lists(st.dictionaries(NAMES, st.text(max_size=3) | st.integers(), max_size=60), max_size=2))
def test_no_field_is_left_out(records: list[dict[str, Any]]) -> None:
    """Whatever names come together: each value is in the column of its name, or among the others."""
    columns = fields_of(*records)
    own = columns.keys() - {OTHER_FIELDS}
    assert len(own) <= 50
    assert len({plain_name(name) for name in own}) == len(own)
    assert not {plain_name(name) for name in own} & known_columns(REPLIES)
    for position, record in enumerate(records):
        unknown = {name: value for name, value in record.items() if name not in REPLIES.fields}
        kept = {name: value for name, value in unknown.items() if name in own}
        assert {name: columns[name][position] for name in kept} == {n: str(v) for n, v in kept.items()}
        others = columns[OTHER_FIELDS][position] if OTHER_FIELDS in columns else None
        assert json.loads(others or "{}") == {n: v for n, v in unknown.items() if n not in own}


def test_the_columns_of_earlier_loads_are_told_from_those_that_this_version_knows() -> None:
    """By names in which destinations may differ; those that dlt adds are nobody's fields."""
    known = known_columns(REPLIES)
    table = ["reply_id", "REPLY_CONTENT", "other_fields", "_dlt_load_id", "_dlt_id", "message_id", "Port"]
    assert known_new_columns(table, known) == {"messageid", "port"}
