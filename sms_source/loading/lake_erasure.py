"""Deletes from Delta and Iceberg tables: the rows of people, and rows that are too old, and their files."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import reduce
from typing import Any, Protocol

import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from sms_source.api.answers import parse_record
from sms_source.feeds import FEEDS
from sms_source.loading.lakehouse import DELTA, ICEBERG
from sms_source.loading.table_erasure import ERASURES, WHO, WITH_PEOPLE, Rows, noted, owner_of_row
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


class LakeTable(Protocol):
    """A table of one of the formats, in its newest version."""

    def columns(self, *names: str) -> Iterator[list[list[Any]]]:
        """Yield the values of some columns, a list for each, a batch of rows at a time."""

    def delete(self, **values: list[Any]) -> None:
        """Delete the rows whose columns all have one of these values."""

    def delete_before(self, moment: datetime) -> bool:
        """Delete the rows that came before a moment; whether there were any."""

    def remove_old_files(self) -> None:
        """Remove the files that older versions alone have, so that a reader of one of them fails."""


def erase_rows(client: FilesystemClient, people: People, in_journal: Mapping[str, int]) -> Rows:
    """Delete people's rows from all tables, and note it. Arguments and result as in `table_erasure`.

    Each table is a transaction of its own. Files that no version needs any more are deleted at once, so a
    reader of an older version fails.
    """
    rows: Rows = {}
    for name, table in _tables(client):
        erase = _erase_rejected if name == REJECTED else _erase_records
        rows[name] = erase(name, table, people)
        table.remove_old_files()
    if rows:
        note = pa.Table.from_pylist(noted(people, rows, in_journal), _ERASURES_SCHEMA)
        is_iceberg = ICEBERG in {_format_of(client, name) for name in rows}
        (_note_in_iceberg if is_iceberg else _note_in_delta)(client, note)
    return rows


def delete_old(client: FilesystemClient, before: datetime) -> None:
    """Delete the rows that came before a moment."""
    for _, table in _tables(client):
        if table.delete_before(before.astimezone(timezone.utc)):
            table.remove_old_files()


def _tables(client: FilesystemClient) -> Iterator[tuple[str, LakeTable]]:
    for name in WITH_PEOPLE:
        table_format = _format_of(client, name)
        try:
            table = client.load_open_table(table_format, name)
        except DestinationUndefinedEntity:
            continue
        yield name, (_Iceberg if table_format == ICEBERG else _Delta)(table)


def _format_of(client: FilesystemClient, name: str) -> Any:
    """Return the format of a table; that of one that there is not makes no difference."""
    return client.schema.tables.get(name, {}).get("table_format", DELTA)


def _erase_records(name: str, table: LakeTable, people: People) -> Counter[str]:
    key = FEEDS[name].record_id
    erased: Counter[str] = Counter()
    theirs = []
    for ids, *batch in table.columns(key, *WHO):
        for record_id, who in zip(ids, zip(*batch, strict=True), strict=True):
            if owner := owner_of_row(people, who):
                erased[owner] += 1
                theirs.append(record_id)
    if theirs:
        table.delete(**{key: theirs})
    return erased


def _erase_rejected(_name: str, table: LakeTable, people: People) -> Counter[str]:
    erased: Counter[str] = Counter()
    for pull_ids, positions, records in table.columns("pull_id", "position", "record"):
        for pull_id, position, record in zip(pull_ids, positions, records, strict=True):
            if owner := people.owner_of(parse_record(record or ""), record or ""):
                erased[owner] += 1
                table.delete(pull_id=[pull_id], position=[position])
    return erased


class _Delta:
    def __init__(self, table: Any) -> None:
        self._table = table

    def columns(self, *names: str) -> Iterator[list[list[Any]]]:
        for batch in self._table.to_pyarrow_dataset().to_batches(columns=list(names)):
            yield [batch[name].to_pylist() for name in names]

    def delete(self, **values: list[Any]) -> None:
        conditions = (f"{name} in ({', '.join(map(_literal, these))})" for name, these in values.items())
        self._table.delete(" and ".join(conditions))

    def delete_before(self, moment: datetime) -> bool:
        # Delta compares times of one unit alone.
        literal = f"arrow_cast('{moment:%Y-%m-%dT%H:%M:%S.%fZ}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        return bool(self._table.delete(f"pulled_at < {literal}")["num_deleted_rows"])

    def remove_old_files(self) -> None:
        self._table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def _literal(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


class _Iceberg:
    def __init__(self, table: Any) -> None:
        self._table = table

    def columns(self, *names: str) -> Iterator[list[list[Any]]]:
        for batch in self._table.scan(selected_fields=names).to_arrow_batch_reader():
            yield [batch[name].to_pylist() for name in names]

    def delete(self, **values: list[Any]) -> None:
        from pyiceberg.expressions import And, In

        self._table.delete(reduce(And, [In(name, these) for name, these in values.items()]))

    def delete_before(self, moment: datetime) -> bool:
        from pyiceberg.expressions import LessThan

        is_old = LessThan("pulled_at", moment.isoformat())
        if not len(self._table.scan(is_old, selected_fields=("pulled_at",), limit=1).to_arrow()):
            return False
        self._table.delete(is_old)
        return True

    def remove_old_files(self) -> None:
        # The files first: a run that is killed between the two finds them again.
        files = self._table.inspect
        newest = files.files()["file_path"].to_pylist()
        for path in {*files.all_files()["file_path"].to_pylist()}.difference(newest):
            with suppress(FileNotFoundError):
                self._table.io.delete(path)
        current = self._table.metadata.current_snapshot_id
        old = [snapshot.snapshot_id for snapshot in self._table.snapshots()]
        self._table.maintenance.expire_snapshots().by_ids([one for one in old if one != current]).commit()


def _note_in_delta(client: FilesystemClient, note: pa.Table) -> None:
    from deltalake import write_deltalake
    from dlt.common.libs.deltalake import deltalake_storage_options

    options = deltalake_storage_options(client.config.credentials, client.config.deltalake_storage_options)
    location = client.get_open_table_location(DELTA, ERASURES)
    write_deltalake(location, note, mode="append", storage_options=options)


def _note_in_iceberg(client: FilesystemClient, note: pa.Table) -> None:
    catalog = client.get_open_table_catalog(ICEBERG)
    location = client.get_open_table_location(ICEBERG, ERASURES)
    name = f"{client.dataset_name}.{ERASURES}"
    catalog.create_table_if_not_exists(name, schema=note.schema, location=location).append(note)
