"""DuckDB's extensions that DuckLake needs: from Python packages where they are there, else downloaded."""

import importlib
import importlib.util

from sms_source.errors import ConfigurationError

DUCKLAKE = "ducklake"
_EXTENSIONS = (DUCKLAKE, "sqlite_scanner", "postgres_scanner", "httpfs")
"""DuckLake itself; catalogs in SQLite and in PostgreSQL; files in an object store."""


def have_extensions(kind: str) -> None:
    """Install the extensions that a Python package brings, and look for DuckLake's own.

    They go where DuckDB looks for extensions, below the home directory. DuckDB downloads the others when it
    needs them.

    Args:
        kind: of the destination; any other than DuckLake needs none.

    Raises:
        ConfigurationError: DuckLake's extension is not here, and can't be downloaded.
    """
    if kind != DUCKLAKE:
        return
    import duckdb

    try:
        with duckdb.connect() as connection:
            for name in _EXTENSIONS:
                if importlib.util.find_spec(f"duckdb_extension_{name}"):
                    packages = importlib.import_module("duckdb_extensions")
                    packages.import_extension(name, con=connection)
            connection.load_extension(DUCKLAKE)
    except (duckdb.Error, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            f"DuckLake needs DuckDB's extension {DUCKLAKE!r}, which is not here ({reason}): "
            "pip install 'dlt-tencent-sms[ducklake]', or let DuckDB download it once: INSTALL ducklake."
        ) from error
