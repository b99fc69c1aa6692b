"""The destination that a job loads into, with what exactly-once loading needs of it."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import AnyDestination, Destination, DestinationCapabilitiesContext
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.storages.configuration import WithLocalFiles
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials

from sms_source.errors import ConfigurationError
from sms_source.journal.identity import Owner

ONE_TRANSACTION = (
    *("bigquery", "duckdb", "ducklake", "motherduck", "mssql", "postgres", "redshift", "snowflake"),
)
"""Kinds of destinations that dlt can begin a transaction in, and makes a merge without one all the same.

DuckDB would commit it statement by statement: killed between DELETE and INSERT, it would leave a table
without its rows. PostgreSQL gets it as one message, and may commit it after the job was killed, beside the
merge of the next run: each row would be there twice.
"""

_OUT_OF_TRANSACTIONS = ("synapse",)
"""Kinds of destinations whose merge dlt never makes in a transaction, whatever they are said to support."""


def place_of(destination: str | AnyDestination) -> AnyDestination:
    """Return dlt's destination, to read from it; one that is given is copied.

    Its files are in the current directory, and not where a pipeline of this name ran first, as dlt has it.

    Raises:
        ConfigurationError: there is no such destination.
    """
    target = Destination.from_reference(destination)
    if target is None:
        raise ConfigurationError("The destination has no name; expected one of dlt's, such as 'duckdb'.")
    if target is destination:
        target = copy.copy(target)
        target.config_params, target.caps_params = {**target.config_params}, {**target.caps_params}
    if issubclass(target.spec, WithLocalFiles):
        target.config_params["local_dir"] = os.path.abspath(dlt.current.run_context().local_dir)
    return target


def target_of(destination: str | AnyDestination, journal_id: str) -> AnyDestination:
    """Return dlt's destination, set up to load into it; as `place_of`.

    Its merges are staged in a dataset of this journal's alone: dlt's would be that of all jobs of a dataset,
    and two loads at once lose and double rows. And they are one transaction.

    Raises:
        ConfigurationError: there is no such destination.
    """
    target = place_of(destination)
    set_up(target, journal_id)
    return target


def set_up(target: AnyDestination, journal_id: str) -> None:
    """Have dlt stage in a dataset of a journal's own, and merge in one transaction, in loads that follow."""
    if issubclass(target.spec, DestinationClientDwhConfiguration):
        target.config_params.setdefault("staging_dataset_name_layout", f"%s_staging_{journal_id}")
    if kind_of(target) in ONE_TRANSACTION:
        target.caps_params["supports_transactions"] = True


def merges_in_one_transaction(kind: str, capabilities: DestinationCapabilitiesContext) -> bool:
    """Return whether dlt's DELETE and INSERT are one transaction, once the connector has asked for it."""
    supported = bool(capabilities.supports_transactions) and kind not in _OUT_OF_TRANSACTIONS
    return supported or kind in ONE_TRANSACTION


def owner_of(target: AnyDestination, pipeline_name: str, dataset_name: str) -> Owner:
    """Return what a journal of this job feeds.

    Raises:
        ConfigurationError: the database would be gone with the process, or with dlt's working directory.
    """
    location = database_of(target, pipeline_name, dataset_name)
    return Owner(pipeline_name, target.destination_name, dataset_name, location)


def database_of(target: AnyDestination, pipeline_name: str, dataset_name: str) -> str:
    """Return the path of a DuckDB file; empty for any other destination."""
    if kind_of(target) != "duckdb":
        return ""
    try:
        database = str(resolved(target, pipeline_name, dataset_name).credentials.database)
    except InvalidInMemoryDuckdbCredentials:
        database = ":memory:"
    if database in (":memory:", ":pipeline:"):
        raise ConfigurationError(
            f"The DuckDB database is {database!r}, which is gone after the run; expected a file: set "
            "credentials in [destination.duckdb]."
        )
    return database if database == ":external:" or "://" in database else str(Path(database).absolute())


def resolved(target: AnyDestination, pipeline_name: str, dataset_name: str) -> Any:
    """Return the configuration that a pipeline of dlt's would have of a destination."""
    configuration: Any = target.spec()
    configuration.pipeline_name = pipeline_name
    configuration.dataset_name = dataset_name
    configuration.destination_type = target.destination_type
    return target.configuration(configuration)


def file_state(location: str) -> list[int] | None:
    """Return what tells whether a database's file has changed; None when there is no file."""
    if not location:
        return None
    try:
        status = Path(location).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def kind_of(destination: AnyDestination) -> str:
    """Return dlt's kind of a destination, such as `postgres`; a destination may have another name."""
    return destination.destination_type.rpartition(".")[2]
