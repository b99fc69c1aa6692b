"""When a queue is pulled from again, and when no more."""

import time

import pytest

from sms_source.api.catalogue import error_for
from sms_source.feeds import REPLIES
from sms_source.pulling.pull_once import Queue
from sms_source.pulling.queue_state import LONGEST_BACKOFF_SECONDS, QueueState, backoff
from sms_source.settings import MAX_IN_DOUBT, MAX_NOT_EXECUTED

NEVER, SOON = 1e12, time.monotonic() - 1


@pytest.fixture
def state() -> QueueState:
    """Provide a queue that nothing is known of."""
    return QueueState(Queue(REPLIES, "1400006666", "ap-guangzhou", 100))


def fail(state: QueueState, code: str) -> bool:
    """Have one pull fail; return whether it was the last."""
    before = state.failures
    state.pull_begins()
    return state.failed(error_for(code, ""), before)


def test_one_pull_at_a_time_until_an_answer_is_full(state: QueueState) -> None:
    """Only a full answer says that there may be more."""
    assert state.wants(SOON)
    state.pull_begins()
    assert not state.wants(SOON)
    state.answered(100)
    state.pull_begins()
    assert state.wants(SOON)
    state.answered(99)
    state.pull_begins()
    assert not state.wants(SOON)


def test_an_empty_answer_ends_the_queue(state: QueueState) -> None:
    """Pulls that are in flight then may still bring something, and do not open it again."""
    state.pull_begins()
    state.pull_begins()
    state.answered(0)
    state.answered(100)
    assert state.done
    assert not state.wants(NEVER)
    assert state.in_flight == 0


@pytest.mark.parametrize(
    ("code", "maximum"), [("RequestLimitExceeded", MAX_NOT_EXECUTED), ("Client.TruncatedBody", MAX_IN_DOUBT)]
)
def test_failures_in_a_row_end_the_queue(state: QueueState, code: str, maximum: int) -> None:
    """The first ones wait; an answer between them begins the count anew."""
    for _ in range(2):
        for _ in range(maximum - 1):
            assert not fail(state, code)
        assert state.resume_at > SOON
        state.pull_begins()
        state.answered(1)
    for _ in range(maximum - 1):
        assert not fail(state, code)
    assert fail(state, code)
    assert state.done


def test_pulls_that_fail_together_are_one_failure_in_a_row(state: QueueState) -> None:
    """Sixteen in flight when a line breaks must not end the queue at once."""
    before = state.failures
    for _ in range(16):
        state.pull_begins()
    ends = [state.failed(error_for("Client.TruncatedBody", ""), before) for _ in range(16)]
    assert not any(ends)
    assert (state.failures, state.in_flight) == (before + 1, 0)


def test_a_refusal_for_the_rate_among_answers_is_no_reason_to_wait(state: QueueState) -> None:
    """The rate is lowered; only when no answer comes between two of them, the queue is left alone."""
    for _ in range(20):
        state.pull_begins()
        state.answered(100)
        assert not fail(state, "RequestLimitExceeded")
        assert (state.wants(SOON), state.is_full) == (True, True)
    assert not fail(state, "RequestLimitExceeded")
    assert (state.wants(SOON), state.is_full) == (False, False)


def test_a_refusal_ends_the_queue_at_once(state: QueueState) -> None:
    """Nothing that is refused for good is asked for again."""
    assert fail(state, "AuthFailure.SecretIdNotFound")
    assert state.done


def test_an_abandoned_pull_leaves_the_queue_as_it_was(state: QueueState) -> None:
    """A stop came between the decision and the request."""
    state.pull_begins()
    state.abandoned()
    assert (state.in_flight, state.done, state.failures) == (0, False, 0)


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 0.25), (2, 0.5), (3, 1.0), (50, LONGEST_BACKOFF_SECONDS)]
)
def test_pauses_double_up_to_a_bound(failures: int, longest: float) -> None:
    """With jitter, so that many jobs do not come back together."""
    pauses = {backoff(failures) for _ in range(50)}
    assert max(pauses) <= longest
    assert min(pauses) >= longest / 2
    assert len(pauses) > 1
