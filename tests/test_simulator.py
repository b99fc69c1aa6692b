"""The simulator, as its clients meet it: over real HTTP, with the official SDK as an independent client."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.sign import Sign

from sms_source.simulator import (
    LOOK_UP_REPLIES as SEARCH,
)
from sms_source.simulator import (
    PULL_REPLIES as PULL,
)
from sms_source.simulator import (
    Account,
    Fault,
    FaultKind,
    HandedOut,
    Outcome,
    Simulator,
    SimulatorProcess,
    demo_replies,
)
from sms_source.simulator.__main__ import main

APP = "1400006666"
NOW = 1_700_000_000


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
    def code(self) -> str:
        """The API error code, empty for none."""
        return str(self.response.get("Error", {}).get("Code", ""))


class Client:
    """One kept-alive connection that signs with the SDK's own function, and spoils requests on purpose."""

    opened: ClassVar[list[http.client.HTTPConnection]] = []

    def __init__(self, simulator: Simulator, timeout: float = 5) -> None:
        self.simulator = simulator
        self.host = simulator.url.removeprefix("http://")
        self.connection = http.client.HTTPConnection(self.host, timeout=timeout)
        self.opened.append(self.connection)

    def call(
        self,
        parameters: Any,
        action: str = PULL,
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
        """Pull replies."""
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


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    """Close what a test's clients left open."""
    yield
    while Client.opened:
        Client.opened.pop().close()


@pytest.fixture(autouse=True)
def ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the official client from a proxy in the environment, which it would ask even for loopback."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with one application."""
    with Simulator([APP]) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


class TestQueue:
    """The queue is destructive, first in, first out, one for each application id and region."""

    def test_official_sdk_pulls_replies_unchanged(self, simulator: Simulator) -> None:
        """The official client gets the records that were enqueued, in order, with a RequestId."""
        simulator.enqueue(APP, replies(3))
        response = sdk_client(simulator).call_json(PULL, {"SmsSdkAppId": APP, "Limit": 2})["Response"]
        assert response["PullSmsReplyStatusSet"] == replies(3)[:2]
        assert uuid.UUID(response["RequestId"]).version == 4

    def test_reply_is_handed_out_once(self, simulator: Simulator, client: Client) -> None:
        """A second pull gets the next replies, and an empty queue gives an empty set."""
        simulator.enqueue(APP, replies(5))
        sets = [client.pull(3).response["PullSmsReplyStatusSet"] for _ in range(3)]
        assert sets == [replies(5)[:3], replies(5)[3:], []]

    def test_regions_are_isolated(self, simulator: Simulator, client: Client) -> None:
        """A reply enqueued in one region does not show in another."""
        simulator.enqueue(APP, replies(1), region="ap-beijing")
        assert client.pull().response["PullSmsReplyStatusSet"] == []
        answer = client.pull(headers={"X-TC-Region": "ap-beijing"})
        assert answer.response["PullSmsReplyStatusSet"] == replies(1)

    def test_page_size_makes_short_pages_of_a_full_queue(self, simulator: Simulator, client: Client) -> None:
        """An answer can hold fewer replies than its Limit although more wait."""
        simulator.enqueue(APP, replies(5))
        simulator.configure(page_size=2)
        sizes = [len(client.pull().response["PullSmsReplyStatusSet"]) for _ in range(4)]
        assert sizes == [2, 2, 1, 0]

    @pytest.mark.parametrize(("shape", "expected"), [("list", []), ("null", None), ("absent", "absent")])
    def test_empty_set_has_the_configured_shape(
        self, simulator: Simulator, client: Client, shape: str, expected: Any
    ) -> None:
        """No replies look like [], null or nothing."""
        simulator.configure(empty_set=shape)
        assert client.pull().response.get("PullSmsReplyStatusSet", "absent") == expected

    def test_odd_records_go_out_as_they_are(self, simulator: Simulator, client: Client) -> None:
        """Bytes are sent verbatim, and any JSON value is a record."""
        odd = [b'{"ReplyContent": "\\ud83d"}', None, "text", {"ReplyContent": "\ud83d", "Huge": 10**30}]
        simulator.enqueue(APP, odd)
        body = client.pull().body
        assert b'[{"ReplyContent": "\\ud83d"},null,"text",{"ReplyContent":"\\ud83d","Huge":1' in body

    def test_search_by_phone_number_consumes_nothing(self, simulator: Simulator, client: Client) -> None:
        """The sibling action finds replies of the number and the window, pulled or not."""
        now = int(time.time())
        mine = [{**replies(1)[0], "PhoneNumber": "+8612000000001", "ReplyTime": now - age} for age in (9, 99)]
        simulator.enqueue(APP, [*mine, *replies(3), b"not JSON +8612000000001"])
        parameters = {"BeginTime": now - 50, "Offset": 0, "Limit": 100, "SmsSdkAppId": APP}
        parameters["PhoneNumber"] = "+8612000000001"
        found = [client.call(parameters, SEARCH).response["PullSmsReplyStatusSet"] for _ in range(2)]
        assert found == [mine[:1]] * 2
        assert simulator.stats().queued == {f"{APP}/ap-guangzhou": 6}
        parameters["BeginTime"] = now - 500
        assert client.call(parameters, SEARCH).response["PullSmsReplyStatusSet"] == mine


class TestSignature:
    """Every way to sign wrongly is refused with its own code, and nothing is popped."""

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
            ({"secret_id": "AKIDnobody"}, "AuthFailure.SecretIdNotFound"),
            ({"service": "cvm"}, "AuthFailure.SignatureFailure"),
            ({"date": "2020-01-01"}, "AuthFailure.SignatureFailure"),
            ({"timestamp": int(time.time()) - 86_400}, "AuthFailure.SignatureExpire"),
            ({"timestamp": int(time.time()) + 86_400}, "AuthFailure.SignatureExpire"),
            ({"signed": "host"}, "AuthFailure.InvalidAuthorization"),
            ({"signed": "content-type"}, "AuthFailure.InvalidAuthorization"),
            ({"signed": "host;content-type"}, "AuthFailure.InvalidAuthorization"),
            ({"signed": "content-type;host;x-tc-none"}, "AuthFailure.SignatureFailure"),
            ({"headers": {"Authorization": None}}, "AuthFailure.InvalidAuthorization"),
            ({"headers": {"Authorization": "Bearer abc"}}, "AuthFailure.InvalidAuthorization"),
            ({"spoil": lambda value: value[:-1]}, "AuthFailure.InvalidAuthorization"),
            ({"spoil": lambda value: value.replace("tc3_", "aws4_")}, "AuthFailure.InvalidAuthorization"),
            ({"spoil": lambda value: value[:-8] + "00000000"}, "AuthFailure.SignatureFailure"),
            ({"headers": {"X-TC-Token": "unasked"}}, "AuthFailure.TokenFailure"),
            ({"headers": {"X-TC-Timestamp": None}}, "MissingParameter"),
            ({"headers": {"X-TC-Action": None}}, "MissingParameter"),
            ({"headers": {"X-TC-Version": None}}, "MissingParameter"),
            ({"headers": {"X-TC-Region": None}}, "MissingParameter"),
            ({"headers": {"Content-Type": None}}, "MissingParameter"),
            ({"headers": {"X-TC-Timestamp": "soon"}}, "InvalidParameterValue"),
        ],
    )
    def test_bad_signature_is_refused(
        self, simulator: Simulator, client: Client, changes: dict[str, Any], code: str
    ) -> None:
        """The answer is HTTP 200 with the right code and a RequestId, and the queue is untouched."""
        simulator.enqueue(APP, replies(1))
        answer = client.pull(**changes)
        assert (answer.status, answer.code) == (200, code)
        assert uuid.UUID(answer.response["RequestId"]).version == 4
        assert simulator.stats().handed_out == 0

    def test_body_must_be_the_body_signed(self, client: Client) -> None:
        """A body that differs from the signed one in a byte fails the signature."""
        stolen: list[str] = []
        client.pull(spoil=lambda value: stolen.append(value) or value)  # type: ignore[func-returns-value]
        answer = client.pull(99, headers={"Authorization": stolen[0]})
        assert answer.code == "AuthFailure.SignatureFailure"

    def test_any_signed_header_is_verified(self, client: Client) -> None:
        """Further headers can be signed, their values trimmed and lower-cased."""
        signed = "content-type;host;x-tc-action;x-tc-version"
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        assert client.pull(signed=signed, headers=headers).code == ""

    def test_official_sdk_meets_the_same_codes(self, simulator: Simulator) -> None:
        """The official client raises the API's error for wrong credentials."""
        with pytest.raises(TencentCloudSDKException) as caught:
            sdk_client(simulator, secret_key="wrong").call_json(PULL, {"SmsSdkAppId": APP, "Limit": 1})
        assert caught.value.get_code() == "AuthFailure.SignatureFailure"

    def test_token_is_asked_for_and_expires(self, simulator: Simulator, client: Client) -> None:
        """Temporary credentials need their token, until it expires."""
        simulator.set_token("secret-token")
        assert client.pull().code == "AuthFailure.TokenFailure"
        assert client.pull(headers={"X-TC-Token": "secret-token"}).code == ""
        response = sdk_client(simulator, token="secret-token").call_json(
            PULL, {"SmsSdkAppId": APP, "Limit": 1}
        )
        assert response["Response"]["PullSmsReplyStatusSet"] == []
        simulator.set_token("secret-token", expires=time.time() - 1)
        assert client.pull(headers={"X-TC-Token": "secret-token"}).code == "AuthFailure.TokenFailure"

    def test_clock_skew_of_the_server_expires_signatures(self, simulator: Simulator, client: Client) -> None:
        """A server whose clock runs 10 minutes ahead refuses what is signed now."""
        simulator.configure(clock_skew=600)
        assert client.pull().code == "AuthFailure.SignatureExpire"


class TestRequest:
    """A request that is signed well but wrong otherwise gets the code that says what is wrong."""

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"method": "PUT"}, "UnsupportedProtocol"),
            ({"path": "/v2"}, "UnsupportedProtocol"),
            ({"headers": {"Content-Type": "text/xml"}}, "UnsupportedProtocol"),
            ({"action": "PullNothing"}, "InvalidAction"),
            ({"headers": {"X-TC-Version": "2019-07-11"}}, "NoSuchVersion"),
            ({"headers": {"X-TC-Region": "eu-atlantis"}}, "UnsupportedRegion"),
            ({"app_id": "1400000000"}, "InvalidParameterValue.SdkAppIdNotExist"),
            ({"app_id": "1400009999"}, "UnauthorizedOperation.SmsSdkAppIdVerifyFail"),
            ({"limit": 0}, "InvalidParameterValue"),
            ({"limit": 101}, "InvalidParameterValue"),
            ({"limit": "100"}, "InvalidParameter"),
            ({"limit": True}, "InvalidParameter"),
            ({"app_id": 1400006666}, "InvalidParameter"),
            ({"body": b"{"}, "FailedOperation.JsonParseFail"),
            ({"body": b"[]"}, "InvalidParameter"),
            ({"body": b'{"Limit": 1}'}, "MissingParameter"),
            ({"body": b'{"SmsSdkAppId": "1400006666"}'}, "MissingParameter"),
            ({"body": b'{"SmsSdkAppId": "1400006666", "Limit": 1, "Offset": 0}'}, "UnknownParameter"),
        ],
    )
    def test_wrong_request_is_refused(
        self, simulator: Simulator, client: Client, changes: dict[str, Any], code: str
    ) -> None:
        """Method, path, action, version, region, application and parameters are checked."""
        simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
        answer = client.call(changes["body"]) if "body" in changes else client.pull(**changes)
        assert answer.code == code
        assert simulator.stats().codes == {code: 1}

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"PhoneNumber": "12000000001"}, "InvalidParameterValue.IncorrectPhoneNumber"),
            ({"BeginTime": int(time.time()) - 8 * 86400}, "InvalidParameterValue.BeginTimeVerifyFail"),
            ({"EndTime": 1}, "InvalidParameterValue.InvalidStartTime"),
            ({"Offset": 1}, "InvalidParameterValue"),
            ({"Limit": 101}, "InvalidParameterValue"),
        ],
    )
    def test_wrong_search_is_refused(self, client: Client, change: dict[str, Any], code: str) -> None:
        """The sibling action checks its number, window, offset and limit."""
        good = {"BeginTime": int(time.time()) - 60, "Offset": 0, "Limit": 1, "SmsSdkAppId": APP}
        good["PhoneNumber"] = "+8612000000001"
        assert client.call(good, SEARCH).code == ""
        assert client.call({**good, **change}, SEARCH).code == code

    def test_another_account_has_its_own_applications(self, simulator: Simulator, client: Client) -> None:
        """A second account signs with its own key for its own application."""
        simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
        answer = client.pull(app_id="1400009999", secret_id="AKIDother", secret_key="other-key")
        assert answer.code == ""

    def test_malformed_http_is_answered_with_400(self, simulator: Simulator) -> None:
        """What is not HTTP gets a 400 and a close."""
        host, port = simulator.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as raw:
            raw.sendall(b"nonsense\r\n\r\n")
            assert raw.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


class TestRateLimit:
    """Requests over the limit of a sliding second are refused, for each action and account."""

    def test_limit_holds_within_a_sliding_second(self) -> None:
        """The third request of a second is refused; when the first has aged a second there is room again."""
        clock = [float(int(time.time()))]
        with Simulator([APP], clock=lambda: clock[0], rate_limit=2) as simulator:
            client = Client(simulator)
            codes = []
            for step in (0.0, 0.5, 0.4, 0.1, 0.3):
                clock[0] += step
                codes.append(client.pull(timestamp=int(clock[0])).code)
            assert codes == ["", "", "RequestLimitExceeded", "", "RequestLimitExceeded"]
            assert simulator.stats().limited == 2

    def test_accounts_and_actions_have_limits_of_their_own(self) -> None:
        """What one account uses up is not missing from another's, nor from another action's."""
        now = int(time.time())
        with Simulator([APP], clock=lambda: float(now), rate_limit=1) as simulator:
            simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
            client = Client(simulator)
            other: dict[str, Any] = {
                "app_id": "1400009999",
                "secret_id": "AKIDother",
                "secret_key": "other-key",
            }
            parameters = {"BeginTime": now, "Offset": 0, "Limit": 1, "SmsSdkAppId": APP}
            codes = [client.pull(timestamp=now).code, client.pull(timestamp=now, **other).code]
            codes.append(
                client.call({**parameters, "PhoneNumber": "+8612000000001"}, SEARCH, timestamp=now).code
            )
            assert codes == ["", "", ""]
            assert client.pull(timestamp=now).code == "RequestLimitExceeded"

    def test_zero_is_no_limit(self, simulator: Simulator, client: Client) -> None:
        """Without a limit nothing is refused."""
        simulator.configure(rate_limit=0)
        assert {client.pull().code for _ in range(150)} == {""}


GOOD_FAULTS = [
    "content_type",
    "gzip",
    "no_request_id",
    "duplicate_request_id",
    "close_after",
    "trickle",
    "delay",
]
BROKEN = (ConnectionError, http.client.HTTPException)


class TestFaults:
    """Each kind of fault looks to a client as its name says, and the log says what was popped."""

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("reset", {}),
            ("reset", {"popped": False}),
            ("reset_unread", {}),
            ("close", {}),
            ("close", {"popped": False}),
            ("close_unread", {}),
            ("delay", {"seconds": 0.01, "popped": False}),
        ],
    )
    def test_connection_breaks_without_an_answer(
        self, simulator: Simulator, client: Client, kind: str, options: dict[str, Any]
    ) -> None:
        """The connection is reset or ends in order, after the replies were popped or before."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next(kind, **options)
        with pytest.raises(ConnectionError) as caught:
            client.pull()
        assert (caught.type is http.client.RemoteDisconnected) == ("reset" not in kind)
        (pull,) = simulator.log()
        popped = 5 if kind in ("reset", "close") and options.get("popped", True) else 0
        assert (pull.outcome, pull.sent, len(pull.replies)) == (Outcome.FAULTED, False, popped)
        assert simulator.stats().lost == popped

    @pytest.mark.parametrize("popped", [True, False])
    def test_delay_outlasts_the_clients_timeout(self, simulator: Simulator, *, popped: bool) -> None:
        """The client gives up; what was popped is lost."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next("delay", seconds=600, popped=popped)
        with pytest.raises(TimeoutError):
            Client(simulator, timeout=0.1).pull()
        assert simulator.stats().lost == (5 if popped else 0)

    def test_truncated_body_is_shorter_than_announced(self, simulator: Simulator, client: Client) -> None:
        """Content-Length announces more than arrives."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next("truncate")
        with pytest.raises(http.client.IncompleteRead) as caught:
            client.pull()
        assert b"reply 0" in caught.value.partial
        assert not simulator.log()[0].sent

    @pytest.mark.parametrize("kind", GOOD_FAULTS)
    def test_good_answers_keep_their_replies(self, simulator: Simulator, client: Client, kind: str) -> None:
        """Delayed, trickled, compressed or oddly labelled, the replies are all there and delivered."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next(Fault(FaultKind(kind), seconds=0.01))
        answer = client.pull()
        body = gzip.decompress(answer.body) if kind == "gzip" else answer.body
        assert json.loads(body)["Response"]["PullSmsReplyStatusSet"] == replies(5)
        (pull,) = simulator.log()
        assert pull.delivered
        assert pull.fault is FaultKind(kind)
        assert answer.headers.get("content-encoding", "") == ("gzip" if kind == "gzip" else "")

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/html"])
    def test_content_type_can_be_odd(self, simulator: Simulator, client: Client, content_type: str) -> None:
        """A good answer can come with any label."""
        simulator.fail_next("content_type", content_type=content_type)
        assert client.pull().headers["content-type"] == content_type

    def test_request_id_can_be_absent_or_repeated(self, simulator: Simulator, client: Client) -> None:
        """An answer can lack its RequestId, or repeat the one before."""
        simulator.fail_next("duplicate_request_id", after=1)
        simulator.fail_next("no_request_id")
        first, second, third = (client.pull().response.get("RequestId") for _ in range(3))
        assert first == second
        assert third is None

    def test_close_after_an_answer_is_unannounced(self, simulator: Simulator, client: Client) -> None:
        """The next request on that connection finds it closed; a new connection works."""
        simulator.fail_next("close_after")
        assert "connection" not in client.pull().headers
        with pytest.raises(BROKEN):
            client.pull()
        assert Client(simulator).pull().code == ""

    @pytest.mark.parametrize(("status", "popped"), [(500, True), (503, False)])
    def test_http_error_has_an_html_body(
        self, simulator: Simulator, client: Client, status: int, *, popped: bool
    ) -> None:
        """A gateway's error page comes instead of the answer."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next("http_status", status=status, popped=popped)
        answer = client.pull()
        assert (answer.status, answer.headers["content-type"]) == (status, "text/html")
        assert simulator.stats().lost == (5 if popped else 0)

    def test_body_can_be_no_json_or_no_response(self, simulator: Simulator, client: Client) -> None:
        """HTTP 200 does not promise an answer."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next("not_json")
        simulator.fail_next("no_response")
        with pytest.raises(json.JSONDecodeError):
            json.loads(client.pull().body)
        assert "Response" not in json.loads(client.pull().body)
        assert simulator.stats().lost == 5

    @pytest.mark.parametrize(
        ("code", "popped", "lost"),
        [
            ("InternalError.Timeout", True, 5),
            ("RequestLimitExceeded", False, 0),
            ("AuthFailure.TokenFailure", None, 0),
        ],
    )
    def test_api_error_by_name(
        self, simulator: Simulator, client: Client, code: str, *, popped: bool | None, lost: int
    ) -> None:
        """Any API error can be answered, with replies popped or not; by default they are not."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next("api_error", code=code, popped=popped)
        answer = client.pull()
        assert (answer.status, answer.code) == (200, code)
        assert simulator.stats().lost == lost
        assert simulator.stats().codes == {code: 1}

    def test_body_override_is_sent_verbatim(self, simulator: Simulator, client: Client) -> None:
        """Arbitrary bytes can be answered, and with popped=False nothing counts as handed out."""
        simulator.enqueue(APP, replies(5))
        simulator.fail_next(Fault(FaultKind.BODY, body=b"\xff\x00", popped=False))
        assert client.pull().body == b"\xff\x00"
        assert simulator.stats().handed_out == 0

    def test_close_after_each_answer_is_announced_by_setting(
        self, simulator: Simulator, client: Client
    ) -> None:
        """Without keep-alive each answer says Connection: close."""
        simulator.configure(keep_alive=False)
        answers = [client.pull() for _ in range(2)]
        assert [answer.headers["connection"] for answer in answers] == ["close", "close"]

    def test_faults_strike_in_order(self, simulator: Simulator, client: Client) -> None:
        """Planned faults queue up: the nth pull, so many times, then all is well again."""
        simulator.fail_next("api_error", code="InternalError", after=2)
        simulator.fail_next("api_error", code="ServiceUnavailable", times=2)
        codes = [client.pull().code for _ in range(6)]
        assert codes == ["", "", "InternalError", "ServiceUnavailable", "ServiceUnavailable", ""]

    def test_refused_request_uses_up_no_fault(self, simulator: Simulator, client: Client) -> None:
        """A fault waits for a pull that is in order."""
        simulator.fail_next("http_status")
        assert client.pull(secret_key="wrong").code == "AuthFailure.SignatureFailure"
        assert client.pull().status == 502

    def test_fault_for_one_application_spares_the_others(self, simulator: Simulator, client: Client) -> None:
        """A fault can wait for the pulls of one application id."""
        simulator.add_account(Account(simulator.secret_id, simulator.secret_key, ["1400007777"]))
        simulator.fail_next("http_status", app_id="1400007777")
        assert [client.pull().status, client.pull(app_id="1400007777").status] == [200, 502]

    def test_repeated_faults_run_in_a_circle(self, simulator: Simulator, client: Client) -> None:
        """A cycle of faults goes on until it is cleared."""
        simulator.fail_repeatedly([None, "http_status"])
        assert [client.pull().status for _ in range(5)] == [200, 502, 200, 502, 200]
        simulator.clear_faults()
        assert [client.pull().status for _ in range(2)] == [200, 200]

    def test_random_faults_depend_on_the_seed_alone(self, simulator: Simulator, client: Client) -> None:
        """The same mix and seed give the same faults in the same order."""
        simulator.configure(rate_limit=0)
        runs = []
        for _ in range(2):
            simulator.clear_faults()
            simulator.fail_randomly({"http_status": 0.3, Fault(FaultKind.API_ERROR): 0.3}, seed=5)
            start = simulator.stats().pulls
            for _ in range(60):
                client.pull()
            runs.append([pull.fault for pull in simulator.log(start)])
        assert runs[0] == runs[1]
        assert set(runs[0]) == {None, FaultKind.HTTP_STATUS, FaultKind.API_ERROR}

    def test_impossible_faults_are_refused(self, simulator: Simulator) -> None:
        """An unread request pops nothing, a good answer hides nothing, and probabilities end at 1."""
        for kind, popped in (("reset_unread", True), ("gzip", False)):
            with pytest.raises(ValueError, match="cannot"):
                simulator.fail_next(kind, popped=popped)
        with pytest.raises(ValueError, match="probabilities"):
            simulator.fail_randomly({"reset": 0.9, "close": 0.2}, seed=1)
        with pytest.raises(ValueError, match="gremlins"):
            simulator.fail_next("gremlins")


def test_log_equals_what_was_handed_out(simulator: Simulator) -> None:
    """Under 8 clients and random faults, the log's delivered replies are exactly the clients' replies."""
    simulator.configure(rate_limit=0, latency=0.001)
    simulator.enqueue(APP, replies(3000))
    kinds = ("reset", "close", "truncate", "http_status", "gzip")
    simulator.fail_randomly(dict.fromkeys(kinds, 0.04), seed=3)
    got: list[tuple[str, int, str]] = []

    def drain() -> None:
        client = Client(simulator)
        while True:
            try:
                answer = client.pull(7)
            except BROKEN:
                client = Client(simulator)
                continue
            if answer.status == 200:
                zipped = answer.headers.get("content-encoding") == "gzip"
                response = json.loads(gzip.decompress(answer.body) if zipped else answer.body)["Response"]
                records = response["PullSmsReplyStatusSet"]
                got.extend((response["RequestId"], i, r["ReplyContent"]) for i, r in enumerate(records))
                if not records:
                    return

    threads = [threading.Thread(target=drain) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handed_out = list(simulator.handed_out())
    delivered = [entry for entry in handed_out if entry.delivered]
    told = [(e.request_id, e.position, json.loads(e.reply)["ReplyContent"]) for e in delivered]
    assert sorted(told) == sorted(got)
    stats = simulator.stats()
    assert (stats.enqueued, stats.handed_out, stats.lost) == (3000, 3000, 3000 - len(got))
    assert stats.lost > 0
    # The log is in the order of the pops, so together its replies are the queue.
    assert [json.loads(entry.reply) for entry in handed_out] == replies(3000)
    assert [pull.number for pull in simulator.log()] == list(range(1, stats.pulls + 1))
    assert stats.outcomes == Counter(pull.outcome.value for pull in simulator.log())


class TestProcess:
    """The simulator in a process of its own answers to the same methods, over its control API."""

    def test_controls_work_across_processes(self) -> None:
        """Replies, faults, settings, accounts, tokens, counters and the log all cross over."""
        with SimulatorProcess([APP], rate_limit=0, token="token-1") as simulator:
            client = Client(simulator)
            assert simulator.enqueue(APP, iter(replies(12_000))) == 12_000
            assert simulator.enqueue("1400006666", [b' {"odd" : "\\ud83d"}'], region="ap-beijing") == 1
            simulator.fail_next(Fault(FaultKind.BODY, body=b"\xff"), after=1)
            simulator.fail_next("reset", app_id=APP)
            with pytest.raises(ConnectionError):
                client.pull()
            client = Client(simulator)
            assert client.pull().response["PullSmsReplyStatusSet"] == replies(12_000)[100:200]
            assert client.pull().body == b"\xff"
            client.pull(headers={"X-TC-Region": "ap-beijing"})
            assert simulator.configure(empty_set="null").empty_set == "null"
            simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
            with pytest.raises(ValueError, match="register"):
                simulator.enqueue("1400001234", replies(1))
            faults = [FaultKind.RESET, None, FaultKind.BODY, None]
            log = simulator.log()
            assert [pull.fault for pull in log] == faults
            assert log[1].records == replies(12_000)[100:200]
            assert log[1:3] == simulator.log(1, 3)
            *_, last = simulator.handed_out()
            assert last == HandedOut(log[3].request_id, 0, b' {"odd" : "\\ud83d"}', delivered=True)
            assert (simulator.stats().handed_out, simulator.stats().lost) == (301, 200)
            simulator.set_token(None)
            assert client.pull().code == "AuthFailure.TokenFailure"

    def test_control_api_is_plain_http(self, simulator: Simulator) -> None:
        """Anybody can drive it with JSON; wrong calls answer 400 and say why."""
        connection = Client(simulator).connection

        def ask(method: str, path: str, body: str | None = None) -> tuple[int, Any]:
            connection.request(method, f"/_simulator/{path}", body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

        assert ask("POST", "enqueue", json.dumps({"app_id": APP, "records": replies(2)})) == (200, 2)
        assert ask("POST", "fail_next", '{"fault": {"kind": "reset"}, "after": 1}') == (200, None)
        assert Client(simulator).pull(1).code == ""
        assert ask("GET", "stats")[1]["handed_out"] == 1
        assert ask("GET", "stats")[1]["planned_faults"] == 1
        status, log = ask("POST", "log", '{"start": 0, "stop": 5}')
        assert (status, len(log), log[0]["outcome"]) == (200, 1, "answered")
        for path, body in [
            ("fail_next", '{"fault": "gremlins"}'),
            ("configure", '{"speed": 9}'),
            ("log", "["),
        ]:
            status, error = ask("POST", path, body)
            assert status == 400
            assert error["error"]
        for nonsense in ("nonsense", "answer", "_record"):
            assert ask("POST", nonsense)[0] == 404

    def test_child_dies_with_its_parent(self) -> None:
        """When the parent is killed, the port stops answering: the child exits at the end of its input."""
        script = (
            "import sys, time\nfrom sms_source.simulator import SimulatorProcess\n"
            "with SimulatorProcess() as s:\n    print(s.pid, flush=True)\n    time.sleep(600)\n"
        )
        root = str(Path(__file__).parents[1])
        parent = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and _is_running(child):
            time.sleep(0.02)
        assert not _is_running(child)


def _is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")


class TestCommandLine:
    """``python -m sms_source.simulator`` serves and says where."""

    def test_it_serves_demo_replies_and_is_quiet(self, tmp_path: Path) -> None:
        """The URL is printed and filed, the replies are dealt out to the applications, and that is all."""
        arguments = ["--demo-replies=21", "--app-id=1400000001", "--app-id=1400000002"]
        command = [sys.executable, "-m", "sms_source.simulator", f"--url-file={tmp_path / 'url'}", *arguments]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert process.stdout
        url = process.stdout.readline().strip()
        assert (tmp_path / "url").read_text() == f"{url}\n"
        defaults = Simulator()
        defaults.url = url
        client = Client(defaults)
        sizes = [len(client.pull(app_id=f"140000000{n}").response["PullSmsReplyStatusSet"]) for n in (1, 2)]
        assert sizes == [11, 10]
        process.terminate()
        assert process.communicate() == ("", "")
        assert process.returncode == 0

    def test_help_exits_with_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--help describes the options."""
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        assert "--demo-replies" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--port", "many"],
            ["--port", "65536"],
            ["--latency", "-1"],
            ["--rate-limit", "-5"],
            ["--host", "0.0.0.0"],
            ["--host", "example.com"],
            ["--unknown"],
        ],
    )
    def test_bad_arguments_exit_with_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong option, or an address that is not loopback, is wrong usage."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "error:" in capsys.readouterr().err


class TestDemoReplies:
    """Made-up replies are like real ones, and nobody's."""

    def test_they_depend_on_seed_and_time_alone(self) -> None:
        """The same arguments give the same replies, as many as asked for."""
        assert demo_replies(300, seed=1, now=NOW) == demo_replies(300, seed=1, now=NOW)
        assert demo_replies(300, seed=1, now=NOW) != demo_replies(300, seed=2, now=NOW)
        assert demo_replies(0, seed=1, now=NOW) == []

    def test_they_follow_the_specification(self) -> None:
        """Fields, types, numbers and times are as documented, and some replies are equal."""
        made = demo_replies(500, seed=1, now=NOW)
        for reply in made:
            assert reply["PhoneNumber"] == f"+{reply['CountryCode']}{reply['SubscriberNumber']}"
            assert str(reply["PhoneNumber"]).startswith(("+8612", "+120255501", "+447700900"))
        times = [int(reply["ReplyTime"]) for reply in made]
        assert times == sorted(times)
        assert NOW - 6 * 86400 < min(times) <= max(times) <= NOW
        assert len({json.dumps(reply) for reply in made}) < 500
        assert len({reply["ExtendCode"] for reply in made}) == 5
        texts = {str(reply["ReplyContent"]) for reply in made}
        assert {"T", "TD", "退订", "STOP", "1", "5", "Y", "N", "好的", "OK"} <= texts
