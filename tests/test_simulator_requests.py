"""What the simulator demands of a request: signature, parameters, rate."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from sms_source.simulator import (
    LOOK_UP_RECEIPTS,
    PULL_RECEIPTS,
    PULL_REPLIES,
    RECEIPTS,
    REPLIES,
    Account,
    Simulator,
)
from tests.simulator_client import APP, Answer, Client, look_up, replies, sdk_client


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with one application."""
    with Simulator([APP]) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


@pytest.fixture(autouse=True)
def ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the official client from a proxy in the environment, which it would ask even for loopback."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


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
            sdk_client(simulator, secret_key="wrong").call_json(
                PULL_REPLIES, {"SmsSdkAppId": APP, "Limit": 1}
            )
        assert caught.value.get_code() == "AuthFailure.SignatureFailure"

    def test_token_is_asked_for_and_expires(self, simulator: Simulator, client: Client) -> None:
        """Temporary credentials need their token, until it expires."""
        simulator.set_token("secret-token")
        assert client.pull().code == "AuthFailure.TokenFailure"
        assert client.pull(headers={"X-TC-Token": "secret-token"}).code == ""
        response = sdk_client(simulator, token="secret-token").call_json(
            PULL_REPLIES, {"SmsSdkAppId": APP, "Limit": 1}
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

    @pytest.mark.parametrize("action", [PULL_REPLIES, PULL_RECEIPTS])
    def test_receipts_are_pulled_as_strictly_as_replies(self, client: Client, action: str) -> None:
        """Limit, parameters and application are checked for either queue."""
        codes = [
            client.call({"SmsSdkAppId": app_id, "Limit": limit, **more}, action).code
            for app_id, limit, more in (
                (APP, 100, {}),
                (APP, 101, {}),
                ("1400000000", 1, {}),
                (APP, 1, {"PhoneNumber": "+8612000000001"}),
            )
        ]
        wrong = ["InvalidParameterValue", "InvalidParameterValue.SdkAppIdNotExist", "UnknownParameter"]
        assert codes == ["", *wrong]

    @pytest.mark.parametrize("feed", [REPLIES, RECEIPTS])
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"PhoneNumber": "12000000001"}, "InvalidParameterValue.IncorrectPhoneNumber"),
            ({"BeginTime": -1}, "InvalidParameterValue.BeginTimeVerifyFail"),
            ({"BeginTime": int(time.time()) - 8 * 86400}, "InvalidParameterValue.BeginTimeVerifyFail"),
            ({"EndTime": -1}, "InvalidParameterValue.EndTimeVerifyFail"),
            ({"EndTime": 1}, "InvalidParameterValue.InvalidStartTime"),
            ({"BeginTime": "1"}, "InvalidParameter"),
            ({"Offset": 1}, "InvalidParameterValue"),
            ({"Limit": 101}, "InvalidParameterValue"),
        ],
    )
    def test_wrong_look_up_is_refused(
        self, client: Client, feed: str, change: dict[str, Any], code: str
    ) -> None:
        """A look-up checks its number, window, offset and limit."""
        begin = int(time.time()) - 60
        assert look_up(client, "+8612000000001", begin, feed).code == ""
        assert look_up(client, "+8612000000001", begin, feed, **change).code == code

    @pytest.mark.parametrize("name", ["BeginTime", "Offset", "Limit", "PhoneNumber", "SmsSdkAppId"])
    def test_look_up_needs_all_but_its_end(self, client: Client, name: str) -> None:
        """Every parameter but EndTime has to be there."""
        asked = {"BeginTime": int(time.time()), "Offset": 0, "Limit": 1, "SmsSdkAppId": APP}
        asked["PhoneNumber"] = "+8612000000001"
        assert client.call(asked, LOOK_UP_RECEIPTS).code == ""
        del asked[name]
        assert client.call(asked, LOOK_UP_RECEIPTS).code == "MissingParameter"

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
        with Simulator([APP], clock=lambda: float(now), rate_limit=2, look_up_rate_limit=1) as simulator:
            simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
            client = Client(simulator)
            other: dict[str, Any] = {
                "app_id": "1400009999",
                "secret_id": "AKIDother",
                "secret_key": "other-key",
            }
            calls: list[Callable[[], Answer]] = [
                lambda: client.pull(timestamp=now),
                lambda: client.pull(timestamp=now, action=PULL_RECEIPTS),
                lambda: client.pull(timestamp=now, **other),
                lambda: look_up(client, "+8612000000001", now),
                lambda: look_up(client, "+8612000000001", now, RECEIPTS),
            ]
            codes = [[call().code for _ in range(3)] for call in calls]
            limit = "RequestLimitExceeded"
            assert codes == [["", "", limit]] * 3 + [["", limit, limit]] * 2
            assert [simulator.stats(feed).limited for feed in (REPLIES, RECEIPTS)] == [4, 3]

    def test_zero_is_no_limit(self, simulator: Simulator, client: Client) -> None:
        """Without a limit nothing is refused."""
        simulator.configure(rate_limit=0)
        assert {client.pull().code for _ in range(150)} == {""}
