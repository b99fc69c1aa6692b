"""Reads the body of a callback: what Tencent Cloud pushed, in the field names of its API.

A body is one entry, or an array of them: a reply comes by itself, receipts come up to 100 together. An entry
has keys of its own (`Feed.pushed_fields`), any of which may be missing; the number comes in two parts, and
the time of a receipt as text, in Beijing time without a zone. No application is in a body.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import orjson

from sms_source.api.answers import Unreadable, parse_json, parse_record
from sms_source.api.brackets import NotAnAnswerError, decode_body, element_texts
from sms_source.feeds import Feed

UNKNOWN_APPLICATION = "-"
"""In the place of the application's id, when the callback's URL does not tell it."""

_BEIJING = timezone(timedelta(hours=8))
_TIME = "%Y-%m-%d %H:%M:%S"


class Pushed(NamedTuple):
    """What a callback brought.

    records: in the order of the body, with the API's field names; an `Unreadable` for each that is no JSON.
    ids: of the records. The same entry has the same id, however often it is pushed.
    """

    records: list[Any]
    ids: list[str]


class NotAPushError(ValueError):
    """The body is no JSON, and holds nothing that is."""


def parse_push(feed: Feed, sms_sdk_app_id: str, body: bytes) -> Pushed:
    """Read the body of a callback. An entry that is broken costs none of those beside it.

    Args:
        feed: of the callback's URL.
        sms_sdk_app_id: likewise, or `UNKNOWN_APPLICATION`.
        body: as it came.

    Raises:
        NotAPushError: there is no JSON in it.
    """
    try:
        document = parse_json(body)
    except ValueError:
        entries = [parse_record(text) for text in entry_texts(body)]
        if all(isinstance(entry, Unreadable) for entry in entries):
            raise NotAPushError("the body is no JSON") from None
    else:
        entries = document if isinstance(document, list) else [document]
    ids = [_id(feed, sms_sdk_app_id, entry) for entry in entries]
    if None in ids:  # an entry without a canonical form is known by its text
        texts = entry_texts(body)
        ids = [known or _digest(f"{feed.name} {sms_sdk_app_id} {texts[n]}") for n, known in enumerate(ids)]
    return Pushed([_record(feed, entry) for entry in entries], [f"callback/{digest}" for digest in ids])


def entry_texts(body: bytes) -> list[str]:
    """Return the text of each entry of a body; bytes that are no UTF-8 are in it as lone surrogates.

    Raises:
        NotAPushError: the brackets of an array do not pair.
    """
    text = _stripped(body)
    try:
        return element_texts(text) if text.startswith("[") else [text]
    except NotAnAnswerError:
        raise NotAPushError("the body is no JSON: its brackets do not pair") from None


def together(bodies: Sequence[bytes]) -> bytes:
    """Return one body as it is; of several an array of their entries, each read as it would be alone."""
    if len(bodies) == 1:
        return bodies[0]
    texts = (_stripped(body) for body in bodies)
    entries = ", ".join(text[1:-1] if text.startswith("[") else text for text in texts)
    return f"[{entries}]".encode("utf-8", "surrogateescape")


def _stripped(body: bytes) -> str:
    """Return the text of a body without any space around it, that which is none in JSON too."""
    return decode_body(body).strip()


def _id(feed: Feed, sms_sdk_app_id: str, entry: Any) -> str | None:
    """Return the digest of an entry's canonical JSON; None when it has none."""
    try:
        canonical = orjson.dumps([feed.name, sms_sdk_app_id, entry], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate, a number beyond 64 bits, nesting too deep
        return None
    return hashlib.sha256(canonical).hexdigest()[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _record(feed: Feed, entry: Any) -> Any:
    """Return an entry with the API's field names; one that is no object stays as it is."""
    if not isinstance(entry, dict):
        return entry
    names = dict(feed.pushed_fields)
    record = {name: value for name, value in entry.items() if name not in names}
    record |= {names[key]: value for key, value in entry.items() if key in names}
    if "SubscriberNumber" in record:
        record["PhoneNumber"] = _number(record.get("CountryCode"), record["SubscriberNumber"])
    if isinstance(record.get(feed.time_field), str):
        record[feed.time_field] = _unix(record[feed.time_field])
    return record


def _number(country_code: Any, national: Any) -> Any:
    """Return the number in E.164, where the entry has both parts of it; else what there is."""
    if not isinstance(national, str) or not isinstance(country_code, str):
        return national
    if not national or not country_code or national.startswith("+"):
        return national or None
    return f"+{country_code.removeprefix('+')}{national}"


def _unix(text: str) -> Any:
    """Return the Unix time of a text in Beijing time; None for an empty one, the text for what is no time."""
    try:
        return int(datetime.strptime(text, _TIME).replace(tzinfo=_BEIJING).timestamp())
    except ValueError:
        return text or None
