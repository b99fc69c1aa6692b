"""Answers into typed Arrow tables: the replies, the ledger of pulls, the records that do not fit.

A column that holds a field of the API has the field's name (`ReplyTime`), which dlt's naming makes
`reply_time` in the warehouse. A batch is checked and built column by column; only one that holds a
record which does not fit is gone through row by row.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sms_source import feeds
from sms_source.api.answers import Unreadable, record_texts
from sms_source.journal.journal import Pull
from sms_source.settings import NEWEST_REPLY_TIME, OLDEST_REPLY_TIME

_UTC = pa.timestamp("us", "UTC")
_TEXT_FIELDS = (
    "PhoneNumber",
    "CountryCode",
    "SubscriberNumber",
    "SignName",
    "ExtendCode",
    "ReplyContent",
)
_RECORD = pa.struct([*((name, pa.string()) for name in _TEXT_FIELDS), ("ReplyTime", pa.int64())])
_FIELDS = frozenset(field.name for field in _RECORD)

REPLIES = pa.schema(
    [
        pa.field("reply_id", pa.string(), nullable=False),
        pa.field("sms_sdk_app_id", pa.string()),
        pa.field("region", pa.string()),
        pa.field("ReplyTime", _UTC),
        *(pa.field(name, pa.string()) for name in _TEXT_FIELDS),
        pa.field("request_id", pa.string()),
        pa.field("pulled_at", _UTC),
    ]
)
PULLS = pa.schema(
    [
        pa.field("pull_id", pa.string(), nullable=False),
        pa.field("sms_sdk_app_id", pa.string()),
        pa.field("region", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("requested_at", _UTC),
        pa.field("answered_at", _UTC),
        pa.field("outcome", pa.string()),
        pa.field("replies", pa.int64()),
        pa.field("at_risk", pa.int64()),
        pa.field("error", pa.string()),
    ]
)
REJECTED_REPLIES = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("sms_sdk_app_id", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("record", pa.string()),
        pa.field("pulled_at", _UTC),
    ]
)

MOST_NEW_COLUMNS = 50
"""Fields unknown to this version that get a column of their own; what is beyond goes into OTHER_FIELDS."""
OTHER_FIELDS = "OtherFields"
REPLY_DATE = "reply_date"
"""The column that a lakehouse's folders are by; `sms_source.loading.destinations` adds it there."""
# No underscore at the end: dlt's naming makes an x of it, and `Foo_` and `Foox` would be one column.
_COLUMN_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]{0,48}[A-Za-z0-9])?", re.ASCII)
_DEEPEST = 100
"""Levels of nesting in a field unknown to this version; far below what an encoder can't follow."""


class Tables(NamedTuple):
    """The rows of some pulls, a table for each resource."""

    replies: pa.Table
    pulls: pa.Table
    rejected_replies: pa.Table


def to_tables(pulls: Sequence[Pull], new_columns: set[str]) -> Tables:
    """The rows that the pulls hold: each reply, each pull, each record that does not fit.

    new_columns: the columns of `replies`, as plain names, that the warehouse has already beside
        the known ones; those that the tables add are added.
    """
    numbers = [n for n, pull in enumerate(pulls) for _ in pull.records]
    positions = list(chain.from_iterable(range(len(pull.records)) for pull in pulls))
    records = list(chain.from_iterable(pull.records for pull in pulls))
    rejected: list[dict[str, Any]] = []
    new_fields: dict[str, list[str | None]] = {}
    fields = _as_specified(records)
    if fields is None:
        reasons = [_misfit(record) for record in records]
        texts: dict[int, list[str]] = {}
        for n, position, reason in zip(numbers, positions, reasons, strict=True):
            if reason is not None:
                if n not in texts:
                    texts[n] = record_texts(feeds.REPLIES, pulls[n].body)
                rejected.append(_rejected(pulls[n], position, reason, texts[n][position]))
        fitting = [i for i, reason in enumerate(reasons) if reason is None]
        numbers, positions, records = (
            [column[i] for i in fitting] for column in (numbers, positions, records)
        )
        fields = pa.array(records, _RECORD)
        new_fields = _new_fields(records, new_columns)
    replies = _replies(pulls, numbers, positions, fields)
    for name, values in new_fields.items():
        replies = replies.append_column(name, pa.array(values, pa.string()))
    return Tables(
        replies=replies,
        pulls=pa.Table.from_pylist([_ledger_row(pull) for pull in pulls], PULLS),
        rejected_replies=pa.Table.from_pylist(rejected, REJECTED_REPLIES),
    )


def plain_name(name: str) -> str:
    """A name without what namings differ in: two names with the same plain name may be one column."""
    return name.replace("_", "").lower()


_KNOWN_COLUMNS = frozenset(map(plain_name, (*REPLIES.names, OTHER_FIELDS, REPLY_DATE)))


def known_new_columns(columns: Iterable[str]) -> set[str]:
    """Of a table's columns, those that came of fields unknown to this version, as plain names."""
    return {plain_name(name) for name in columns if not name.startswith("_dlt")} - _KNOWN_COLUMNS


def _as_specified(records: list[Any]) -> pa.StructArray | None:
    """The records' fields, if all of them fit and hold nothing new; None if one may not."""
    try:
        whole = set(map(type, records)) <= {dict} and all(map(_FIELDS.issuperset, records))
        # Arrow takes a float or a boolean for an integer; of all else, it says that it does not fit.
        if not whole or not {type(record["ReplyTime"]) for record in records} <= {int}:
            return None
        fields = pa.array(records, _RECORD)
    except (KeyError, OverflowError, UnicodeEncodeError, pa.ArrowException):
        return None
    times = pc.min_max(fields.field("ReplyTime")).as_py()
    is_timely = not records or (times["min"] >= OLDEST_REPLY_TIME and times["max"] <= NEWEST_REPLY_TIME)
    return fields if is_timely and not fields.field("PhoneNumber").null_count else None


def _replies(
    pulls: Sequence[Pull], numbers: list[int], positions: list[int], fields: pa.StructArray
) -> pa.Table:
    """The table of the records with these fields, each from the pull of that number, at that position."""
    pull_of_row = pa.array(numbers, pa.int64())

    def of_pull(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pull_of_row)

    answers = of_pull([_answer_id(pull) for pull in pulls], pa.string())
    columns = {
        "reply_id": pc.binary_join_element_wise(answers, pa.array(positions).cast(pa.string()), "/"),
        "sms_sdk_app_id": of_pull([pull.sms_sdk_app_id for pull in pulls], pa.string()),
        "region": of_pull([pull.region for pull in pulls], pa.string()),
        "ReplyTime": fields.field("ReplyTime").cast(pa.timestamp("s", "UTC")).cast(_UTC),
        **{name: fields.field(name) for name in _TEXT_FIELDS},
        "request_id": of_pull([pull.request_id for pull in pulls], pa.string()),
        "pulled_at": of_pull([pull.answered_at for pull in pulls], _UTC),
    }
    return pa.table(columns, REPLIES)


def _answer_id(pull: Pull) -> str:
    return pull.request_id or pull.pull_id


def _ledger_row(pull: Pull) -> dict[str, Any]:
    return {
        "pull_id": pull.pull_id,
        "sms_sdk_app_id": pull.sms_sdk_app_id,
        "region": pull.region,
        "request_id": pull.request_id,
        "requested_at": pull.requested_at,
        "answered_at": pull.answered_at,
        "outcome": "in_doubt" if pull.in_doubt else "answered",
        "replies": len(pull.records),
        "at_risk": pull.limit if pull.in_doubt else 0,
        "error": pull.error,
    }


def _rejected(pull: Pull, position: int, reason: str, text: str) -> dict[str, Any]:
    return {
        "request_id": _answer_id(pull),
        "position": position,
        "sms_sdk_app_id": pull.sms_sdk_app_id,
        "reason": reason,
        "record": text,
        "pulled_at": pull.answered_at,
    }


def _misfit(record: Any) -> str | None:
    """Why a record does not fit; None when it does. Names kinds, never what a person wrote."""
    if isinstance(record, Unreadable):
        return record.reason
    if not isinstance(record, dict):
        return f"the record is {_kind(record)}, not an object"
    for name in _TEXT_FIELDS:
        value = record.get(name)
        if value is None and name != "PhoneNumber":
            continue
        if not isinstance(value, str):
            return f"{name} is {_kind(value)}, not a string"
        if not _is_unicode(value):
            return f"{name} is not valid Unicode"
    time = record.get("ReplyTime")
    if type(time) is not int:
        return f"ReplyTime is {_kind(time)}, not an integer"
    if not OLDEST_REPLY_TIME <= time <= NEWEST_REPLY_TIME:
        return f"ReplyTime is not from {OLDEST_REPLY_TIME} to {NEWEST_REPLY_TIME}"
    if any(_is_deep(record[name]) for name in record.keys() - _FIELDS):
        return f"a field unknown to this version is nested deeper than {_DEEPEST} levels"
    return None


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than is fit for a column; goes level by level, not recursively."""
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


def _new_fields(records: list[dict[str, Any]], new_columns: set[str]) -> dict[str, list[str | None]]:
    """A column of text for each field that this version does not know, so that nothing is left out.

    Text, because the type of a field that nobody knows may change from record to record: strings as they
    are, all else as JSON. A name that could clash with a column, or one too many, shares OTHER_FIELDS.
    """
    names = dict.fromkeys(name for record in records for name in record if name not in _FIELDS)
    own: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        known = plain in new_columns or len(new_columns) < MOST_NEW_COLUMNS
        if _COLUMN_NAME.fullmatch(name) and known and plain not in _KNOWN_COLUMNS and plain not in own:
            own[plain] = name
            new_columns.add(plain)
    columns = {name: [_as_text(record.get(name)) for record in records] for name in own.values()}
    others = names.keys() - own.values()
    if others:
        rests = [{name: record[name] for name in record if name in others} for record in records]
        columns[OTHER_FIELDS] = [_as_text(rest or None) for rest in rests]
    return columns


def _as_text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _is_unicode(value)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(value)
