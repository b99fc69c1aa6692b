"""The script that people write: the official SDK, pandas, and DuckDB, page by page."""

import duckdb
import pandas as pd

from tests.benchmark.contenders.sdk_client import pages


def main() -> None:
    """Append each page to a table as it comes, until an empty one."""
    with duckdb.connect("script.duckdb") as connection:
        connection.execute(
            "create table if not exists replies (ExtendCode varchar, CountryCode varchar, "
            "PhoneNumber varchar, SubscriberNumber varchar, SignName varchar, ReplyContent varchar, "
            "ReplyTime timestamptz)"
        )
        for page in pages():
            frame = pd.DataFrame(page)
            frame["ReplyTime"] = pd.to_datetime(frame["ReplyTime"], unit="s", utc=True)
            connection.append("replies", frame, by_name=True)


if __name__ == "__main__":
    main()
