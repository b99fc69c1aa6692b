"""Requirements: those of requirements.txt, and Java 17 or newer (install.sh)."""

import os
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.conftest import Rows

EXECUTORS = 2
TO_FILES = ("--destination", "filesystem")
FIELDS = (
    *("sms_sdk_app_id", "reply_time", "phone_number", "country_code", "subscriber_number"),
    *("sign_name", "extend_code", "reply_content"),
)


def plain(rows: Any) -> Rows:
    """Return rows in an order and a form that no engine decides: one may order equals as it likes."""
    return sorted(
        (tuple(str(value.astimezone(timezone.utc)) if hasattr(value, "hour") else value for value in row))
        for row in rows
    )


class Lake:
    """A folder of Delta tables, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, name: str) -> DeltaTable:
        """Return the newest version of a table."""
        return DeltaTable(self.folder / "sms" / name)

    def live_files(self, name: str) -> list[str]:
        """Return the Parquet files of the newest version; older versions' files may lie beside them."""
        return [uri.removeprefix("file://") for uri in self.table(name).file_uris()]

    def rows(self, name: str, *columns: str) -> Rows:
        """Rows of a table, of these columns."""
        table = self.table(name).to_pyarrow_table(columns=list(columns))
        return list(zip(*(table[column].to_pylist() for column in columns), strict=True))


@pytest.fixture
def lake(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Provide an empty folder, and dlt's configuration in the environment pointing to it."""
    folder = own_folders / "lake"
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(folder))
    return Lake(folder)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Provide a Spark session with two executors, each a process of its own."""
    from pyspark.sql import SparkSession

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark")),
        # As many tasks as there are files, so that both executors have some.
        "spark.sql.files.openCostInBytes": "134217728",
        "spark.ui.enabled": "false",
    }
    session = (
        SparkSession.builder.master(f"local-cluster[{EXECUTORS},1,1024]").config(map=options).getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
