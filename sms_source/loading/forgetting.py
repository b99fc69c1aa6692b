"""forget(): erases people from the journal and from the tables of a destination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dlt.common.destination import AnyDestination
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.destinations.job_client_impl import SqlJobClientBase

from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import ConfigurationError
from sms_source.journal.opening import open_journal
from sms_source.loading import commits, lake_erasure, last_run, table_erasure
from sms_source.loading.engine import Engine
from sms_source.loading.keeping import as_found
from sms_source.loading.loader import DATASET, PIPELINE, resolve_options
from sms_source.loading.target import kind_of, owner_of, target_of
from sms_source.loading.working_directory import WorkingDirectory
from sms_source.privacy.erasing import Eraser
from sms_source.privacy.people import People

_EVERYWHERE = (
    "backups, exports and pages made of the rows",
    "what other people wrote about them",
    "Tencent Cloud's own records, and what still waits in its queues: a later reply is a new one",
    "other journals and datasets: run it once for each",
)
_BY_KIND = {
    "duckdb": "free blocks of the DuckDB file: COPY FROM DATABASE into a new file leaves them behind",
    "postgres": "PostgreSQL's write-ahead log and the disk's free blocks, until they are written over",
    "ducklake": "the DuckLake's older versions, in Parquet files and in the catalog, until "
    "ducklake_flush_inlined_data, ducklake_rewrite_data_files, ducklake_expire_snapshots and "
    "ducklake_cleanup_old_files: docs/privacy.md has the statements; free blocks of the catalog's database",
    "filesystem": "statistics in the logs of Delta tables, and in the older metadata of Iceberg tables",
}
_NOBODY = {"secret_id": "-", "secret_key": "-"}
"""Nobody is asked, so no credentials are needed, nor looked for."""


@dataclass
class Forgotten:
    """What `forget` did.

    people: whom it was asked to forget.
    rows: that were deleted, by table; a table that is not there is not in it.
    journal_records: that were erased from the journal.
    unreadable: files of the journal that can't be read, of which nobody can tell whom they hold.
    not_reached: where else the people may be, in words.
    """

    people: int
    rows: dict[str, int] = field(default_factory=dict)
    journal_records: int = 0
    unreadable: int = 0
    not_reached: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield what was done, for a person."""
        rows = ", ".join(f"{count:,} of {table}" for table, count in self.rows.items()) or "none"
        yield f"Forgot {self.people:,} {'number' if self.people == 1 else 'numbers'}."
        yield f"  rows          {rows}"
        yield f"  journal       {self.journal_records:,} records"
        for place in self.not_reached:
            yield f"  not reached   {place}"


def forget(
    numbers: str | Iterable[str],
    destination: str | AnyDestination = "duckdb",
    dataset_name: str = DATASET,
    pipeline_name: str = PIPELINE,
    **options: Any,
) -> Forgotten:
    """Erase people: their rows from every table, their records from the journal.

    First from the journal, so that nothing brings them back; then from the tables, in one transaction with
    the row of `erasures` that says when, and how many rows of which table. It can be killed at any point and
    run again; the counts are then those of what was left.

    Args:
        numbers: of the people, in international form; one or many.
        destination: as for `load`.
        dataset_name: likewise.
        pipeline_name: likewise.
        options: of `sms_source`; dlt's configuration has the others. With the `pseudonym_key`, pseudonyms are
            found, too, and `erasures` tells people apart by them.

    Raises:
        ConfigurationError: one is no number, or as for `load`; nothing was erased.
        JournalLockedError: another process is using the journal.
    """
    resolved = resolve_options({"credentials": _NOBODY, **options})
    people = People([numbers] if isinstance(numbers, str) else numbers, resolved.pseudonym_key)
    if not people.digits:
        raise ConfigurationError("There is no number to forget.")
    last_run.check(pipeline_name, resolved)
    eraser = Eraser(people)
    with as_found(), open_journal(resolved) as journal:
        target = target_of(destination, journal.identity.journal_id)
        owner = owner_of(target, pipeline_name, dataset_name)
        is_own = journal.identity.owner in (None, owner)
        if is_own:
            journal.claim(owner)
        eraser.journal(journal)
        with _directory(resolved, pipeline_name, journal.identity.journal_id) as directory:
            allowed = resolved.allow_duplicates_in
            engine = Engine(target, dataset_name, pipeline_name, None, directory, allowed)
            engine.restore()  # the schema, by which dlt knows the tables
            if is_own and kind_of(target) == "filesystem":
                # Deleting the older versions' files would delete what tells that a table went back.
                commits.give_again_what_is_missing(journal, engine.pipeline)
            rows, left = _erase_rows(engine, people, eraser)
    done = Forgotten(
        people=len(people.digits),
        rows={table: rows[table].total() for table in sorted(rows)},
        journal_records=eraser.erased.total(),
        unreadable=eraser.unreadable,
    )
    if eraser.unreadable:
        done.not_reached.append(f"{eraser.unreadable} damaged files of the journal {journal.url}")
    done.not_reached += [
        f"another journal's staging dataset {name}: delete it if no job uses it" for name in left
    ]
    done.not_reached += [_BY_KIND[kind] for kind in (kind_of(target),) if kind in _BY_KIND]
    done.not_reached += _EVERYWHERE
    return done


def _directory(options: SmsSourceConfiguration, pipeline_name: str, journal_id: str) -> WorkingDirectory:
    return WorkingDirectory(pipeline_name, journal_id, in_memory=bool(options.journal_encryption_key))


def _erase_rows(engine: Engine, people: People, eraser: Eraser) -> tuple[table_erasure.Rows, list[str]]:
    """Return how many rows went from each table, and the datasets that were left out."""
    with engine.pipeline.destination_client() as client:
        if not client.is_storage_initialized():
            return {}, []
        if isinstance(client, SqlJobClientBase):
            rows = table_erasure.erase_rows(client, people, eraser.erased)
            return rows, table_erasure.not_reached(client)
        if isinstance(client, FilesystemClient):
            return lake_erasure.erase_rows(client, people, eraser.erased), []
    raise ConfigurationError(
        f"This version can't delete rows from {kind_of(engine.pipeline.destination)}. The journal is clean: "
        "delete them there by phone_number."
    )
