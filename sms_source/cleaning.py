"""Cleans what others wrote, before it meets a message, a log or a table.

Whatever a peer says (codes, messages, RequestIds) may hold escape sequences that drive a terminal, new lines
that forge a log's next entry, overrides that turn the reading direction around, a person's number, or a key.
It is cleaned where it comes in: `sms_source.api.answers` cleans what an answer says, and each `PullError`
what it is made of. So nothing further down has to remember it.
"""

import re

MASK = "***"
MAX_MESSAGE = 500
"""Characters of a message."""
MAX_REQUEST_ID = 128
"""Characters of a RequestId; Tencent Cloud's are UUIDs, of 36."""

_NUMBER = re.compile(
    r"\d{7,}"  # of whatever country
    r"|\+\d[\d ().-]{5,}\d"  # in groups
    r"|\b1\d\d[ -]\d{4}[ -]\d{4}\b"
)
_KEY = re.compile(
    r"AKID[A-Za-z0-9]{8,}"  # a secret id
    r"|(?=[A-Za-z_]*\d)[A-Za-z0-9_]{24,}"  # a secret key, a token; never a word or a UUID
)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


def clean(text: str, longest: int = MAX_MESSAGE) -> str:
    """Return `text` on one printable line of at most `longest` characters.

    What can't be printed (control characters, escapes, new lines, direction overrides, lone surrogates) and
    blanks become one space where they stand; what is too long ends with an ellipsis.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_keys(text: str, longest: int = MAX_MESSAGE) -> str:
    """Return `clean` text without keys: `***` is in their place."""
    # Cut only after masking, so that no part of a key is left; but never search pages of text.
    return clean(_KEY.sub(MASK, clean(text, 100 * MAX_MESSAGE)), longest)


def without_keys_but_paths(text: str, longest: int = MAX_MESSAGE) -> str:
    """Return text as `without_keys`, but for words with a slash: a folder's name may look like a key."""
    words = clean(text, 100 * MAX_MESSAGE).split(" ")
    return clean(" ".join(word if "/" in word else _KEY.sub(MASK, word) for word in words), longest)


def redact(text: str, longest: int = MAX_MESSAGE) -> str:
    """Return `clean` text without keys and without phone numbers: `***` is in their place."""
    return clean(_NUMBER.sub(MASK, without_keys(text, 100 * MAX_MESSAGE)), longest)


def clean_request_id(value: object) -> str | None:
    """Return a RequestId as it is stored; None when there is none.

    It stays as it came if it is printable and at most 128 characters long; else it is cleaned as `clean`
    does. Nothing is masked: a UUID may well hold seven digits in a row.
    """
    if not isinstance(value, str):
        return None
    if len(value) <= MAX_REQUEST_ID and value.isprintable():
        return value or None
    return clean(value, MAX_REQUEST_ID) or None


def shown_request_id(request_id: str | None) -> str:
    """Return a RequestId as a message shows it: a UUID as it is, anything else without numbers and keys."""
    if request_id is None:
        return "none"
    return request_id if _UUID.fullmatch(request_id) else redact(request_id, MAX_REQUEST_ID)
