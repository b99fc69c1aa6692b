"""Reads the body of an answer: what the API said, and the records it handed out.

A record is popped from the queue by the time its answer is read, so a bad record must never cost the
good ones beside it. The whole body is parsed at once when it is well-formed; when it is not (a record
with invalid UTF-8, NaN, nesting deeper than a parser goes, a broken value), the records are cut apart by
their brackets and parsed one by one.
"""

import json
import re
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from sms_source.api.brackets import (
    NotAnAnswerError,
    as_it_came,
    begun_members,
    decode_body,
    depth_of,
    elements,
    is_closed,
    members,
)
from sms_source.cleaning import clean_request_id, redact
from sms_source.feeds import Feed

_LONG_NUMBER = re.compile(rb"\d{19}")
_DEEPEST = 500
"""Levels of nesting in what orjson refuses. Python's own parser goes as deep as the stack of whoever
calls it leaves room, so that a record could be read today and be unreadable when it is replayed."""


class Unreadable(NamedTuple):
    """A record that is no JSON: its text as it came, and why it could not be read."""

    text: str
    reason: str


class Answer(NamedTuple):
    """What one answer said.

    request_id: the API's id of the request; None when the answer had none.
    records: the records in the order of the answer, decoded; an `Unreadable` for each that is no JSON.
    error: code and message when the API answered with an error instead of records.
    """

    request_id: str | None
    records: list[Any]
    error: tuple[str, str] | None


def parse_answer(feed: Feed, body: bytes) -> Answer:
    """Read an answer's body as it came over the wire (UTF-8 JSON).

    An empty set may be `[]`, `null` or absent: all mean that no record was waiting.

    Raises:
        NotAnAnswerError: when the body is not JSON or has no `Response`, or is nothing that the API says.
    """
    _refuse_repeated(feed, body)
    try:
        document = orjson.loads(body)
    except ValueError:
        document = _parse_by_brackets(feed, decode_body(body))
    response = document.get("Response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise NotAnAnswerError("the answer has no Response")
    request_id = clean_request_id(response.get("RequestId"))
    error = response.get("Error")
    if error is not None:
        if response.get(feed.result_set):
            raise NotAnAnswerError(f"the answer has both an Error and a {feed.result_set}")
        if not isinstance(error, dict):
            raise NotAnAnswerError("the answer's Error is not an object")
        code, message = error.get("Code"), error.get("Message")
        if not isinstance(code, str) or not code:
            raise NotAnAnswerError("the answer's Error has no Code")
        return Answer(request_id, [], (redact(code), redact(message) if isinstance(message, str) else ""))
    records = response.get(feed.result_set)
    if records is None:
        records = []
    if not isinstance(records, list):
        raise NotAnAnswerError(f"the answer's {feed.result_set} is not a list")
    if not (set(map(type, records)) <= {dict} and all(map(feed.fields.issuperset, records))):
        # Only what this version does not know can be a number beyond 64 bits; to look for one takes a while.
        with suppress(ValueError):
            records = parse_json(body)["Response"][feed.result_set]
    return Answer(request_id, records, None)


def parse_json(content: bytes) -> Any:
    """Return what JSON says, each whole number exactly: orjson makes a float of one beyond 64 bits.

    Raises:
        ValueError: it is no JSON, or none that orjson reads.
    """
    value = orjson.loads(content)
    if _LONG_NUMBER.search(content):
        with suppress(ValueError, RecursionError):  # longer or deeper than Python reads
            return json.loads(content)
    return value


def record_texts(feed: Feed, body: bytes) -> list[str]:
    """Return the text of each record of an answer, as it came; bytes that are no UTF-8 are escaped.

    Raises:
        NotAnAnswerError: as `parse_answer`.
    """
    text = decode_body(body)
    response = dict(members(text, 0, len(text)))["Response"]
    records = dict(members(text, *response))[feed.result_set]
    return [as_it_came(text[i:j]) for i, j in elements(text, *records)]


def whole_records(feed: Feed, body: bytes) -> Answer:
    """Return what is whole in a body that broke off, or that is no answer for another reason; never raises.

    The records are those that `parse_answer` would read at the beginning of the whole body, each at its
    position. The RequestId is None unless it came whole; there is no error.
    """
    begun = begun_records(feed, body)
    request_id = None
    with suppress(NotAnAnswerError):
        request_id = _parse_value(begun.request_id)
    return Answer(clean_request_id(request_id), [parse_record(text) for text in begun.whole], None)


def whole_texts(feed: Feed, body: bytes) -> list[str]:
    """Return the text of each of the `whole_records` of a body; escape bytes that are no UTF-8."""
    return [as_it_came(text) for text in begun_records(feed, body).whole]


class Begun(NamedTuple):
    """The texts in a body, which may break off; bytes that are no UTF-8 are in them as lone surrogates.

    request_id: the JSON of the RequestId; empty when there is none.
    whole: of each record that is whole, in the order of the answer.
    torn: of one that broke off; empty when there is none.
    """

    request_id: str
    whole: list[str]
    torn: str


def begun_records(feed: Feed, body: bytes) -> Begun:
    """Cut the records of a body apart, each at its position; never raises."""
    text = decode_body(body)
    request_id, torn, texts = "", "", []
    outer = begun_members(text, 0, len(text))
    inner = [m for name, span in outer if name == "Response" for m in begun_members(text, *span)]
    for name, (i, j) in inner:
        if name == "RequestId":
            request_id = text[i:j]
        elif name == feed.result_set and text[i : i + 1] == "[":
            for k, m in elements(text, i, j, is_cut=True):
                if m < len(text) or is_closed(text[k:m]):
                    texts.append(text[k:m])
                else:
                    torn = text[k:m]
    return Begun(request_id, texts, torn)


def _parse_by_brackets(feed: Feed, text: str) -> Any:
    """Return the document, with each record of the set parsed by itself."""
    outer = dict(members(text, 0, len(text)))
    if "Response" not in outer:
        return {}
    response: dict[str, Any] = {}
    for name, (i, j) in dict(members(text, *outer["Response"])).items():
        if name == feed.result_set and text[i] == "[":
            response[name] = [parse_record(text[k:m]) for k, m in elements(text, i, j)]
        else:
            response[name] = _parse_value(text[i:j])
    return {"Response": response}


def _parse_value(text: str) -> Any:
    if depth_of(text) > _DEEPEST:
        raise NotAnAnswerError("the answer is not JSON: nested too deep")
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotAnAnswerError(f"the answer is not JSON: {type(error).__name__}") from None


def parse_record(text: str) -> Any:
    """Return the record that a text is; an `Unreadable` when it is no JSON."""
    with suppress(ValueError):
        return parse_json(text.encode())  # as `parse_answer` reads a whole body, above all its numbers
    if depth_of(text) > _DEEPEST:
        return Unreadable(text, "not JSON: nested too deep")
    try:
        return json.loads(text)
    except ValueError as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', 'a number is too long')}")


def _refuse_repeated(feed: Feed, body: bytes) -> None:
    """Raise `NotAnAnswerError` when the body has a member twice in which records are: a parser keeps one.

    Looking for the names costs next to nothing; only where one is there twice, the body is gone through.
    """
    names = ("Response", feed.result_set)
    if all(body.count(f'"{name}"'.encode()) < 2 for name in names):
        return
    text = decode_body(body)
    begun = begun_members(text, 0, len(text))
    inner = [member for name, span in begun if name == names[0] for member in begun_members(text, *span)]
    for name, found in zip(names, (begun, inner), strict=True):
        if sum(member == name for member, _ in found) > 1:
            raise NotAnAnswerError(f"the answer has {name} twice")
