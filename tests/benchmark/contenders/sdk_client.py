"""The official SDK's client, pointed at the simulator: what most people would pull with."""

import os
from collections.abc import Iterator
from typing import Any

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile


def pages() -> Iterator[list[dict[str, Any]]]:
    """Pages of replies until an empty one."""
    scheme, _, endpoint = os.environ["BENCHMARK_URL"].partition("://")
    profile = ClientProfile(httpProfile=HttpProfile(protocol=scheme, endpoint=endpoint, keepAlive=True))
    credential = Credential(os.environ["BENCHMARK_SECRET_ID"], os.environ["BENCHMARK_SECRET_KEY"])
    client = CommonClient("sms", "2021-01-11", credential, "ap-guangzhou", profile)
    request = {"SmsSdkAppId": os.environ["BENCHMARK_APP_ID"], "Limit": 100}
    while page := client.call_json("PullSmsReplyStatus", request)["Response"]["PullSmsReplyStatusSet"]:
        yield page
