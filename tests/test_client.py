"""One pull is one request: what it returns, what it raises, and that nothing is ever sent twice."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from sms_source.api.client import SmsClient
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import InDoubtError, NotExecutedError, PullError, RefusedError
from sms_source.feeds import REPLIES
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.hostile import hostile_server, read_request


def credentials(simulator: SimulatorProcess, **fields: str) -> TencentCloudCredentials:
    """Return the simulator's keys, or others."""
    found = TencentCloudCredentials()
    found.update({"secret_id": simulator.secret_id, "secret_key": simulator.secret_key, **fields})
    found.resolve()
    return found


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[SmsClient]:
    """Provide a client of the simulator, with a short timeout."""
    with SmsClient(credentials(simulator), endpoint=simulator.url, timeout=0.5) as client:
        yield client


def failed_pull(client: SmsClient) -> PullError:
    """Return the error of a pull that fails."""
    with pytest.raises(PullError) as caught:
        client.pull(REPLIES, APP, 100)
    return caught.value


def test_a_pull_returns_the_records_and_the_body_as_it_came(
    simulator: SimulatorProcess, client: SmsClient
) -> None:
    """The body goes into the journal, so it must be what was sent."""
    simulator.enqueue(APP, [b'{"ReplyContent":  "\\u9000\xe8\xae\xa2"}', a_reply()])
    answer, body = client.pull(REPLIES, APP, 1)
    assert answer.records == [{"ReplyContent": "退订"}]
    assert b'{"ReplyContent":  "\\u9000\xe8\xae\xa2"}' in body
    assert len(client.pull(REPLIES, APP, 100).answer.records) == 1
    assert client.pull(REPLIES, APP, 100).answer.records == []


@pytest.mark.parametrize("fault", ["content_type", "gzip", "trickle", "close_after"])
def test_an_odd_but_whole_answer_is_an_answer(
    simulator: SimulatorProcess, client: SmsClient, fault: str
) -> None:
    """A charset in the content type, compression, slowness, a connection that is closed: none is an error."""
    simulator.enqueue(APP, [a_reply()])
    simulator.fail_next(fault, seconds=0.2)
    assert len(client.pull(REPLIES, APP, 100).answer.records) == 1
    time.sleep(0.1)  # a request that crosses the news of a closed connection is in doubt, and rightly so
    assert client.pull(REPLIES, APP, 100).answer.records == []


@pytest.mark.parametrize(
    ("fault", "options", "code"),
    [
        ("reset", {}, "Client.ConnectionReset"),
        ("close", {}, "Client.ConnectionReset"),
        ("reset_unread", {}, "Client.ConnectionReset"),
        ("delay", {"seconds": 1.0}, "Client.ReadTimeout"),
        ("trickle", {"seconds": 3.0}, "Client.ReadTimeout"),
        ("truncate", {}, "Client.TruncatedBody"),
        ("not_json", {}, "Client.NotJSON"),
        ("no_response", {}, "Client.NoResponse"),
        ("http_status", {"status": 502}, "Client.HTTPStatus"),
        ("http_status", {"status": 302}, "Client.HTTPStatus"),
        ("api_error", {"code": "InternalError.Timeout", "popped": True}, "InternalError.Timeout"),
        ("api_error", {"code": "ServiceUnavailable"}, "ServiceUnavailable"),
        ("api_error", {"code": "ResourceUnavailable"}, "ResourceUnavailable"),
    ],
)
def test_a_pull_whose_outcome_nobody_can_know_is_in_doubt_and_never_repeated(
    simulator: SimulatorProcess, client: SmsClient, fault: str, options: dict[str, Any], code: str
) -> None:
    """A repetition would fetch the next replies, and throw away what the first one took."""
    simulator.enqueue(APP, [a_reply() for _ in range(300)])
    simulator.fail_next(fault, **options)
    error = failed_pull(client)
    assert isinstance(error, InDoubtError)
    assert error.code == code
    assert simulator.stats().pulls == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestLimitExceeded", NotExecutedError),
        ("RequestLimitExceeded.UinLimitExceeded", NotExecutedError),
        ("AuthFailure.SignatureExpire", NotExecutedError),
        ("AuthFailure.TokenFailure", NotExecutedError),
        ("UnauthorizedOperation.ServiceSuspendDueToArrears", RefusedError),
        ("Some.NewCode", RefusedError),
    ],
)
def test_an_api_error_is_of_the_kind_that_the_catalogue_gives_it(
    simulator: SimulatorProcess, client: SmsClient, code: str, kind: type[PullError]
) -> None:
    """What follows depends on it: wait, account for a loss, or stop."""
    simulator.fail_next("api_error", code=code)
    error = failed_pull(client)
    assert isinstance(error, kind)
    assert (error.code, bool(error.remedy), bool(error.request_id)) == (code, True, True)


def test_a_pull_in_doubt_carries_what_came_of_its_answer(
    simulator: SimulatorProcess, client: SmsClient
) -> None:
    """The journal keeps it for a person to read."""
    simulator.enqueue(APP, [a_reply("half") for _ in range(50)])
    simulator.fail_next("truncate")
    assert b"half" in failed_pull(client).body


def free_port() -> int:
    """Return a port at which nobody listens."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://127.0.0.1:{port}", "Client.ConnectionRefused"),
        ("http://no-such-host.invalid", "Client.NameResolution"),
    ],
)
def test_a_connection_that_was_never_made_executed_nothing(
    simulator: SimulatorProcess, endpoint: str, code: str
) -> None:
    """Pulling again is safe."""
    with SmsClient(credentials(simulator), endpoint=endpoint.format(port=free_port())) as client:
        error = failed_pull(client)
    assert isinstance(error, NotExecutedError)
    assert error.code == code


def test_a_connection_that_takes_too_long_executed_nothing(simulator: SimulatorProcess) -> None:
    """A listener whose backlog is full lets nobody in."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.create_connection(address)]
        endpoint = f"http://127.0.0.1:{address[1]}"
        with SmsClient(credentials(simulator), endpoint=endpoint, timeout=0.3) as client:
            error = failed_pull(client)
        waiting[0].close()
    assert (type(error), error.code) == (NotExecutedError, "Client.ConnectTimeout")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_tls_that_can_not_be_set_up_executed_nothing(simulator: SimulatorProcess, answer: bytes) -> None:
    """The request goes out only on a connection that is secure."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            connection.recv(10_000)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=answer_once)
        thread.start()
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with SmsClient(credentials(simulator), endpoint=endpoint, timeout=2) as client:
            error = failed_pull(client)
        thread.join()
    assert (type(error), error.code) == (NotExecutedError, "Client.TLS")


def test_a_wrong_key_is_refused_with_the_remedy(simulator: SimulatorProcess) -> None:
    """The message names the option, and never its value."""
    wrong = credentials(simulator, secret_key="not-the-key-000000000000000000000")
    with SmsClient(wrong, endpoint=simulator.url) as client:
        error = failed_pull(client)
    assert (type(error), error.code) == (RefusedError, "AuthFailure.SignatureFailure")
    assert "credentials.secret_key" in str(error)
    assert "not-the-key" not in str(error)


def test_a_clock_that_is_wrong_is_told_as_such(simulator: SimulatorProcess, client: SmsClient) -> None:
    """Nobody guesses a clock from the words 'signature expired'."""
    simulator.configure(clock_skew=400.0)
    error = failed_pull(client)
    assert (type(error), error.code) == (NotExecutedError, "AuthFailure.SignatureExpire")
    assert "NTP" in error.remedy


def test_an_expired_token_is_renewed_for_the_next_pull(simulator: SimulatorProcess) -> None:
    """A long run outlives temporary credentials."""

    class Rotating:
        """A role's keys: renewed on access once they have expired, as the SDK's are."""

        def __init__(self) -> None:
            self._tokens = iter(["first", "second"])
            self._expired_time = 0

        def get_credential_info(self) -> tuple[str, str, str]:
            if self._expired_time < time.time():
                self._expired_time = int(time.time()) + 3600
                self._token = next(self._tokens)
            return simulator.secret_id, simulator.secret_key, self._token

    found = TencentCloudCredentials.from_sdk_credential(Rotating())
    with SmsClient(found, endpoint=simulator.url) as client:
        simulator.set_token("first")
        client.pull(REPLIES, APP, 1)
        simulator.set_token("second")
        assert failed_pull(client).code == "AuthFailure.TokenFailure"
        simulator.enqueue(APP, [a_reply()])
        assert len(client.pull(REPLIES, APP, 1).answer.records) == 1


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_what_is_on_this_machine_is_not_asked_by_a_proxy(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By one, what is allowed in clear to a loopback address alone would leave the machine."""
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with SmsClient(credentials(simulator), endpoint=simulator.url, timeout=5) as client:
        client.check(REPLIES, APP)


def test_a_check_takes_no_reply(simulator: SimulatorProcess, client: SmsClient) -> None:
    """Network, signature, permission and application id are proved, and the queue is as it was."""
    simulator.enqueue(APP, [a_reply()])
    client.check(REPLIES, APP)
    with pytest.raises(RefusedError, match="SdkAppIdNotExist"):
        client.check(REPLIES, "1499999999")
    assert simulator.stats().handed_out == 0
    assert len(client.pull(REPLIES, APP, 100).answer.records) == 1


def test_a_look_up_finds_the_records_of_a_number_and_takes_none(
    simulator: SimulatorProcess, client: SmsClient
) -> None:
    """It may be repeated as often as one likes."""
    now = int(time.time())
    times = {"here": now - 60, "older": now - 7200}
    simulator.enqueue(APP, [a_reply(content, ReplyTime=second) for content, second in times.items()])
    simulator.enqueue(APP, [a_reply("another's", PhoneNumber="+8612000000002", ReplyTime=now - 60)])
    for _ in range(2):
        answer, body = client.look_up(REPLIES, APP, a_reply()["PhoneNumber"], now - 3600, now)
        assert [record["ReplyContent"] for record in answer.records] == ["here"]
        assert b"here" in body
    assert len(client.pull(REPLIES, APP, 100).answer.records) == 3


@pytest.mark.parametrize(
    ("answer", "message", "remedy"),
    [
        (b"", "had no whole answer; it takes nothing", ""),
        (
            b'{"Response": {"Error": {"Code": "AuthFailure.UnauthorizedOperation"}}}',
            "was refused (AuthFailure",
            REPLIES.look_up_action,
        ),
        (
            b'{"Response": {"Error": {"Code": "InvalidParameterValue.BeginTimeVerifyFail"}}}',
            "was refused (Invalid",
            "at most 7 days",
        ),
    ],
)
def test_a_look_up_that_fails_frightens_nobody(
    simulator: SimulatorProcess, answer: bytes, message: str, remedy: str
) -> None:
    """Nothing left a queue; and the permission that is missing is its own."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        if answer:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    with (
        hostile_server(serve) as port,
        SmsClient(credentials(simulator), endpoint=f"http://127.0.0.1:{port}") as client,
        pytest.raises(PullError) as caught,
    ):
        client.look_up(REPLIES, APP, "+8612000000001", 1, 2)
    assert str(caught.value).startswith(f"The look-up of replies from application {APP} {message}")
    assert remedy in caught.value.remedy


def test_a_pull_names_its_application_and_feed(simulator: SimulatorProcess, client: SmsClient) -> None:
    """Of several, somebody has to know which one was refused."""
    simulator.fail_next("api_error", code="UnauthorizedOperation.RequestPermissionDeny")
    error = failed_pull(client)
    assert str(error).startswith(f"The pull of replies from application {APP} was refused, and nothing left")
    assert "PullSmsReplyStatus to be activated" in error.remedy
    assert (error.feed, error.sms_sdk_app_id, error.is_configuration) == ("replies", APP, True)
