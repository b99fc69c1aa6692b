"""The least that requests and dlt take: answers are thrown away, and rows that were ready before are loaded.

What a connector adds to it, to lose nothing and to make rows of answers, is its own.
"""

import gc

gc.disable()  # as this connector does

from collections.abc import Iterator

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from tests.benchmark.contenders.textbook_dlt import pull


@dlt.resource(name="replies", primary_key="reply_id", write_disposition="merge")
def replies() -> Iterator[pa.Table]:
    """Yield the rows, a group at a time."""
    rows = pq.ParquetFile("rows.parquet")
    for group in range(rows.num_row_groups):
        yield rows.read_row_group(group)


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    with requests.Session() as session:
        while b'"PhoneNumber"' in pull(session).content:
            pass
    dlt.secrets["destination.duckdb.credentials.global_config"] = {"threads": 1}  # as this connector does
    dlt.pipeline("minimal", destination="duckdb", dataset_name="sms").run(replies())
