"""What is erased from a pull's file: a person's records, and nothing of anybody else."""

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.api.answers import parse_answer, whole_records
from sms_source.errors import ConfigurationError
from sms_source.feeds import REPLIES
from sms_source.journal.file_format import MARKER, decode, decode_torn, encode, parse_name
from sms_source.journal.pull import NO_RECORD
from sms_source.loading.tables import to_tables
from sms_source.privacy.erasing import Eraser
from sms_source.privacy.people import People
from tests.conftest import a_reply

NUMBER, DIGITS, NATIONAL = "+8613712345678", "8613712345678", "13712345678"
OTHERS = ["+8613800138000", "+4413712345678", "+15551234567"]
PULL = parse_name(
    "20261124T132000000000Z-0123abcd",
    "000001.replies.1400006666.ap-guangzhou.100.20261124T132000000000Z.answer",
)


def body_of(texts: list[str]) -> bytes:
    """Return an answer's body with these records."""
    return f'{{"Response": {{"PullSmsReplyStatusSet": [{",".join(texts)}], "RequestId": "r"}}}}'.encode()


def content_of(body: bytes, error: str | None = None) -> bytes:
    """Return the file of a pull with this body."""
    answered = PULL.answered(parse_answer(REPLIES, body_of([])), body)
    return encode(replace(answered, error=error))


def erase(content: bytes, *numbers: str) -> tuple[bytes, int]:
    """Return the file without these people's records, and how many these were."""
    eraser = Eraser(People(numbers or [NUMBER]))
    return eraser.pull("replies", content), eraser.erased.total()


records = st.builds(
    lambda number, text, **rest: a_reply(text, PhoneNumber=number, **rest),
    st.sampled_from([NUMBER, *OTHERS]),
    st.text(max_size=20),
)


@given(st.lists(records, max_size=8), st.booleans())
def test_other_peoples_records_keep_their_places(found: list[dict[str, Any]], ascii_only: bool) -> None:  # noqa: FBT001
    """And so their ids; theirs become markers, and a second time changes nothing."""
    content = content_of(body_of([json.dumps(record, ensure_ascii=ascii_only) for record in found]))
    erased, count = erase(content)
    expected = [NO_RECORD if record["PhoneNumber"] == NUMBER else record for record in found]
    assert decode(PULL, erased).records == expected
    assert count == expected.count(NO_RECORD)
    assert erase(erased) == (erased, 0)
    assert erased == content or json.loads(erased.partition(b"\n")[0])["erased"] == count


@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_a_broken_answer_keeps_what_is_whole_and_other_peoples(
    found: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Wherever it broke off, nothing of the person is left, and what else was whole is still there."""
    body = body_of([json.dumps(record, ensure_ascii=False) for record in found])
    cut = body[: data.draw(st.integers(0, len(body)))]
    before = whole_records(REPLIES, cut).records
    erased, _ = erase(content_of(cut, error="Client.TruncatedBody: x"))
    pull = decode(PULL, erased)
    assert pull.records == [NO_RECORD if record["PhoneNumber"] == NUMBER else record for record in before]
    assert pull.in_doubt
    assert NUMBER.encode() not in erased
    others = [record["ReplyContent"] for record in found if record["PhoneNumber"] != NUMBER]
    for record in found[len(before) :]:
        text = record["ReplyContent"]
        if record["PhoneNumber"] == NUMBER and not any(other.startswith(text) for other in others):
            assert f'"ReplyContent": {json.dumps(text, ensure_ascii=False)[:-1]}'.encode() not in pull.body


def test_an_answer_that_broke_off_in_its_request_id_keeps_other_peoples_records() -> None:
    """Half a RequestId must not make what follows it unreadable."""
    body = body_of([json.dumps(a_reply("1", PhoneNumber=n)) for n in (NUMBER, *OTHERS)])
    cut = body[: body.index(b'"RequestId": "') + len(b'"RequestId": "')]
    erased, _ = erase(content_of(cut, error="Client.TruncatedBody: x"))
    assert decode(PULL, erased).records == [NO_RECORD, *whole_records(REPLIES, cut).records[1:]]


def test_a_half_written_answer_keeps_what_is_whole_of_others() -> None:
    """A kill in the middle of writing leaves a pull in doubt with some records, and it stays one."""
    content = content_of(body_of([json.dumps(a_reply("1", PhoneNumber=n)) for n in (NUMBER, *OTHERS)]))
    torn = content[:-150] + bytes(1000)
    before = decode_torn(PULL, torn)
    erased = Eraser(People([NUMBER])).pull("replies", torn, state="intent")
    after = decode(PULL, erased)
    assert after.records == [NO_RECORD, *before.records[1:]]
    assert after.error == before.error
    assert NUMBER.encode() not in erased
    with pytest.raises(ValueError, match="not whole"):
        Eraser(People([NUMBER])).pull("replies", torn)


def test_an_erased_record_is_neither_a_row_nor_rejected() -> None:
    """A replay does not bring it back, in any form."""
    erased, _ = erase(
        content_of(body_of([json.dumps(a_reply("1", PhoneNumber=n)) for n in (NUMBER, *OTHERS)]))
    )
    tables = to_tables([decode(PULL, erased)], [REPLIES], {})
    assert tables.records["replies"]["reply_id"].to_pylist() == [f"{PULL.pull_id}/{n}" for n in (1, 2, 3)]
    assert tables.rejected.num_rows == 0
    assert tables.pulls["records"].to_pylist() == [4]
    assert "ErasedBySmsSource" not in tables.records["replies"].column_names


@pytest.mark.parametrize(
    "record",
    [
        a_reply("x", PhoneNumber=8613712345678, CountryCode=None, SubscriberNumber=None),
        a_reply("x", PhoneNumber=8613712345678),
        a_reply("x", PhoneNumber=int(NATIONAL)),
        a_reply("x", PhoneNumber=None, CountryCode="86", SubscriberNumber=NATIONAL),
        {"nationcode": "86", "mobile": NATIONAL, "text": "x"},
        {"nationcode": "+86", "mobile": int(NATIONAL), "text": "x"},
        {"mobile": NATIONAL, "text": "x"},
        {"mobile": NUMBER, "nationcode": "1"},
        [NUMBER],
        f"from {NATIONAL}",
    ],
)
def test_a_record_that_does_not_fit_is_found_by_what_it_says(record: Any) -> None:
    """As a number, in its parts, or anywhere in it."""
    assert erase(content_of(body_of([json.dumps(record)])))[1] == 1


def test_a_record_that_is_no_json_is_found_by_its_text() -> None:
    """Escaped digits hide nobody."""
    for text in (
        f'{{"PhoneNumber": "{NUMBER}", "ReplyTime": nope}}',
        '{"a": "+86137\\u0031\\u0032345678", "b": nope}',
    ):
        erased, count = erase(content_of(body_of([text, json.dumps(a_reply("1"))])))
        assert count == 1
        assert decode(PULL, erased).records == [NO_RECORD, a_reply("1")]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"nationcode": "1", "mobile": "2025550100", "text": f"my friend {NATIONAL}"}),
        json.dumps({"nationcode": "44", "mobile": NATIONAL, "text": "x"}),
        json.dumps({"CountryCode": "1", "SubscriberNumber": NATIONAL[1:], "ReplyContent": "x"}),
        json.dumps({"mobile": "2025550100", "text": f"my friend {NUMBER}"}),
        json.dumps({"text": f"my friend +{NATIONAL}"}),
        f'{{"nationcode": "1", "mobile": "2025550100", "text": "{NUMBER}", "time": nope}}',
    ],
)
def test_a_record_that_names_somebody_else_is_not_theirs(text: str) -> None:
    """By both parts of a number, by a national one, and where the record is no JSON."""
    content = content_of(body_of([text]))
    assert erase(content) == (content, 0)


def test_a_number_without_its_country_is_not_the_one_abroad_with_its_digits() -> None:
    """A national number is of whoever has it in any country, and is not read as country code and rest."""
    content = content_of(body_of([json.dumps({"mobile": NATIONAL, "text": "x"})]))
    assert erase(content, f"+{NATIONAL}") == (content, 0)
    assert erase(content, f"+44{NATIONAL}")[1] == 1


def test_what_others_write_about_a_person_is_theirs() -> None:
    """The record of somebody else stays, whatever it says."""
    content = content_of(body_of([json.dumps(a_reply(f"ask {NUMBER}", PhoneNumber=OTHERS[0]))]))
    assert erase(content) == (content, 0)


def test_bytes_that_are_no_unicode_stay_as_they_came() -> None:
    """Somebody else's record is not touched."""
    other = b'{"PhoneNumber": "' + OTHERS[0].encode() + b'", "ReplyContent": "\xff\xfe"}'
    body = body_of([json.dumps(a_reply("1", PhoneNumber=NUMBER))]).replace(b"], ", b", " + other + b"], ")
    erased, count = erase(content_of(body))
    assert count == 1
    assert other in erased


def test_one_persons_national_number_is_not_anothers() -> None:
    """Two numbers that differ in their country code alone are two people, also when both are asked for."""
    content = content_of(
        body_of([json.dumps(a_reply("1", PhoneNumber=n)) for n in (NUMBER, "+4413712345678")])
    )
    eraser = Eraser(People([NUMBER, "+44 13712345678"]))
    eraser.pull("replies", content)
    assert eraser.erased == {DIGITS: 1, "4413712345678": 1}
    assert erase(content)[1] == 1


def test_a_body_that_is_no_answer_goes_whole_if_it_names_somebody() -> None:
    """A page of a proxy that echoes a number."""
    content = content_of(f"<html>{NUMBER}</html>".encode(), error="Client.NotAnAnswer: x")
    erased, count = erase(content)
    assert (decode(PULL, erased).body, count) == (b"", 1)
    content = content_of(b"<html></html>", error="Client.NotAnAnswer: x")
    assert erase(content) == (content, 0)


@pytest.mark.parametrize("number", ["", "12345", "1" * 16, "nobody", NATIONAL, DIGITS])
def test_what_is_no_number_is_refused_and_not_shown(number: str) -> None:
    """A number is told by its place in the list; without its country, it could be several people's."""
    with pytest.raises(ConfigurationError, match=r"Number 2 to forget (has|begins)") as caught:
        People([NUMBER, number])
    assert not number or f"{number} " not in str(caught.value)


def test_the_envelope_holds_after_an_erasure() -> None:
    """Length and checksum are the new body's, and all else of it stays."""
    content = content_of(body_of([json.dumps(a_reply("1", PhoneNumber=NUMBER))]))
    erased, _ = erase(content)
    envelope, _, body = erased.partition(b"\n")
    told = json.loads(envelope)
    assert (told["body_bytes"], told["body_crc32"]) == (len(body), zlib.crc32(body))
    assert told["answered_at"] == json.loads(content.partition(b"\n")[0])["answered_at"]
    assert json.loads(body)["Response"]["PullSmsReplyStatusSet"] == [MARKER]
    assert encode(decode(PULL, erased)) == erased


def test_the_id_of_a_looked_up_record_goes_with_it() -> None:
    """It is a digest of the record: whoever guesses what somebody wrote could tell by it that they did."""
    found = [a_reply("1", PhoneNumber=number) for number in (OTHERS[0], NUMBER, OTHERS[1])]
    body = body_of([json.dumps(record) for record in found])
    pull = replace(PULL.answered(parse_answer(REPLIES, body), body), channel="lookup")
    content = encode(replace(pull, record_ids=["lookup/a", "lookup/b", "lookup/c"]))
    erased, _ = erase(content)
    assert b"lookup/b" not in erased
    left = decode(replace(PULL, channel="lookup"), erased)
    assert to_tables([left], [REPLIES], {}).records["replies"]["reply_id"].to_pylist() == [
        "lookup/a",
        "lookup/c",
    ]
