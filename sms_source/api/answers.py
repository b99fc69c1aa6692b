"""Reads the body of an answer: what the API said, and the records it handed out.

A record is popped from the queue by the time its answer is read, so a bad record must never cost the
good ones beside it. The whole body is parsed at once when it is well-formed; when it is not (a record
with invalid UTF-8, NaN, nesting deeper than a parser goes, a broken value), the records are cut apart by
their brackets and parsed one by one.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

REPLY_SET = "PullSmsReplyStatusSet"

# A string that never ends is a token too: to look for its end anew from each quote in it takes for ever.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},:]', re.DOTALL)
_SPACE = " \t\r\n"


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


def parse_answer(body: bytes) -> Answer:
    """Reads an answer's body as it came over the wire (UTF-8 JSON).

    An empty set may be `[]`, `null` or absent: all mean that no reply was waiting.

    Raises:
        NotAnAnswerError: when the body is not JSON or has no `Response`.
    """
    try:
        document = orjson.loads(body)
    except ValueError:
        document = _parse_by_brackets(_decode(body))
    response = document.get("Response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise NotAnAnswerError("the answer has no Response")
    request_id = response.get("RequestId")
    if not isinstance(request_id, str) or not request_id or not _is_unicode(request_id):
        request_id = None
    error = response.get("Error")
    if error is not None:
        if response.get(REPLY_SET):
            raise NotAnAnswerError(f"the answer has both an Error and a {REPLY_SET}")
        if not isinstance(error, dict):
            raise NotAnAnswerError("the answer's Error is not an object")
        return Answer(request_id, [], (str(error.get("Code", "")), str(error.get("Message", ""))))
    records = response.get(REPLY_SET)
    if records is None:
        records = []
    if not isinstance(records, list):
        raise NotAnAnswerError(f"the answer's {REPLY_SET} is not a list")
    return Answer(request_id, records, None)


def record_texts(feed: Any, body: bytes) -> list[str]:
    """The text of each record of an answer, as it came; bytes that are no UTF-8 are escaped.

    Raises:
        NotAnAnswerError: as `parse_answer`.
    """
    text = _decode(body)
    response = dict(_members(text, _skip_space(text, 0), len(text)))["Response"]
    records = dict(_members(text, *response))[REPLY_SET]
    return [
        text[i:j].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for i, j in _elements(text, *records)
    ]


def _is_unicode(text: str) -> bool:
    """Whether the text can be encoded: a lone surrogate can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _parse_by_brackets(text: str) -> Any:
    """The document, with each record of the set parsed by itself."""
    outer = dict(_members(text, _skip_space(text, 0), len(text)))
    if "Response" not in outer:
        return {}
    response: dict[str, Any] = {}
    for name, (i, j) in dict(_members(text, *outer["Response"])).items():
        if name == REPLY_SET and text[i] == "[":
            response[name] = [_parse_record(text[k:m]) for k, m in _elements(text, i, j)]
        else:
            response[name] = _parse_value(text[i:j])
    return {"Response": response}


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAnAnswerError(f"the answer is not JSON: {type(error).__name__}") from None


def _parse_record(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        return Unreadable(text, "not JSON: nested too deep")
    except ValueError as error:
        return Unreadable(text, f"not JSON: {getattr(error, 'msg', 'a number is too long')}")


def _members(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and span of each member's value, of the object that is `text[start:end]`."""
    if text[start : start + 1] != "{":
        raise NotAnAnswerError("the answer is not JSON: an object was expected")
    for i, j in _elements(text, start, end):
        name = _TOKEN.match(text, i)
        if name is None or not name.group().startswith('"'):
            raise NotAnAnswerError("the answer is not JSON: a name was expected")
        colon = _skip_space(text, name.end())
        if text[colon : colon + 1] != ":":
            raise NotAnAnswerError("the answer is not JSON: a colon was expected")
        yield str(_parse_value(name.group())), (_skip_space(text, colon + 1), j)


def _elements(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Span of each element of the array or object that is `text[start:end]`: what its commas part.

    What follows its last bracket makes the answer unreadable: a bracket too many must hide no record. Walks
    over brackets and strings without recursion, so that no depth of nesting stops it.
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
            if text[token.end() : end].strip(_SPACE):
                raise NotAnAnswerError("the answer is not JSON: a bracket too many")
            return
    raise NotAnAnswerError("the answer is not JSON: it ends too early")


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position
