"""The dlt pipeline of a job: made in an empty working directory, with its state from the destination."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import dlt
from dlt.common.destination import AnyDestination
from dlt.common.pipeline import LoadInfo
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source.loading import commits, lake_erasure, table_erasure
from sms_source.loading.alone import alone
from sms_source.loading.destinations import TABLES, for_pipeline
from sms_source.loading.duckdb_memory import DuckDbMemory
from sms_source.loading.extraction import Extraction
from sms_source.loading.keeping import forget_credentials
from sms_source.loading.lakehouse import configured_format
from sms_source.loading.obstacles import refuse_what_is_in_the_way
from sms_source.loading.open_database import OpenDatabase
from sms_source.loading.resources import resources_of
from sms_source.loading.tables import Tables
from sms_source.loading.target import kind_of
from sms_source.loading.working_directory import SCHEMA, WorkingDirectory
from sms_source.views import create_views

logger = logging.getLogger(__name__)

MAX_RACES = 8
"""That a load may lose against other jobs of the dataset: one for all that a job makes, as a rule."""
SMALL_PACKAGE = 10_000
"""Rows with which the database stays open while they are loaded. With more, what that saves is nothing beside
the rest, and DuckDB would keep 50 MB in memory from one step to the next (measured)."""
_RACES = ("DuplicateSchema", "DuplicateTable", "DuplicateColumn", "UniqueViolation", "DeadlockDetected")
"""What PostgreSQL's driver names them; another job made the same schema, table or column at the same moment,
or makes the tables in another order, so that two wait for each other."""
_OUT_OF_MEMORY = ("OutOfMemoryException",)
"""What DuckDB's driver names it."""


class Engine:
    """A dlt pipeline that loads extractions, and answers what the destination holds.

    Args:
        target: the destination, set up by `target_of`.
        dataset_name, pipeline_name, progress: of dlt.
        directory: entered; it is emptied.
        allow_duplicates_in: as for `sms_source`.

    Raises:
        ConfigurationError: the destination can't keep a row from being there twice, or the directory is
            another source's.
    """

    def __init__(
        self,
        target: AnyDestination,
        dataset_name: str,
        pipeline_name: str,
        progress: Any,
        directory: WorkingDirectory,
        allow_duplicates_in: str | None = None,
    ) -> None:
        self._target = target
        self._directory = directory
        directory.empty()
        self._memory = DuckDbMemory(target, pipeline_name, dataset_name)
        self.pipeline = dlt.pipeline(
            pipeline_name,
            pipelines_dir=str(directory.pipelines_dir),
            destination=target,
            dataset_name=dataset_name,
            progress=progress,
            dev_mode=False,
        )
        self.pipeline.refresh = None
        self.pipeline.config.restore_from_destination = True
        # dlt would leave its step at the first signal; here it ends pulling, and what was pulled is loaded.
        self.pipeline.config.runtime.intercept_signals = False
        self.destination = for_pipeline(
            self.pipeline, self._source(None), allow_duplicates_in=allow_duplicates_in
        )
        self._database = OpenDatabase(self._memory.credentials)

    def load(self, extraction: Extraction) -> str | None:
        """Extract, normalize and load one package; return its id, None when there was nothing to load.

        Raises:
            PipelineStepFailed: a step of dlt's failed; the journal has what was pulled.
        """
        source = self._source(extraction)
        forget_credentials()
        try:
            info = self._run(source)
        except BaseException:
            self._directory.forget_failure()
            raise
        self._directory.forget_rows()
        return info.loads_ids[-1] if info.loads_ids else None

    def _run(self, source: DltSource) -> LoadInfo:
        with self._memory, alone(self.pipeline, self._directory.journal_id), self._database:
            try:
                info = self.pipeline.run(source)
            except PipelineStepFailed as error:
                info = self._load_again(error)
        info.raise_on_failed_jobs()
        return info

    def _load_again(self, error: PipelineStepFailed) -> LoadInfo:
        """Load again what a race with another job stopped, or too little memory. Raise any other error."""
        for _ in range(MAX_RACES):
            has_more_memory = _is_for(error, _OUT_OF_MEMORY) and self._memory.double()
            if not (has_more_memory or _is_for(error, _RACES)):
                break
            self._database.close()  # after some errors DuckDB refuses all that is asked of an open file
            try:
                return self.pipeline.load()
            except PipelineStepFailed as another:
                error = another
        raise error

    def restore(self) -> commits.State:
        """Take dlt's state from the destination, and return what it says of the last package."""
        self.pipeline.sync_destination()
        return commits.state_of(self.pipeline)

    def rows(self, tables: Iterable[str]) -> dict[str, int]:
        """Return how many rows each table has; nothing where there is no SQL to ask."""
        counts: dict[str, int] = {}
        with self.pipeline.destination_client() as client:
            if isinstance(client, SqlJobClientBase):
                for table in tables:
                    name = client.sql_client.make_qualified_table_name(table)
                    with suppress(DatabaseUndefinedRelation):
                        found = client.sql_client.execute_sql(f"select count(*) from {name}")
                        counts[table] = int(found[0][0]) if found else 0
        return counts

    def refuse_what_is_in_the_way(self, location: str) -> None:
        """Look for what would have every load fail. Raises `ConfigurationError` when there is any."""
        with self.pipeline.destination_client() as client:
            refuse_what_is_in_the_way(client, self.pipeline.dataset_name, location)

    def delete_old(self, before: datetime) -> None:
        """Delete the rows that came before a moment; the ledger stays."""
        self._know_tables()
        with self.pipeline.destination_client() as client:
            if isinstance(client, SqlJobClientBase):
                table_erasure.delete_old(client, before)
            elif isinstance(client, FilesystemClient):
                lake_erasure.delete_old(client, before)

    def create_views(self, opt_out_words: Sequence[str], time_zone: str) -> None:
        """Create or replace the views; what can't be made is a warning in the log, never a failed load."""
        try:
            self._know_tables()
            if self.pipeline.default_schema_name is None:
                return  # nothing was ever loaded
            schema = self.pipeline.default_schema
            tables = {name for name in TABLES if name in schema.tables and schema.get_table_columns(name)}
            with self.pipeline.destination_client() as client:
                if isinstance(client, SqlJobClientBase):
                    warnings = create_views(
                        client.sql_client, tables, opt_out_words=opt_out_words, views_time_zone=time_zone
                    )
                    for warning in warnings:
                        logger.warning("%s", warning)
        except Exception as error:  # noqa: BLE001 - the rows are there; the next load tries again
            logger.warning("The views could not be looked at (%s).", type(error).__name__)

    def have_missing_tables_made(self) -> None:
        """Have the next load make tables that somebody dropped: dlt goes by its own note of what is there.

        The note stays, for the columns that it knows: only the hash by which dlt finds it again goes.
        """
        self.restore()
        with self.pipeline.destination_client() as client:
            if isinstance(client, SqlJobClientBase):
                versions = client.sql_client.make_qualified_table_name(client.schema.version_table_name)
                with suppress(DatabaseUndefinedRelation):
                    client.sql_client.execute_sql(
                        f"update {versions} set version_hash = 'unknown' where schema_name = %s",
                        SCHEMA,
                    )

    def _know_tables(self) -> None:
        """Take the schema from the destination, if this process has loaded nothing yet."""
        if self.pipeline.default_schema_name is None:
            self.restore()

    def _source(self, extraction: Extraction | None) -> DltSource:
        tables = partial(self._tables, extraction) if extraction else lambda: iter(())
        source: DltSource = dlt.source(lambda: resources_of(tables), name=SCHEMA, section=SCHEMA)()
        if kind_of(self._target) == "filesystem":
            table_format = configured_format()
            for name, resource in source.resources.items():
                if name != "drain":
                    resource.apply_hints(table_format=table_format)
        return source

    def _tables(self, extraction: Extraction) -> Iterator[Tables]:
        """Yield a package's rows, with the database closed: the API and the journal are waited for."""
        self._database.close()
        yield from extraction.tables()
        if extraction.report.records.total() <= SMALL_PACKAGE:
            self._database.open()


def _is_for(error: PipelineStepFailed, names: Collection[str]) -> bool:
    """Return whether a load failed for an error of one of these names."""
    cause: BaseException | None = error
    while cause is not None:
        if error.step == "load" and type(cause).__name__ in names:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
