"""Tables in a folder or an object store: Delta's, or Iceberg's where a catalog keeps track of them."""

import importlib.util
from typing import Any

import dlt
from dlt.common.schema.typing import TTableFormat

from sms_source.errors import ConfigurationError

DELTA: TTableFormat = "delta"
ICEBERG: TTableFormat = "iceberg"

_NEEDS: dict[str, str] = {DELTA: "deltalake", ICEBERG: "pyiceberg"}
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
