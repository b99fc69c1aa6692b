"""Which records fit, and what becomes of fields that this version does not know."""

import json
import re
from collections.abc import Iterable
from typing import Any

from sms_source.api.answers import Unreadable
from sms_source.feeds import Feed
from sms_source.privacy.numbers import RUN
from sms_source.settings import NEWEST_TIME, OLDEST_TIME

MAX_NEW_COLUMNS = 50
"""Fields unknown to this version that get a column of their own; what is beyond goes into OTHER_FIELDS."""
OTHER_FIELDS = "OtherFields"
# No underscore at the end: dlt's naming makes an x of it, and `Foo_` and `Foox` would be one column.
_COLUMN_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]{0,48}[A-Za-z0-9])?", re.ASCII)
_DEEPEST = 100
"""Levels of nesting in a field unknown to this version; far below what an encoder can't follow."""


def misfit(feed: Feed, record: Any) -> str | None:
    """Return why a record does not fit; None when it does. Names kinds, never what a person wrote."""
    if isinstance(record, Unreadable):
        return record.reason
    if not isinstance(record, dict):
        return f"the record is {_kind(record)}, not an object"
    for name in feed.text_fields:
        value = record.get(name)
        if value is None and name not in feed.required_fields:
            continue
        if not isinstance(value, str):
            return f"{name} is {_kind(value)}, not a string"
        if not _is_unicode(value):
            return f"{name} is not valid Unicode"
    if reason := _misfit_time(feed, record.get(feed.time_field)):
        return reason
    if any(_is_deep(record[name]) for name in record.keys() - feed.fields):
        return f"a field unknown to this version is nested deeper than {_DEEPEST} levels"
    return None


def _misfit_time(feed: Feed, time: Any) -> str | None:
    if not feed.is_time_required and (time is None or (type(time) is int and time == 0)):
        return None
    if type(time) is not int:
        return f"{feed.time_field} is {_kind(time)}, not an integer"
    if not OLDEST_TIME <= time <= NEWEST_TIME:
        return f"{feed.time_field} is not from {OLDEST_TIME} to {NEWEST_TIME}"
    return None


def new_fields(
    feed: Feed, records: list[dict[str, Any]], new_columns: set[str], known: frozenset[str]
) -> dict[str, list[str | None]]:
    """Return a column of text for each field that this version does not know, so that nothing is left out.

    Text, because the type of a field that nobody knows may change from record to record: strings as they
    are, all else as JSON. A name that could clash with a column or has a phone number in it, or one too many,
    shares OTHER_FIELDS.

    Args:
        feed: of the records.
        records: that fit.
        new_columns: the columns, as plain names, that earlier records brought; those of these are added.
        known: the columns of this version, as plain names.
    """
    names = dict.fromkeys(name for record in records for name in record if name not in feed.fields)
    own: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        has_room = plain in new_columns or len(new_columns) < MAX_NEW_COLUMNS
        is_name = _COLUMN_NAME.fullmatch(name) and not RUN.search(name)
        if is_name and has_room and plain not in known and plain not in own:
            own[plain] = name
            new_columns.add(plain)
    columns = {name: [_as_text(record.get(name)) for record in records] for name in own.values()}
    others = names.keys() - own.values()
    if others:
        rests = [{name: record[name] for name in record if name in others} for record in records]
        columns[OTHER_FIELDS] = [_as_text(rest or None) for rest in rests]
    return columns


def plain_name(name: str) -> str:
    """Return a name without what namings differ in: names with one plain name may be one column."""
    return name.replace("_", "").lower()


def known_new_columns(columns: Iterable[str], known: frozenset[str]) -> set[str]:
    """Return, of a table's columns, those made from fields unknown to this version, as plain names."""
    return {plain_name(name) for name in columns if not name.startswith("_dlt")} - known


def _is_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than is fit for a column; goes level by level."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "null or absent"
    names = {bool: "a boolean", int: "an integer", float: "a number with a fraction", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _is_unicode(value)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(value)
