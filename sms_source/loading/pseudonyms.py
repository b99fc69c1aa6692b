"""Tables without a phone number: pseudonyms in their place, before dlt sees a row."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sms_source.api.answers import parse_record
from sms_source.feeds import FEEDS, Feed
from sms_source.loading.tables import PULLS_SCHEMA, REJECTED_SCHEMA, Tables, feed_schema
from sms_source.privacy.numbers import RUN_IN_RE2, own_numbers
from sms_source.privacy.pseudonym import keyed_id, pseudonym, without_numbers

NUMBER, NATIONAL_NUMBER = "PhoneNumber", "SubscriberNumber"
KEYWORD = "keyword"
_LOAD_ID = "_dlt_load_id"
_KEPT = frozenset(
    {"pull_id", "channel", "feed", "sms_sdk_app_id", "region", "request_id", "outcome"}
    | {feed.record_id for feed in FEEDS.values()}
    | {NUMBER, NATIONAL_NUMBER, KEYWORD}
    | {"ExtendCode", "SerialNo"}  # the sender's own
)
"""Columns of text in which no run of digits is a person's number, or that are replaced whole: where a table
has one of its own, as an unknown field may have any name."""


def with_pseudonyms(tables: Tables, key: str) -> Tables:
    """Return the tables with a pseudonym for each phone number.

    The column of the number holds its pseudonym, that of its national form nothing; runs of 7 or more digits
    in texts, in fields unknown to this version, in rejected records and in errors are replaced (see
    `without_numbers`). A keyword with such a run becomes null.
    """
    records = tables.rejected["record"]
    rejected = _masked(tables.rejected, REJECTED_SCHEMA, lambda row: _numbers_in(records[row].as_py()), key)
    return Tables(
        {name: _records(FEEDS[name], table, key) for name, table in tables.records.items()},
        _masked(tables.pulls, PULLS_SCHEMA, lambda _: (), key),
        _keyed(rejected, "pull_id", key),
    )


def _records(feed: Feed, table: pa.Table, key: str) -> pa.Table:
    numbers = table[NUMBER]
    masked = _masked(table, feed_schema(feed), lambda row: (numbers[row].as_py() or "",), key)
    masked = _replaced(masked, NUMBER, _pseudonyms(numbers, key))
    masked = _replaced(masked, NATIONAL_NUMBER, pa.nulls(table.num_rows, pa.string()))
    masked = _keyed(masked, feed.record_id, key)
    if feed.keyword_field:
        keywords = masked[KEYWORD]
        is_number = pc.match_substring_regex(keywords, RUN_IN_RE2)
        masked = _replaced(masked, KEYWORD, pc.if_else(is_number, pa.scalar(None, pa.string()), keywords))
    return masked


def _keyed(table: pa.Table, name: str, key: str) -> pa.Table:
    """Return a table whose ids of pushed and of looked-up records are digests that need the key, too."""
    if not pc.any(pc.match_substring_regex(table[name], "^(callback|lookup)/")).as_py():
        return table
    ids = [
        keyed_id(value, key) if value.startswith(("callback/", "lookup/")) else value
        for value in table[name].to_pylist()
    ]
    return _replaced(table, name, pa.array(ids, pa.string()))


def _pseudonyms(numbers: pa.ChunkedArray, key: str) -> pa.Array:
    """Return the pseudonym of each number, each distinct one computed once."""
    encoded = pc.dictionary_encode(numbers).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without a row
        return pa.nulls(0, pa.string())
    distinct = pa.array([pseudonym(number, key) for number in encoded.dictionary.to_pylist()], pa.string())
    return distinct.take(encoded.indices)


def _masked(
    table: pa.Table, schema: pa.Schema, numbers_of: Callable[[int], Iterable[str]], key: str
) -> pa.Table:
    """Return a table without runs of digits in its texts.

    Args:
        table: of any columns.
        schema: of those that this version knows.
        numbers_of: returns the numbers that are a row's own, by its place.
        key: `pseudonym_key`.
    """
    if not table.num_rows:  # pyarrow 18's indices_nonzero ends the process
        return table
    kept = {_LOAD_ID, *_KEPT.intersection(schema.names)}
    for name in table.column_names:
        column = table[name]
        if name in kept or not pa.types.is_string(column.type):
            continue
        suspects = pc.or_(pc.match_substring_regex(column, RUN_IN_RE2), pc.match_substring(column, "\\u"))
        rows = pc.indices_nonzero(pc.fill_null(suspects, fill_value=False)).to_pylist()
        if rows:
            values = column.to_pylist()
            for row in rows:
                values[row] = without_numbers(values[row], numbers_of(row), key)
            table = _replaced(table, name, pa.array(values, pa.string()))
    return table


def _replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


def _numbers_in(record: str | None) -> list[str]:
    """Return the numbers that a record that does not fit names as its own."""
    found = parse_record(record or "")
    return own_numbers(found) if isinstance(found, dict) else []
