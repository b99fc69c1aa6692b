"""The journal's files: what a name says, what a file holds, and which of a pull's files counts."""

import json
import zlib
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.api.answers import parse_answer
from sms_source.feeds import FEEDS, REPLIES
from sms_source.journal.file_format import (
    MARKER,
    REMOVAL_ORDER,
    State,
    by_rank,
    decode,
    decode_torn,
    encode,
    file_name,
    format_time,
    is_drain_id,
    is_whole,
    loaded_state,
    new_drain_id,
    parse_name,
    parse_time,
    state_of,
)
from sms_source.journal.pull import NO_RECORD, Pull
from tests.helpers.journals import BODY

DRAIN = "20261124T132000000000Z-0123abcd"
NAME = "000001.replies.1400006666.ap-guangzhou.100.20261124T132000000000Z.answer"
PULL = parse_name(DRAIN, NAME)
STATES: tuple[State, ...] = get_args(State)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9999, 12, 31),  # noqa: DTZ001 - likewise
    timezones=st.just(timezone.utc),
)


def a_file(body: bytes, **changes: Any) -> bytes:
    """Return a file with a sound checksum, and an envelope of one's own."""
    checksum = {"body_bytes": len(body), "body_crc32": zlib.crc32(body)}
    envelope = {"request_id": "r", "answered_at": None, "error": None, **checksum, **changes}
    return json.dumps(envelope).encode() + b"\n" + body


# ---------------------------------------------------------------------------------------------------- names


@given(
    st.integers(1, 10**9),
    st.sampled_from(sorted(FEEDS)),
    st.text("AZaz09_-", min_size=1, max_size=64),
    st.text("az09-", min_size=1, max_size=64),
    st.integers(1, 100),
    MOMENTS,
    st.sampled_from(STATES),
)
def test_a_name_says_all_that_the_ledger_needs(
    number: int, feed: str, app_id: str, region: str, limit: int, requested_at: datetime, state: State
) -> None:
    """Of whatever an option may be: a process that dies leaves nothing but the name."""
    pull = Pull(f"{DRAIN}/{number:06d}", feed, app_id, region, limit, requested_at)
    name = file_name(pull, state)
    assert "/" not in name
    found = parse_name(DRAIN, name)
    assert (found.pull_id, found.feed, found.sms_sdk_app_id) == (pull.pull_id, feed, app_id)
    assert (found.region, found.limit, found.requested_at) == (region, limit, requested_at)
    assert found.in_doubt
    assert state_of(name) == state


@pytest.mark.parametrize(
    "name",
    [
        "",
        f"{NAME}.new",
        f"x{NAME}",
        NAME.replace("replies", "letters"),
        NAME.replace("000001", "1"),
        NAME.replace("answer", "question"),
        NAME.replace("1400006666", "../x"),
        NAME.replace("000001", "００００01"),  # noqa: RUF001 - digits of another script
        f"{NAME}\n",
    ],
)
def test_what_is_no_pull_s_name_is_refused(name: str) -> None:
    """A feed that there is not, too: no table would take its records."""
    with pytest.raises(ValueError, match="it is no file of a pull"):
        parse_name(DRAIN, name)


@given(MOMENTS, MOMENTS)
def test_names_sort_by_time(one: datetime, other: datetime) -> None:
    """To the microsecond; what is oldest is loaded first."""
    assert (format_time(one) < format_time(other)) == (one < other)
    assert parse_time(format_time(one)) == one


def test_an_id_of_a_drain_is_one() -> None:
    """And is another for each drain, however soon they begin after each other."""
    ids = {new_drain_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_drain_id, ids))
    others = ["", "mine", f"{DRAIN}0", DRAIN.upper(), f"{DRAIN}\n", f"20260231{DRAIN[8:]}"]
    assert not any(map(is_drain_id, others))


# ------------------------------------------------------------------------------------------ which file counts


def test_of_a_pull_s_files_the_one_that_says_most_counts() -> None:
    """An intent may hold a whole answer, which a note of doubt beside it never does."""
    names = [NAME.replace("answer", state) for state in ("in_doubt", "intent", "answer")]
    assert by_rank(names) == {"000001": [*reversed(names)]}


def test_pulls_are_in_the_order_of_their_numbers() -> None:
    """Beyond a million, too, where names have a digit more."""
    numbers = ["1000000", "000002", "999999", "000010"]
    assert list(by_rank(NAME.replace("000001", number) for number in numbers)) == [
        "000002",
        "000010",
        "999999",
        "1000000",
    ]


def test_each_state_has_its_turn_when_files_are_removed() -> None:
    """A file in a state that was forgotten would stay, and be loaded again for ever; an intent goes first."""
    assert sorted(REMOVAL_ORDER) == sorted(STATES)
    assert REMOVAL_ORDER[:2] == ("intent", "in_doubt")


@pytest.mark.parametrize(
    ("channel", "error", "state"),
    [
        ("queue", None, "answer"),
        ("queue", "Client.ReadTimeout: x", "in_doubt"),
        ("callback", None, "callback"),
        ("lookup", None, "lookup"),
    ],
)
def test_the_archive_has_a_pull_by_how_it_came(channel: str, error: str | None, state: State) -> None:
    """And gives it back by the same way."""
    moment = parse_time("20261124T132000000000Z")
    pull = Pull(f"{DRAIN}/000001", "replies", "1400006666", "-", 100, moment, error=error, channel=channel)
    assert loaded_state(pull) == state
    assert parse_name(DRAIN, file_name(pull, state)).channel == channel


# ------------------------------------------------------------------------------------------ what a file holds


@pytest.mark.parametrize("record_ids", [None, ["lookup/a/1"]])
def test_what_is_kept_is_what_is_read(record_ids: list[str] | None) -> None:
    """Also with ids of its own for each record, as a look-up's are."""
    answered = PULL.answered(parse_answer(REPLIES, BODY), BODY)
    pull = replace(answered, error=None, record_ids=record_ids)
    assert decode(PULL, encode(pull)) == pull


def test_a_record_like_the_mark_of_an_erased_one_is_a_record() -> None:
    """Only where the envelope says that some were erased, the mark is one: nobody can send it instead."""
    body = json.dumps({"Response": {"PullSmsReplyStatusSet": [MARKER]}}).encode()
    assert decode(PULL, a_file(body)).records == [MARKER]
    assert decode(PULL, a_file(body, erased=1)).records == [NO_RECORD]


def test_a_file_is_whole_whatever_its_body_says() -> None:
    """Whether it was written to its end is one question, whether it is an answer another."""
    content = a_file(b"no answer")
    assert is_whole(content)
    with pytest.raises(ValueError, match="the envelope is not one"):
        decode(PULL, content)
    assert not is_whole(content[:-1])
    assert not is_whole(content.replace(b"no answer", b"No answer"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(
    st.binary(max_size=40)
    | st.builds(lambda value: json.dumps(value).encode() + b"\nx", JSON)
    | st.builds(
        lambda field, value: a_file(BODY, **{field: value}),
        st.sampled_from(["request_id", "answered_at", "error", "body_bytes", "body_crc32"]),
        JSON,
    )
)
def test_a_damaged_file_is_told_as_one_error(content: bytes) -> None:
    """Whatever is in it: any other error would end the run, and each one after it."""
    assert is_whole(content) in (True, False)
    for read in (decode, decode_torn):
        try:
            assert read(PULL, content).pull_id == PULL.pull_id
        except ValueError:
            continue
