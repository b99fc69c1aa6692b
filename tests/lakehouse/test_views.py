"""The views over Delta tables, by an engine that knows neither dlt nor DuckDB."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from sms_source.views import view_sql
from tests.benchmark.views import make_tables
from tests.lakehouse.conftest import plain
from tests.views.warehouse import TABLES

VIEWS = ("opt_out_words", "unique_replies", "opt_outs", "campaigns", "answers")


# Spark says so of pandas 3, which is not used here.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_spark_computes_the_opt_outs_as_duckdb_does(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same SQL, in Spark's dialect, over the same replies as Delta tables; two channels brought them."""
    monkeypatch.setenv("TZ", "UTC")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        make_tables(connection, 5_000, "queue")
        connection.execute(
            "insert into sms.replies select * replace ('callback' as channel, 'c/' || reply_id as reply_id, "
            "case when hash(reply_id) % 2 = 0 then '1' else country_code end as country_code) "
            "from sms.replies where hash(reply_id) % 3 = 0"
        )
        connection.execute("update sms.replies set country_code = '1' where phone_number like '%7'")
        fields = [pa.field(name, kind) for name, kind in TABLES["replies"].items()]
        columns = zip(*connection.execute("from sms.replies").fetchall(), strict=True)
        arrays = [pa.array(column, field.type) for field, column in zip(fields, columns, strict=True)]
        write_deltalake(tmp_path, pa.table(arrays, pa.schema(fields)))
        for view in VIEWS:
            connection.execute(f"create view sms.{view} as {view_sql(view)}")
        expected = {view: connection.execute(f"from sms.{view}").fetchall() for view in VIEWS}

    files = [uri.removeprefix("file://") for uri in DeltaTable(tmp_path).file_uris()]
    spark.read.parquet(*files).createOrReplaceTempView("replies")
    for view in VIEWS:
        spark.sql(f"create or replace temp view {view} as {view_sql(view, 'spark', '{}'.format)}")
        found = [tuple(row) for row in spark.sql(f"select * from {view}").collect()]
        assert plain(found) == plain(expected[view]), view
    assert {row[-3] for row in expected["opt_outs"]} == {"10 business days", "at once"}
