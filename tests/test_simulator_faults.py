"""The simulator's faults, as a client meets them, and what its log says of them."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sms_source.simulator import (
    LOOK_UP_RECEIPTS,
    LOOK_UP_REPLIES,
    PULL_RECEIPTS,
    PULL_REPLIES,
    RECEIPTS,
    REPLIES,
    Account,
    Fault,
    FaultKind,
    Outcome,
    Simulator,
)
from tests.simulator_client import APP, BROKEN, Answer, Client, look_up, replies

ACTIONS = (PULL_REPLIES, PULL_RECEIPTS, LOOK_UP_REPLIES, LOOK_UP_RECEIPTS)
GOOD_FAULTS = [
    "content_type",
    "gzip",
    "no_request_id",
    "duplicate_request_id",
    "close_after",
    "trickle",
    "delay",
]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with one application."""
    with Simulator([APP]) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


def call_of(client: Client, action: str) -> Answer:
    """Ask for what `action` hands out."""
    if action in (LOOK_UP_REPLIES, LOOK_UP_RECEIPTS):
        feed = RECEIPTS if action == LOOK_UP_RECEIPTS else REPLIES
        return look_up(client, "+8612000000001", int(time.time()) - 60, feed)
    return client.pull(action=action)


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

    @pytest.mark.parametrize("kind", list(FaultKind))
    def test_every_fault_strikes_every_action(self, simulator: Simulator, kind: FaultKind) -> None:
        """Receipts and look-ups fail in the same ways as replies, and the log says so."""
        simulator.configure(look_up_rate_limit=0)
        now = int(time.time())
        record = {"PhoneNumber": "+8612000000001", "ReplyTime": now, "UserReceiveTime": now}
        for action in ACTIONS:
            feed = RECEIPTS if "SendStatus" in action else REPLIES
            simulator.enqueue(APP, [record] * 5, feed=feed)
            simulator.fail_next(Fault(kind, seconds=0.01), action=action)
            others = [call_of(Client(simulator), other) for other in ACTIONS if other != action]
            assert {(answer.status, answer.code) for answer in others} == {(200, "")}
            with contextlib.suppress(*BROKEN):
                answer = call_of(Client(simulator), action)
                assert answer.status in (200, 502)
            entries = simulator.look_ups() if "ByPhoneNumber" in action else simulator.log()
            assert (entries[-1].fault, entries[-1].feed) == (kind, feed)
            assert simulator.stats().planned_faults == 0

    def test_fault_without_an_action_spares_look_ups(self, simulator: Simulator, client: Client) -> None:
        """It waits for a pull of either queue."""
        simulator.fail_next("http_status", times=2)
        statuses = [call_of(client, action).status for action in (LOOK_UP_REPLIES, *ACTIONS)]
        assert statuses == [200, 502, 502, 200, 200]

    def test_streams_of_faults_are_kept_apart_by_action(self, simulator: Simulator, client: Client) -> None:
        """One action's stream leaves that of the others alone."""
        simulator.fail_repeatedly(["http_status", None])
        simulator.fail_repeatedly([None, None, "http_status"], action=PULL_RECEIPTS)
        simulator.fail_randomly({"http_status": 1.0}, seed=1, action=LOOK_UP_RECEIPTS)
        statuses = {action: [call_of(client, action).status for _ in range(4)] for action in ACTIONS}
        assert statuses == {
            PULL_REPLIES: [502, 200, 502, 200],
            PULL_RECEIPTS: [200, 200, 502, 200],
            LOOK_UP_REPLIES: [200] * 4,
            LOOK_UP_RECEIPTS: [502] * 4,
        }

    def test_impossible_faults_are_refused(self, simulator: Simulator) -> None:
        """An unread request pops nothing, a good answer hides nothing, and probabilities end at 1."""
        for kind, popped in (("reset_unread", True), ("gzip", False)):
            with pytest.raises(ValueError, match="cannot"):
                simulator.fail_next(kind, popped=popped)
        with pytest.raises(ValueError, match="probabilities"):
            simulator.fail_randomly({"reset": 0.9, "close": 0.2}, seed=1)
        with pytest.raises(ValueError, match="gremlins"):
            simulator.fail_next("gremlins")
        with pytest.raises(ValueError, match="no action 'PullNothing'"):
            simulator.fail_next("reset", action="PullNothing")
