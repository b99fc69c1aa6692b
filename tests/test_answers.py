"""How an answer's body is read."""

import json
from dataclasses import replace

import pytest

from sms_source.api.answers import (
    Answer,
    Unreadable,
    parse_answer,
    record_texts,
    whole_records,
)
from sms_source.api.brackets import NotAnAnswerError
from sms_source.feeds import REPLIES


def body(records: str, rest: str = "") -> bytes:
    """Return an answer with this text for its set."""
    return f'{{"Response": {{"RequestId": "r1", "PullSmsReplyStatusSet": {records}{rest}}}}}'.encode()


def test_a_well_formed_answer_gives_its_records_in_order() -> None:
    """The records keep the order of the answer, which their identity depends on."""
    assert parse_answer(REPLIES, body('[{"a": 1}, {"a": 2}]')) == Answer("r1", [{"a": 1}, {"a": 2}], None)


@pytest.mark.parametrize(
    "empty",
    [
        b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": []}}',
        b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": null}}',
        b'{"Response": {"RequestId": "r1"}}',
    ],
)
def test_an_empty_set_may_be_a_list_null_or_absent(empty: bytes) -> None:
    """All three mean that no reply was waiting."""
    assert parse_answer(REPLIES, empty) == Answer("r1", [], None)


def test_an_api_error_is_told_with_code_and_message() -> None:
    """The API answers errors with HTTP 200, in the body."""
    text = b'{"Response": {"Error": {"Code": "AuthFailure", "Message": "no"}, "RequestId": "r1"}}'
    assert parse_answer(REPLIES, text) == Answer("r1", [], ("AuthFailure", "no"))


@pytest.mark.parametrize(
    "request_id",
    ["", '"RequestId": null, ', '"RequestId": 5, ', '"RequestId": "", ', '"RequestId": "\\ud800", '],
)
def test_a_request_id_that_is_no_text_counts_as_none(request_id: str) -> None:
    """Such an answer's replies are known by the pull's own id instead."""
    text = f'{{"Response": {{{request_id}"PullSmsReplyStatusSet": [1]}}}}'
    assert parse_answer(REPLIES, text.encode()).request_id is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"a": }', "Expecting value"),
        ('{"a": tru}', "Expecting value"),
        ("9" * 5000, "too long"),
    ],
)
def test_a_record_that_is_no_json_does_not_cost_the_good_ones_beside_it(bad: str, reason: str) -> None:
    """What was popped with a bad record in one answer is still there."""
    records = parse_answer(REPLIES, body(f'[{{"a": "]}}\\""}}, {bad}, {{"a": 2}}]')).records
    assert [records[0], records[2]] == [{"a": ']}"'}, {"a": 2}]
    assert isinstance(records[1], Unreadable)
    assert reason in records[1].reason
    assert records[1].text == bad


@pytest.mark.parametrize("levels", [499, 500, 501, 600, 900, 1_000, 1_010, 1_020, 1_030])
def test_how_deep_the_caller_is_decides_nothing(levels: int) -> None:
    """A record that was read once is read whenever the journal gives it again, and the reverse."""
    text = body("[" * levels + "NaN" + "]" * levels)[:-2] + b', "More": {}}}'
    text = text.replace(b": [", b": [{}, ", 1)

    def read_below(calls: int) -> str:
        return read_below(calls - 1) if calls else repr(type(parse_answer(REPLIES, text).records[1]))

    assert read_below(0) == read_below(300)


def test_bytes_that_are_no_utf8_spoil_only_their_own_text() -> None:
    """They become lone surrogates, which the record's check then finds."""
    records = parse_answer(REPLIES, body('[{"a": "\xff"}, {"a": "é"}]').replace(b"\xc3\xbf", b"\xff")).records
    assert records == [{"a": "\udcff"}, {"a": "é"}]


def test_nan_is_read_as_a_number() -> None:
    """Python's parser takes it, and a record is no reason to lose another."""
    assert str(parse_answer(REPLIES, body('[{"a": NaN}, {"a": 1}]')).records) == "[{'a': nan}, {'a': 1}]"


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some proxies put one in front of what they rewrite."""
    assert parse_answer(REPLIES, b"\xef\xbb\xbf" + body("[1]")).records == [1]


@pytest.mark.parametrize("cut", range(1, len(body('[{"a": "x"}, {"b": [1]}]'))))
def test_a_body_that_ends_early_is_no_answer(cut: int) -> None:
    """Wherever it was cut, a truncated body is in doubt, and no parser's crash."""
    with pytest.raises(NotAnAnswerError):
        parse_answer(REPLIES, body('[{"a": "x"}, {"b": [1]}]')[:cut])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>502 Bad Gateway</html>",
        "[]",
        "null",
        "{}",
        '{"Response": []}',
        '{"Response": {"PullSmsReplyStatusSet": {}}}',
        '{"Response": {"Error": "x"}}',
        '{"Response" {"a": NaN}}',
        '{"Response": {"a": NaN, 5: 1}}',
        '{"Response": {"RequestId": x, "PullSmsReplyStatusSet": [1]}}',
    ],
)
def test_what_has_no_response_is_no_answer(text: str) -> None:
    """The outcome of such a pull is in doubt."""
    with pytest.raises(NotAnAnswerError):
        parse_answer(REPLIES, text.encode())


def test_records_can_be_had_as_the_text_that_came() -> None:
    """A record that is set aside is kept verbatim, blanks, order, doubled names and all."""
    texts = ['{"b":1,  "a": 2, "a":3}', '"\\ud800"', "[ ]", "1e400"]
    assert record_texts(REPLIES, body(f"[ {' , '.join(texts)} ]")) == texts


def test_records_keep_bytes_that_are_no_utf8_as_escapes() -> None:
    """The text must be valid Unicode to be loaded anywhere."""
    assert record_texts(REPLIES, body('["x"]').replace(b"x", b"\xff\xc3")) == ['"\\xff\\xc3"']


def test_the_careful_way_reads_what_the_quick_way_reads() -> None:
    """One bad record must not change how the others are understood."""
    records = [{"a": [1, {"b": '\\ " ] } , ü 😀'}], "c": None}, {"t": 1.5, "u": True}, "text", 7, []]
    quick = parse_answer(REPLIES, body(json.dumps(records)))
    careful = parse_answer(REPLIES, body(json.dumps([*records, float("nan")])))
    assert careful.records[:-1] == quick.records == records


CUT = body('[{"a": "]}\\""}, {"b": [1, {"c": "x,"}]}, {"d": 退订}, {"e": NaN}]', ', "Later": [1]')


@pytest.mark.parametrize("cut", range(len(CUT) + 1))
def test_what_is_whole_in_a_body_that_broke_off_is_read(cut: int) -> None:
    """Wherever it was cut: the records that came whole, each at its place, and no other."""
    whole = parse_answer(REPLIES, CUT)
    found = whole_records(REPLIES, CUT[:cut])
    # Its last bracket ends a record, whether the comma behind it has come or not.
    ends = [CUT.index(end) + len(end) for end in (b'\\""}', b'"x,"}]}', "退订}".encode(), b"NaN}")]
    assert len(found.records) == sum(end <= cut for end in ends)
    assert repr(found.records) == repr(whole.records[: len(found.records)])
    assert found.request_id == ("r1" if cut >= CUT.index(b'"r1"') + 4 else None)
    assert found.error is None


@pytest.mark.parametrize(
    ("text", "request_id", "records"),
    [
        ("", None, []),
        ("<html>502 Bad Gateway</html>", None, []),
        ("[]", None, []),
        ('{"Response"', None, []),
        ('{"Response": [{"PullSmsReplyStatusSet": [{}]}]}', None, []),
        ('{"Response": {"PullSmsReplyStatusSet": [{"a": 1}], "Error": {"Code": "x"}}}', None, [{"a": 1}]),
        ('{"Response": {"PullSmsReplyStatusSet": [{"a": 1}], "RequestId": "r2"}}}}', "r2", [{"a": 1}]),
        ('{"Response": {"PullSmsReplyStatusSet": {"a": [{}]}, "RequestId": "r2"', "r2", []),
        ('{"Response": {"Odd" 5, "PullSmsReplyStatusSet": [{"a": 1}, {"PullSms', None, [{"a": 1}]),
        ('{"Response": {"RequestId": "r\\u001b[2J', None, []),
        ('{"Response": {"RequestId": "r\\u001b[2J"', "r [2J", []),
        ('{"Response": {"RequestId": ["r2"], "PullSmsReplyStatusSet": [1, 23', None, [1]),
    ],
)
def test_a_body_that_is_no_answer_gives_what_it_has(
    text: str, request_id: str | None, records: list[object]
) -> None:
    """Also when it is whole, but nothing that the API says."""
    assert whole_records(REPLIES, text.encode()) == Answer(request_id, records, None)


def test_another_feed_has_another_set() -> None:
    """The parser names no field: the feed does."""
    other = replace(REPLIES, name="others", result_set="OtherSet")
    text = b'{"Response": {"OtherSet": [{"a": 1}], "PullSmsReplyStatusSet": [2]}}'
    assert parse_answer(other, text).records == whole_records(other, text).records == [{"a": 1}]
    assert record_texts(other, text) == ['{"a": 1}']


@pytest.mark.parametrize("code", ["5", "null", '""', "[" * 900 + "]" * 900, '{"a": 1}'])
def test_an_error_without_a_code_is_no_answer(code: str) -> None:
    """What nobody can understand is no refusal: records may have left the queue."""
    with pytest.raises(NotAnAnswerError):
        parse_answer(REPLIES, f'{{"Response": {{"Error": {{"Code": {code}}}}}}}'.encode())


def test_what_an_answer_says_is_clean_when_it_is_read() -> None:
    """Nobody further down has to remember that a peer wrote it."""
    hostile = r"\u001b[2Jx\r\nERROR: +8615291990000 \u202e"
    error = f'{{"Code": "{hostile}", "Message": "{hostile}"}}'
    text = f'{{"Response": {{"Error": {error}, "RequestId": "{hostile}"}}}}'
    answer = parse_answer(REPLIES, text.encode())
    assert answer.error == ("[2Jx ERROR: ***", "[2Jx ERROR: ***")
    assert answer.request_id == "[2Jx ERROR: +8615291990000"


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        (
            '{"Response": {"PullSmsReplyStatusSet": [{"a": 1}], "PullSmsReplyStatusSet": null}}',
            "PullSmsReplyStatusSet",
        ),
        ('{"Response": {"PullSmsReplyStatusSet": [{"a": 1}]}, "Response": {"RequestId": "r"}}', "Response"),
        ('{"Response": {"RequestId": "r"}, "Response": {"PullSmsReplyStatusSet": [{"a": 1}]}}', "Response"),
    ],
)
def test_a_set_that_is_there_twice_hides_no_record(twice: str, name: str) -> None:
    """A parser keeps the last one of a name: such an answer is in doubt, and each record in it is read."""
    with pytest.raises(NotAnAnswerError, match=f"has {name} twice"):
        parse_answer(REPLIES, twice.encode())
    assert whole_records(REPLIES, twice.encode()).records == [{"a": 1}]


def test_a_person_who_writes_the_name_of_the_set_hides_nothing_either() -> None:
    """A text is no member, and a record's own member is none of the answer's."""
    odd = [
        {"ReplyContent": '"Response" "PullSmsReplyStatusSet"', "Response": {"PullSmsReplyStatusSet": 1}}
    ] * 2
    assert parse_answer(REPLIES, body(json.dumps(odd))).records == odd


@pytest.mark.parametrize("rest", ["", ', "Odd": NaN', ', "Odd": 12345678901234567890123.5'])
def test_a_whole_number_is_read_exactly_however_long_it_is(rest: str) -> None:
    """An id that a field brings tomorrow is not rounded, in whatever way its answer is read."""
    text = body(f'[{{"MessageId": 123456789012345678901{rest}}}]')
    for answer in (parse_answer(REPLIES, text), whole_records(REPLIES, text)):
        assert answer.records[0]["MessageId"] == 123456789012345678901
