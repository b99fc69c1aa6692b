"""Pulls into typed Arrow tables: the records of each feed, the ledger, the records that do not fit.

A column that holds a field of the API has the field's name (`ReplyTime`), which dlt's naming makes
`reply_time` in the warehouse. A batch is checked and built column by column; only one that holds a
record which does not fit is gone through row by row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sms_source.api.answers import record_texts, whole_texts
from sms_source.api.brackets import as_it_came
from sms_source.api.pushes import UNKNOWN_APPLICATION, entry_texts
from sms_source.feeds import Feed
from sms_source.journal.pull import NO_RECORD, Pull
from sms_source.keywords import keywords
from sms_source.loading.records import OTHER_FIELDS, misfit, new_fields, plain_name
from sms_source.settings import NEWEST_TIME, OLDEST_TIME

PULLS = "pulls"
REJECTED = "rejected_records"

_UTC = pa.timestamp("us", "UTC")
_LOAD_ID = pa.field("_dlt_load_id", pa.string(), nullable=False)

PULLS_SCHEMA = pa.schema(
    [
        pa.field("pull_id", pa.string(), nullable=False),
        pa.field("feed", pa.string()),
        pa.field("sms_sdk_app_id", pa.string()),
        pa.field("region", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("requested_at", _UTC),
        pa.field("answered_at", _UTC),
        pa.field("outcome", pa.string()),
        pa.field("records", pa.int64()),
        pa.field("at_risk", pa.int64()),
        pa.field("error", pa.string()),
    ]
)
REJECTED_SCHEMA = pa.schema(
    [
        pa.field("feed", pa.string()),
        pa.field("pull_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string()),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("sms_sdk_app_id", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("record", pa.string()),
        pa.field("pulled_at", _UTC),
    ]
)


@dataclass(frozen=True)
class Tables:
    """The rows of some pulls.

    records: a table for each feed, by its name.
    pulls: the ledger.
    rejected: the records that do not fit.
    """

    records: dict[str, pa.Table]
    pulls: pa.Table
    rejected: pa.Table

    def by_name(self) -> dict[str, pa.Table]:
        """Return all tables by their names in the warehouse."""
        return {**self.records, PULLS: self.pulls, REJECTED: self.rejected}


def feed_schema(feed: Feed) -> pa.Schema:
    """Return the columns of a feed's table that this version knows."""
    return pa.schema(
        [
            pa.field(feed.record_id, pa.string(), nullable=False),
            pa.field("pull_id", pa.string()),
            pa.field("channel", pa.string()),
            pa.field("sms_sdk_app_id", pa.string()),
            pa.field("region", pa.string()),
            pa.field(feed.time_field, _UTC),
            *(pa.field(name, pa.string()) for name in feed.text_fields),
            *([pa.field("keyword", pa.string())] if feed.keyword_field else []),
            pa.field("request_id", pa.string()),
            pa.field("pulled_at", _UTC),
        ]
    )


def known_columns(feed: Feed) -> frozenset[str]:
    """Return the plain names of a feed's columns that this version knows."""
    # A lakehouse's folders are by the date: sms_source.loading.destinations.
    return frozenset(map(plain_name, (*feed_schema(feed).names, OTHER_FIELDS, f"{feed.record}_date")))


def to_tables(
    pulls: Sequence[Pull], feeds: Iterable[Feed], new_columns: dict[str, set[str]], load_id: str | None = None
) -> Tables:
    """Return the rows that pulls hold: each record, each pull, each record that does not fit.

    Args:
        pulls: of any feeds.
        feeds: that have a table.
        new_columns: the columns of each feed's table, as plain names, that the warehouse has already beside
            the known ones; those that the tables add are added.
        load_id: dlt's id of the package; a pull that was loaded before keeps that of its first load. None
            when somebody looks at rows without a pipeline.
    """
    records: dict[str, pa.Table] = {}
    rejected: list[dict[str, Any]] = []
    for feed in feeds:
        own = [pull for pull in pulls if pull.feed == feed.name]
        records[feed.name] = _records(feed, own, new_columns.setdefault(feed.name, set()), rejected, load_id)
    queue = [pull for pull in pulls if pull.channel == "queue"]
    ledger = pa.Table.from_pylist([_ledger_row(pull) for pull in queue], PULLS_SCHEMA)
    misfits = pa.Table.from_pylist(rejected, REJECTED_SCHEMA)
    if load_id is not None:
        ledger = ledger.append_column(_LOAD_ID, pa.array([p.load_id or load_id for p in queue], pa.string()))
        ids = pa.array([row[_LOAD_ID.name] or load_id for row in rejected], pa.string())
        misfits = misfits.append_column(_LOAD_ID, ids)
    return Tables(records, ledger, misfits)


def _records(
    feed: Feed,
    pulls: Sequence[Pull],
    new_columns: set[str],
    rejected: list[dict[str, Any]],
    load_id: str | None,
) -> pa.Table:
    """Return the table of one feed's records; those that do not fit go into `rejected`."""
    numbers = [n for n, pull in enumerate(pulls) for _ in pull.records]
    positions = list(chain.from_iterable(range(len(pull.records)) for pull in pulls))
    records = list(chain.from_iterable(pull.records for pull in pulls))
    extra: dict[str, list[str | None]] = {}
    fields = _as_specified(feed, records)
    if fields is None:
        reasons = [misfit(feed, record) for record in records]
        texts: dict[int, list[str]] = {}
        for n, position, reason, record in zip(numbers, positions, reasons, records, strict=True):
            if reason is not None and record is not NO_RECORD:
                if n not in texts:
                    texts[n] = _texts(feed, pulls[n])
                rejected.append(_rejected(pulls[n], position, reason, texts[n][position]))
        fitting = [i for i, reason in enumerate(reasons) if reason is None]
        numbers, positions, records = (
            [column[i] for i in fitting] for column in (numbers, positions, records)
        )
        fields = pa.array(records, _struct(feed))
        extra = new_fields(feed, records, new_columns, known_columns(feed))
    table = _table(feed, pulls, numbers, positions, fields)
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values, pa.string()))
    if load_id is not None:
        ids = pa.array([pull.load_id or load_id for pull in pulls], pa.string())
        table = table.append_column(_LOAD_ID, ids.take(pa.array(numbers, pa.int64())))
    return table


def _texts(feed: Feed, pull: Pull) -> list[str]:
    """Return the text of each record as it came."""
    if pull.channel == "callback":
        return [as_it_came(text) for text in entry_texts(pull.body)]
    return (whole_texts if pull.in_doubt else record_texts)(feed, pull.body)


def _struct(feed: Feed) -> pa.StructType:
    return pa.struct([*((name, pa.string()) for name in feed.text_fields), (feed.time_field, pa.int64())])


def _as_specified(feed: Feed, records: list[Any]) -> pa.StructArray | None:
    """Return the records' fields, if all of them fit and hold nothing new; None if one may not."""
    name = feed.time_field
    try:
        whole = set(map(type, records)) <= {dict} and all(map(feed.fields.issuperset, records))
        # Arrow takes a float or a boolean for an integer; of all else, it says that it does not fit.
        if not whole or not {type(record[name]) for record in records} <= {int}:
            return None
        fields = pa.array(records, _struct(feed))
    except (KeyError, OverflowError, UnicodeEncodeError, pa.ArrowException):
        return None
    times = pc.min_max(fields.field(name)).as_py()
    is_timely = not records or (times["min"] >= OLDEST_TIME and times["max"] <= NEWEST_TIME)
    if not is_timely or any(fields.field(required).null_count for required in feed.required_fields):
        return None
    return fields


def _table(
    feed: Feed, pulls: Sequence[Pull], numbers: list[int], positions: list[int], fields: pa.StructArray
) -> pa.Table:
    """Return the table of records with these fields, each from the pull of that number, at that position."""
    pull_of_row = pa.array(numbers, pa.int64())

    def of_pull(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pull_of_row)

    pull_ids = of_pull([pull.pull_id for pull in pulls], pa.string())
    record_ids = pc.binary_join_element_wise(pull_ids, pa.array(positions).cast(pa.string()), "/")
    if any(pull.record_ids for pull in pulls):
        own = ((pulls[n].record_ids or [], position) for n, position in zip(numbers, positions, strict=True))
        given = pa.array([ids[position] if ids else None for ids, position in own], pa.string())
        record_ids = pc.coalesce(given, record_ids)
    times = fields.field(feed.time_field)
    if not feed.is_time_required:  # 0 says that there is none
        times = pc.if_else(pc.equal(times, 0), pa.scalar(None, pa.int64()), times)
    columns = {
        feed.record_id: record_ids,
        "pull_id": pull_ids,
        "channel": of_pull([pull.channel for pull in pulls], pa.string()),
        "sms_sdk_app_id": of_pull([_known(pull.sms_sdk_app_id) for pull in pulls], pa.string()),
        "region": of_pull([_known(pull.region) for pull in pulls], pa.string()),
        feed.time_field: times.cast(pa.timestamp("s", "UTC")).cast(_UTC),
        **{name: fields.field(name) for name in feed.text_fields},
        "request_id": of_pull([pull.request_id for pull in pulls], pa.string()),
        "pulled_at": of_pull([pull.answered_at for pull in pulls], _UTC),
    }
    if feed.keyword_field:
        columns["keyword"] = keywords(fields.field(feed.keyword_field))
    return pa.table({name: columns[name] for name in feed_schema(feed).names}, feed_schema(feed))


def _known(name: str) -> str | None:
    """Return an application or a region; None for `-`, which stands in a name where it is not known."""
    return None if name == UNKNOWN_APPLICATION else name


def _ledger_row(pull: Pull) -> dict[str, Any]:
    return {
        "pull_id": pull.pull_id,
        "feed": pull.feed,
        "sms_sdk_app_id": pull.sms_sdk_app_id,
        "region": pull.region,
        "request_id": pull.request_id,
        "requested_at": pull.requested_at,
        "answered_at": pull.answered_at,
        "outcome": "in_doubt" if pull.in_doubt else "answered",
        "records": len(pull.records),
        "at_risk": pull.at_risk,
        "error": pull.error,
    }


def _rejected(pull: Pull, position: int, reason: str, text: str) -> dict[str, Any]:
    pull_id = pull.pull_id
    if pull.record_ids:  # it may be pushed or looked up again, and is one row all the same
        pull_id, position = pull.record_ids[position], 0
    return {
        "feed": pull.feed,
        "pull_id": pull_id,
        "request_id": pull.request_id,
        "position": position,
        "sms_sdk_app_id": _known(pull.sms_sdk_app_id),
        "reason": reason,
        "record": text,
        "pulled_at": pull.answered_at,
        _LOAD_ID.name: pull.load_id,
    }
