"""Tables in a folder or an object store: Delta's, or Iceberg's where a catalog keeps track of them."""

import importlib.util
from contextlib import suppress
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TTableFormat

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS

DELTA: TTableFormat = "delta"
ICEBERG: TTableFormat = "iceberg"

_NEEDS: dict[str, str] = {DELTA: "deltalake", ICEBERG: "pyiceberg"}
_COMMITS = 100
"""Of a Delta table, that are looked at: somebody may have compacted it since the last load."""
_CATALOG = "iceberg_catalog.iceberg_catalog_config"


def configured_format() -> TTableFormat:
    """Return the format of the tables that `load()` makes: Iceberg's if `[iceberg_catalog]` has a catalog."""
    return ICEBERG if dlt.config.get(_CATALOG) or dlt.secrets.get(_CATALOG) else DELTA


def have_package(table_format: str) -> None:
    """Look for the package that writes a format. Raises `ConfigurationError` when it is not here."""
    package = _NEEDS[table_format]
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"{table_format.capitalize()} tables need {package}: "
            f"pip install 'dlt-tencent-sms[{table_format}]'"
        )


def has_lasting_catalog() -> bool:
    """Return whether the catalog of Iceberg's tables, dlt's or pyiceberg's, outlives the process.

    Raises:
        ConfigurationError: it can't be opened.
    """
    from dlt.common.libs.pyiceberg import get_catalog, is_ephemeral_catalog

    try:
        return not is_ephemeral_catalog(get_catalog())
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            f"Iceberg's catalog can't be opened: {type(error).__name__}: {reason} See [iceberg_catalog]."
        ) from error


def have_namespace(client: Any) -> None:
    """Make the dataset's namespace in Iceberg's catalog: dlt's loading threads would do it all at once."""
    client.get_open_table_catalog(ICEBERG)


def was_rolled_back(client: Any, since: float) -> bool:
    """Return whether one of the tables was given an older version's rows.

    dlt's note of each load is in files beside the tables, and says nothing of it.

    Args:
        client: of dlt, for a folder or an object store.
        since: when the newest package was loaded, in seconds since 1970.
    """
    for name in (*FEEDS, "pulls"):
        table_format = client.schema.tables.get(name, {}).get("table_format") or configured_format()
        with suppress(DestinationUndefinedEntity):
            table = client.load_open_table(table_format, name)
            if _delta_was(table, since) if table_format == DELTA else _iceberg_was(table):
                return True
    return False


def _delta_was(table: Any, since: float) -> bool:
    for commit in table.history(_COMMITS):
        if commit["timestamp"] / 1000 <= since:
            return False
        if commit["operation"] == "RESTORE":
            return True
    return False


def _iceberg_was(table: Any) -> bool:
    snapshots, current = table.snapshots(), table.current_snapshot()
    return bool(current and max(each.timestamp_ms for each in snapshots) > current.timestamp_ms)
