"""Reads the body of an answer: what the API said, and the records it handed out.

A record is popped from the queue by the time its answer is read, so a bad record must never cost the
good ones beside it. The whole body is parsed at once when it is well-formed; when it is not (a record
with invalid UTF-8, NaN, nesting deeper than a parser goes, a broken value), the records are cut apart by
their brackets and parsed one by one.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from sms_source.cleaning import clean_request_id, redact
from sms_source.feeds import Feed

# A string that never ends is a token too: to look for its end anew from each quote in it takes for ever.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},:]', re.DOTALL)
_SPACE = " \t\r\n"
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


class NotAnAnswerError(ValueError):
    """The body is not an answer of the API: no JSON, or without a `Response`."""


def parse_answer(feed: Feed, body: bytes) -> Answer:
    """Read an answer's body as it came over the wire (UTF-8 JSON).

    An empty set may be `[]`, `null` or absent: all mean that no record was waiting.

    Raises:
        NotAnAnswerError: when the body is not JSON or has no `Response`, or is nothing that the API says.
    """
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
    return Answer(request_id, records, None)


def record_texts(feed: Feed, body: bytes) -> list[str]:
    """Return the text of each record of an answer, as it came; bytes that are no UTF-8 are escaped.

    Raises:
        NotAnAnswerError: as `parse_answer`.
    """
    text = decode_body(body)
    response = dict(_members(text, _skip_space(text, 0), len(text)))["Response"]
    records = dict(_members(text, *response))[feed.result_set]
    return [as_it_came(text[i:j]) for i, j in _elements(text, *records)]


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
    response = _begun_members(text, _skip_space(text, 0), len(text)).get("Response", (0, 0))
    members = _begun_members(text, *response)
    i, j = members.get(feed.result_set, (0, 0))
    texts, torn = [], ""
    if text[i : i + 1] == "[":
        for k, m in _elements(text, i, j, is_cut=True):
            if m < len(text) or _is_closed(text[k:m]):
                texts.append(text[k:m])
            else:
                torn = text[k:m]
    return Begun(text[slice(*members.get("RequestId", (0, 0)))], texts, torn)


def element_texts(text: str) -> list[str]:
    """Return the text of each element of a JSON array.

    Raises:
        NotAnAnswerError: its brackets do not pair.
    """
    return [text[i:j] for i, j in _elements(text, 0, len(text))]


def decode_body(body: bytes) -> str:
    """Return the text of a body; bytes that are no UTF-8 are in it as lone surrogates."""
    return body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def as_it_came(text: str) -> str:
    """Return a text of a body in valid Unicode; bytes that are no UTF-8 are escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parse_by_brackets(feed: Feed, text: str) -> Any:
    """Return the document, with each record of the set parsed by itself."""
    outer = dict(_members(text, _skip_space(text, 0), len(text)))
    if "Response" not in outer:
        return {}
    response: dict[str, Any] = {}
    for name, (i, j) in dict(_members(text, *outer["Response"])).items():
        if name == feed.result_set and text[i] == "[":
            response[name] = [parse_record(text[k:m]) for k, m in _elements(text, i, j)]
        else:
            response[name] = _parse_value(text[i:j])
    return {"Response": response}


def _parse_value(text: str) -> Any:
    if _depth(text) > _DEEPEST:
        raise NotAnAnswerError("the answer is not JSON: nested too deep")
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotAnAnswerError(f"the answer is not JSON: {type(error).__name__}") from None


def parse_record(text: str) -> Any:
    """Return the record that a text is; an `Unreadable` when it is no JSON."""
    try:
        return orjson.loads(text)  # as `parse_answer` reads a whole body, above all its numbers
    except ValueError:
        pass
    if _depth(text) > _DEEPEST:
        return Unreadable(text, "not JSON: nested too deep")
    try:
        return json.loads(text)
    except ValueError as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', 'a number is too long')}")


def _members(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and span of each member's value, of the object that is `text[start:end]`."""
    if text[start : start + 1] != "{":
        raise NotAnAnswerError("the answer is not JSON: an object was expected")
    for i, j in _elements(text, start, end):
        yield _member(text, i, j)


def _begun_members(text: str, start: int, end: int) -> dict[str, tuple[int, int]]:
    """Return the same of an object that may break off: the last value's span then ends with the text."""
    members = {}
    if text[start : start + 1] == "{":
        for i, j in _elements(text, start, end, is_cut=True):
            with suppress(NotAnAnswerError):
                name, span = _member(text, i, j)
                members[name] = span
    return members


def _member(text: str, start: int, end: int) -> tuple[str, tuple[int, int]]:
    name = _TOKEN.match(text, start)
    if name is None or not name.group().startswith('"'):
        raise NotAnAnswerError("the answer is not JSON: a name was expected")
    colon = _skip_space(text, name.end())
    if text[colon : colon + 1] != ":":
        raise NotAnAnswerError("the answer is not JSON: a colon was expected")
    return str(_parse_value(name.group())), (_skip_space(text, colon + 1), end)


def _elements(text: str, start: int, end: int, *, is_cut: bool = False) -> Iterator[tuple[int, int]]:
    """Span of each element of the array or object that is `text[start:end]`: what its commas part.

    What follows its last bracket makes the answer unreadable: a bracket too many must hide no record. Walks
    over brackets and strings without recursion, so that no depth of nesting stops it. One that `is_cut` may
    break off: what is left of its last element is an element, too, and alone ends with the text.
    """
    depth, begin = 0, start + 1
    for token in _TOKEN.finditer(text, start):
        mark = token.group()[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        if (mark == "," and depth == 1) or depth == 0:
            begin, comma = _skip_space(text, begin), token.start()
            if begin < comma:
                yield begin, begin + len(text[begin:comma].rstrip(_SPACE))
            begin = token.end()
        if depth == 0:
            if text[token.end() : end].strip(_SPACE) and not is_cut:
                raise NotAnAnswerError("the answer is not JSON: a bracket too many")
            return
    if not is_cut:
        raise NotAnAnswerError("the answer is not JSON: it ends too early")
    yield _skip_space(text, begin), len(text)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()[0]
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def _is_closed(text: str) -> bool:
    """Whether the text is an object or array whose last bracket has come; of nothing else can one tell."""
    depth, end = 0, 0
    for token in _TOKEN.finditer(text):
        mark = token.group()[0]
        depth += (mark in "[{") - (mark in "]}")
        end = token.end() if mark in "]}" else 0
    return depth == 0 and end > 0 and not text[end:].strip(_SPACE)


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position
