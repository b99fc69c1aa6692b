"""A dlt resource as the textbook has it: a session, pages of dicts, merge, and defaults for all else."""

import json
import os
from collections.abc import Iterator
from typing import Any

import dlt
import requests

from sms_source.api.signing import TC3Auth


def keys() -> tuple[str, str, None]:
    """Return what signs a request."""
    return os.environ["BENCHMARK_SECRET_ID"], os.environ["BENCHMARK_SECRET_KEY"], None


def pull(session: requests.Session) -> requests.Response:
    """One request for 100 replies."""
    headers = {
        "Content-Type": "application/json",
        "X-TC-Action": "PullSmsReplyStatus",
        "X-TC-Version": "2021-01-11",
        "X-TC-Region": "ap-guangzhou",
    }
    request = json.dumps({"SmsSdkAppId": os.environ["BENCHMARK_APP_ID"], "Limit": 100})
    return session.post(
        os.environ["BENCHMARK_URL"], data=request, headers=headers, auth=TC3Auth(keys), timeout=30
    )


# The API gives no id: this is the nearest to one, and loses a person's second reply within a second.
@dlt.resource(name="replies", primary_key=("PhoneNumber", "ReplyTime"), write_disposition="merge")
def replies() -> Iterator[list[dict[str, Any]]]:
    """Pages until an empty one."""
    with requests.Session() as session:
        while True:
            answer = pull(session)
            answer.raise_for_status()
            page = answer.json()["Response"]["PullSmsReplyStatusSet"]
            if not page:
                return
            yield page


if __name__ == "__main__":
    dlt.pipeline("textbook", destination="duckdb", dataset_name="sms").run(replies())
