"""The least that dlt can do: 100 dicts into DuckDB, with defaults for everything."""

import dlt

REPLIES = [
    {
        "ExtendCode": "101",
        "CountryCode": "86",
        "PhoneNumber": f"+8612{number:09}",
        "SubscriberNumber": f"12{number:09}",
        "SignName": "湖畔书店",
        "ReplyContent": "退订",
        "ReplyTime": 1_700_000_000 + number,
    }
    for number in range(100)
]

if __name__ == "__main__":
    dlt.pipeline("bare", destination="duckdb", dataset_name="sms").run(REPLIES, table_name="replies")
