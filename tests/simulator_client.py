"""A client of the simulator that signs with the SDK's own function, and records to enqueue."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.sign import Sign

from sms_source.simulator import (
    LOOK_UP_RECEIPTS,
    LOOK_UP_REPLIES,
    PULL_REPLIES,
    RECEIPTS,
    REPLIES,
    Simulator,
    demo_receipts,
    demo_replies,
)

APP = "1400006666"
NOW = 1_700_000_000
BROKEN = (ConnectionError, http.client.HTTPException)


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def response(self) -> dict[str, Any]:
        """The `Response` object."""
        value: dict[str, Any] = json.loads(self.body)["Response"]
        return value

    @property
    def records(self) -> list[Any]:
        """The records of either feed; none if the set is null or absent."""
        sets = [self.response.get(name) for name in ("PullSmsReplyStatusSet", "PullSmsSendStatusSet")]
        return [record for records in sets for record in records or []]

    @property
    def code(self) -> str:
        """The API error code, empty for none."""
        return str(self.response.get("Error", {}).get("Code", ""))


class Client:
    """One kept-alive connection that signs with the SDK's own function, and spoils requests on purpose."""

    def __init__(self, simulator: Simulator, timeout: float = 5) -> None:
        self.simulator = simulator
        self.host = simulator.url.removeprefix("http://")
        self.connection = http.client.HTTPConnection(self.host, timeout=timeout)

    def __del__(self) -> None:
        self.connection.close()  # tests make a client wherever they need one

    def call(
        self,
        parameters: Any,
        action: str = PULL_REPLIES,
        *,
        method: str = "POST",
        path: str = "/",
        secret_id: str | None = None,
        secret_key: str | None = None,
        timestamp: int | None = None,
        date: str | None = None,
        service: str = "sms",
        signed: str = "content-type;host",
        headers: dict[str, str | None] | None = None,
        spoil: Callable[[str], str] = str,
    ) -> Answer:
        """Send a request; a header set to None is left out, and `spoil` rewrites the Authorization."""
        body = parameters if isinstance(parameters, bytes) else json.dumps(parameters).encode()
        timestamp = int(time.time()) if timestamp is None else timestamp
        date = date or time.strftime("%Y-%m-%d", time.gmtime(timestamp))
        sent: dict[str, str | None] = {
            "Host": self.host,
            "Content-Type": "application/json",
            "X-TC-Action": action,
            "X-TC-Version": "2021-01-11",
            "X-TC-Region": "ap-guangzhou",
            "X-TC-Timestamp": str(timestamp),
            "X-TC-Token": self.simulator.token,
            **(headers or {}),
        }
        lowered = {name.lower(): (value or "").strip().lower() for name, value in sent.items()}
        canonical = "".join(f"{name}:{lowered.get(name, '')}\n" for name in signed.split(";"))
        request = f"POST\n/\n\n{canonical}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        scope = f"{date}/{service}/tc3_request"
        key = secret_key or self.simulator.secret_key
        signature = Sign.sign_tc3(key, date, service, f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}")
        credential = f"{secret_id or self.simulator.secret_id}/{scope}"
        authorization = (
            f"TC3-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
        )
        sent.setdefault("Authorization", spoil(authorization))
        self.connection.request(
            method, path, body, {name: value for name, value in sent.items() if value is not None}
        )
        response = self.connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def pull(self, limit: int = 100, app_id: str = APP, **changes: Any) -> Answer:
        """Pull replies, or with `action` receipts."""
        return self.call({"SmsSdkAppId": app_id, "Limit": limit}, **changes)


def sdk_client(simulator: Simulator, region: str = "ap-guangzhou", **credential: str) -> CommonClient:
    """Return the official client, pointed at the simulator."""
    keys = {"secret_id": simulator.secret_id, "secret_key": simulator.secret_key, "token": simulator.token}
    keys |= credential
    endpoint = simulator.url.removeprefix("http://")
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=endpoint))
    return CommonClient("sms", "2021-01-11", Credential(*keys.values()), region, profile)


def replies(count: int, start: int = 0) -> list[dict[str, str | int]]:
    """Return replies that their text tells apart."""
    made = demo_replies(count, seed=7, now=NOW)
    return [{**reply, "ReplyContent": f"reply {start + index}"} for index, reply in enumerate(made)]


def receipts(count: int, start: int = 0) -> list[dict[str, str | int | None]]:
    """Return receipts that their serial number tells apart."""
    made = demo_receipts(count, seed=7, now=NOW)
    return [{**receipt, "SerialNo": f"5000:{start + index}"} for index, receipt in enumerate(made)]


def look_up(client: Client, number: str, begin: int, feed: str = REPLIES, **parameters: Any) -> Answer:
    """Ask for a number's records since the Unix time `begin`."""
    asked = {"BeginTime": begin, "Offset": 0, "Limit": 100, "SmsSdkAppId": APP, "PhoneNumber": number}
    action = LOOK_UP_RECEIPTS if feed == RECEIPTS else LOOK_UP_REPLIES
    return client.call({**asked, **parameters}, action)
