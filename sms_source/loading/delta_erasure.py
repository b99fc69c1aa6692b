"""Deletes from Delta tables: the rows of people, and rows that are too old; old files go with them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from sms_source.api.answers import parse_record
from sms_source.loading.table_erasure import (
    ERASURES,
    KEY,
    WHO,
    WITH_PEOPLE,
    Rows,
    key_of,
    noted,
    owner_of_row,
)
from sms_source.loading.tables import REJECTED
from sms_source.privacy.people import People

_ERASURES_SCHEMA = pa.schema(
    [
        pa.field("erased_at", pa.timestamp("us", "UTC")),
        pa.field("person", pa.string()),
        *(pa.field(table, pa.int64()) for table in WITH_PEOPLE),
        pa.field("journal_records", pa.int64()),
    ]
)


def erase_rows(client: FilesystemClient, people: People, in_journal: Mapping[str, int]) -> Rows:
    """Delete people's rows from all tables, and note it. Arguments and result as in `table_erasure`.

    Each table is a transaction of its own. Files that no version needs any more are deleted at once, so a
    reader of an older version fails.
    """
    rows: Rows = {}
    beside = None
    for name, table in _tables(client):
        rows[name] = _erase_rejected(table, people) if name == REJECTED else _erase_records(table, people)
        _vacuum(table)
        beside = table.table_uri.rstrip("/").rpartition("/")[0]
    if beside:
        _note(client, f"{beside}/{ERASURES}", people, rows, in_journal)
    return rows


def delete_old(client: FilesystemClient, before: datetime) -> None:
    """Delete the rows that came before a moment."""
    moment = before.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for _, table in _tables(client):
        # Delta compares times of one unit alone.
        is_old = f"pulled_at < arrow_cast('{moment}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        if table.delete(is_old)["num_deleted_rows"]:
            _vacuum(table)


def _tables(client: FilesystemClient) -> Iterator[tuple[str, Any]]:
    for name in WITH_PEOPLE:
        try:
            yield name, client.load_open_table("delta", name)
        except DestinationUndefinedEntity:
            continue


def _erase_records(table: Any, people: People) -> Counter[str]:
    erased: Counter[str] = Counter()
    theirs = set()
    for batch in _columns(table, *WHO):
        for who in zip(*batch, strict=True):
            if owner := owner_of_row(people, who):
                erased[owner] += 1
                theirs.add(key_of(who))
    if theirs:
        table.delete(f"{KEY} in ({_quoted(sorted(theirs))})")
    return erased


def _erase_rejected(table: Any, people: People) -> Counter[str]:
    erased: Counter[str] = Counter()
    for pull_ids, positions, records in _columns(table, "pull_id", "position", "record"):
        for pull_id, position, record in zip(pull_ids, positions, records, strict=True):
            if owner := people.owner_of(parse_record(record or ""), record or ""):
                erased[owner] += 1
                table.delete(f"pull_id = {_quoted([pull_id])} and position = {position}")
    return erased


def _columns(table: Any, *names: str) -> Iterator[list[list[Any]]]:
    for batch in table.to_pyarrow_dataset().to_batches(columns=list(names)):
        yield [batch[name].to_pylist() for name in names]


def _note(
    client: FilesystemClient, url: str, people: People, rows: Rows, in_journal: Mapping[str, int]
) -> None:
    from deltalake import write_deltalake
    from dlt.common.libs.deltalake import deltalake_storage_options

    options = deltalake_storage_options(client.config.credentials, client.config.deltalake_storage_options)
    table = pa.Table.from_pylist(noted(people, rows, in_journal), _ERASURES_SCHEMA)
    write_deltalake(url, table, mode="append", storage_options=options)


def _vacuum(table: Any) -> None:
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def _quoted(values: list[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
