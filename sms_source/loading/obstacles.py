"""What would keep a destination from taking the rows: found before anything is pulled."""

from pathlib import Path
from typing import Any

from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.destinations.job_client_impl import SqlJobClientBase

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS
from sms_source.loading.mysql import refuse_other_settings
from sms_source.loading.tables import PULLS, REJECTED

KEYS: dict[str, set[str]] = {
    **{name: {feed.record_id} for name, feed in FEEDS.items()},
    PULLS: {"pull_id"},
    REJECTED: {"pull_id", "position"},
}
"""The primary key of each table."""


def refuse_what_is_in_the_way(client: Any, dataset_name: str, location: str) -> None:
    """Look for what would have every load fail, or go where nobody looks for it.

    Args:
        client: of dlt's destination, entered.
        dataset_name: as it was given.
        location: the path of a DuckDB file; else empty.

    Raises:
        ConfigurationError: names what is in the way, and what to do.
    """
    has_datasets = isinstance(client.config, DestinationClientDwhConfiguration)
    normalized = client.config.normalize_dataset_name(client.schema) if has_datasets else dataset_name
    if normalized != dataset_name:
        raise ConfigurationError(
            f"The dataset {dataset_name!r} would be named {normalized!r} there: give that name, so that it "
            "is found by it."
        )
    if location and Path(location).stem.lower() == dataset_name.lower():
        raise ConfigurationError(
            f"The dataset {dataset_name!r} is named as DuckDB names the database of the file {location}, and "
            "would be taken for it. Give the dataset, or the file, another name."
        )
    if isinstance(client, SqlJobClientBase):
        refuse_other_settings(client.sql_client)
        for table, columns in client.get_storage_tables(KEYS):
            missing = {*KEYS[table], "_dlt_load_id"} - {column.lower() for column in columns}
            if columns and missing:
                raise ConfigurationError(
                    f"In the dataset {dataset_name} is a {table} that is not this connector's: it has no "
                    f"{', '.join(sorted(missing))}. Rename it, or give the connector a dataset of its own."
                )
