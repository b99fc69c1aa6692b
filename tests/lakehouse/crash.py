"""The crash harness on a folder of Delta tables, or of Iceberg tables with a catalog in SQLite.

python -m tests.lakehouse.crash 200 [iceberg]
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from tests.crash.harness import Harness, Options, Report
from tests.crash.truth import Tables

CATALOG = "ICEBERG_CATALOG__ICEBERG_CATALOG_CONFIG"
"""dlt's name of the catalog in the environment."""


class DeltaHarness(Harness):
    """Reads the tables as deltalake does; DuckDB would need an extension for it."""

    def _read_tables(self, feed: str) -> Tables:
        folder = Path(os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"], self._dataset)
        names = (feed, "pulls", "rejected_records")
        return Tables(*(DeltaTable(folder / name).to_pyarrow_table().to_pylist() for name in names))


class IcebergHarness(Harness):
    """Reads the tables as pyiceberg does."""

    def _read_tables(self, feed: str) -> Tables:
        from pyiceberg.catalog import load_catalog

        catalog = load_catalog("default", **json.loads(os.environ[CATALOG]))
        names = (feed, "pulls", "rejected_records")
        tables = (catalog.load_table(f"{self._dataset}.{name}").scan().to_arrow() for name in names)
        return Tables(*(table.to_pylist() for table in tables))


def catalog_beside(folder: Path) -> dict[str, str]:
    """Return the configuration of a catalog in SQLite for the tables in a folder."""
    return {"type": "sql", "uri": f"sqlite:///{folder}.db", "warehouse": folder.as_uri()}


def run(kills: int, seed: int, catalog: dict[str, Any] | None = None, **more: Any) -> Report:
    """So many kills of the job that writes tables below the configured folder; a third of them of replays."""
    harness_of = IcebergHarness if catalog else DeltaHarness
    options = Options(kills=kills, seed=seed, destination="filesystem", replays=0.3, **more)
    with harness_of(options) as harness:
        harness.crash_often(lambda line: print(line, flush=True))
        return harness.report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        lake = Path(name, "lake")
        os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = str(lake)
        catalog = catalog_beside(lake) if "iceberg" in sys.argv else None
        if catalog:
            os.environ[CATALOG] = json.dumps(catalog)
        report = run(int(sys.argv[1]), 1, catalog)
    print(report)
    sys.exit(bool(report.violations))
