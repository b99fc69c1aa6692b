"""Cuts the text of an answer or a callback apart by its brackets, where a parser refuses the whole.

Nothing here recurses, so no depth of nesting stops it, and a text that breaks off is cut as far as it came.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress

# A string that never ends is a token too: a search for its end from each quote in it takes quadratic time.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},:]', re.DOTALL)
_SPACE = " \t\r\n"

Span = tuple[int, int]


class NotAnAnswerError(ValueError):
    """The body is not an answer of the API: no JSON, or without a `Response`."""


def decode_body(body: bytes) -> str:
    """Return the text of a body; bytes that are no UTF-8 are in it as lone surrogates."""
    return body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def as_it_came(text: str) -> str:
    """Return a text of a body in valid Unicode; bytes that are no UTF-8 are escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def element_texts(text: str) -> list[str]:
    """Return the text of each element of a JSON array.

    Raises:
        NotAnAnswerError: its brackets do not pair.
    """
    return [text[i:j] for i, j in elements(text, 0, len(text))]


def members(text: str, start: int, end: int) -> Iterator[tuple[str, Span]]:
    """Yield the name and the span of each member's value, of the object that is `text[start:end]`.

    Raises:
        NotAnAnswerError: it is no object, or its brackets do not pair.
    """
    start = _skip_space(text, start)
    if text[start : start + 1] != "{":
        raise NotAnAnswerError("the answer is not JSON: an object was expected")
    for i, j in elements(text, start, end):
        yield _member(text, i, j)


def begun_members(text: str, start: int, end: int) -> list[tuple[str, Span]]:
    """Return the same of an object that may break off: the last value's span then ends with the text."""
    found = []
    start = _skip_space(text, start)
    if text[start : start + 1] == "{":
        for i, j in elements(text, start, end, is_cut=True):
            with suppress(NotAnAnswerError):
                found.append(_member(text, i, j))
    return found


def _member(text: str, start: int, end: int) -> tuple[str, Span]:
    token = _TOKEN.match(text, start)
    if token is None or not token.group().startswith('"'):
        raise NotAnAnswerError("the answer is not JSON: a name was expected")
    try:
        name = str(json.loads(token.group()))
    except ValueError:
        raise NotAnAnswerError("the answer is not JSON: a name was expected") from None
    colon = _skip_space(text, token.end())
    if text[colon : colon + 1] != ":":
        raise NotAnAnswerError("the answer is not JSON: a colon was expected")
    return name, (_skip_space(text, colon + 1), end)


def elements(text: str, start: int, end: int, *, is_cut: bool = False) -> Iterator[Span]:
    """Yield the span of each element of the array or object that is `text[start:end]`: what its commas part.

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


def depth_of(text: str) -> int:
    """Return how many levels deep the brackets of a text go."""
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()[0]
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def is_closed(text: str) -> bool:
    """Return whether the text is an object or array whose last bracket has come; nothing else tells that."""
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
