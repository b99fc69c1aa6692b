"""The protocol of one pull, without threads: what stands in the journal whatever the client answers."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from sms_source.api.answers import parse_answer
from sms_source.api.catalogue import error_for
from sms_source.api.client import RawAnswer
from sms_source.errors import ConfigurationError, InDoubtError, JournalError
from sms_source.feeds import RECEIPTS, REPLIES, Feed
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalReservation, LocalStorage
from sms_source.pulling.pull_once import Queue, Result, pull_once
from tests.conftest import APP, a_reply
from tests.helpers.journals import files

QUEUE = Queue(REPLIES, APP, "ap-guangzhou", 100)


@dataclass
class Script:
    """A client that says what it is told to, and what stood in the journal when it was asked."""

    journal: Journal
    says: Callable[[], RawAnswer]
    seen: list[str] = field(default_factory=list)

    def pull(
        self,
        feed: Feed,  # noqa: ARG002 - the protocol
        sms_sdk_app_id: str,
        limit: int,
        before_sending: Callable[[], None],
    ) -> RawAnswer:
        """Answer, or fail."""
        assert (sms_sdk_app_id, limit) == (APP, 100)
        before_sending()
        self.seen += [path.name.rpartition(".")[2] for path in files(self.journal)]
        return self.says()


def answer(*records: Any, feed: Feed = REPLIES) -> RawAnswer:
    """Return an answer with these records."""
    body = orjson.dumps({"Response": {feed.result_set: records, "RequestId": "r1"}})
    return RawAnswer(parse_answer(feed, body), body)


def fail(error: Exception) -> Callable[[], RawAnswer]:
    """Return what raises an error."""

    def says() -> RawAnswer:
        raise error

    return says


def pull(
    journal: Journal, says: Callable[[], RawAnswer], queue: Queue = QUEUE
) -> tuple[Result, list[str], int]:
    """Make a pull; return its result, the states in the journal after it, and how often one was sent."""
    script, used = Script(journal, says), []
    drain = journal.open_drain()
    result = pull_once(script, drain, queue, lambda: used.append(1))
    assert script.seen in ([], ["intent"])
    return result, [path.name.rpartition(".")[2] for path in files(journal)], len(used)


def test_an_answer_is_in_the_journal_before_it_is_handed_on(journal: Journal) -> None:
    """The intent stood there before the request."""
    result, states, used = pull(journal, lambda: answer(a_reply("a")))
    assert (states, used) == (["answer"], 1)
    assert result.pull is not None
    assert [list(journal.read(item)) for item in journal.unloaded()] == [[result.pull]]
    assert (result.refused, result.fatal, result.requested) == (None, None, True)


def test_an_empty_answer_leaves_nothing(journal: Journal) -> None:
    """And says that the queue is empty."""
    result, states, used = pull(journal, answer)
    assert (states, used, result.pull) == ([], 1, None)
    assert result.answer is not None


def test_receipts_go_the_same_way(journal: Journal) -> None:
    """The protocol knows no feed."""
    receipt = {"PhoneNumber": "+86", "ReportStatus": "FAIL"}
    queue = QUEUE._replace(feed=RECEIPTS)
    result, states, _ = pull(journal, lambda: answer(receipt, feed=RECEIPTS), queue)
    assert states == ["answer"]
    assert result.pull is not None
    assert (result.pull.feed, result.pull.records) == ("receipts", [receipt])


@pytest.mark.parametrize(
    "code", ["RequestLimitExceeded", "Client.ConnectionRefused", "UnauthorizedOperation"]
)
def test_what_was_not_executed_or_was_refused_leaves_nothing(journal: Journal, code: str) -> None:
    """Nothing left the queue, so nothing is in doubt."""
    result, states, used = pull(journal, fail(error_for(code, "x")))
    assert (states, used, result.pull, result.fatal) == ([], 1, None, None)
    assert result.refused is not None
    assert result.refused.code == code


def test_what_is_in_doubt_is_kept_with_what_came_whole(journal: Journal) -> None:
    """What broke off did bring a record."""
    error = error_for("Client.TruncatedBody", "x")
    assert isinstance(error, InDoubtError)
    error.body = answer(a_reply("a"), a_reply("b")).body[:-60]
    result, states, _ = pull(journal, fail(error))
    assert states == ["in_doubt"]
    assert result.pull is not None
    assert ([r["ReplyContent"] for r in result.pull.records], result.pull.at_risk) == (["a"], 99)
    assert (result.refused, result.fatal) == (error, None)
    assert [list(journal.read(item)) for item in journal.unloaded()] == [[result.pull]]


def test_an_error_that_nobody_expects_is_a_doubt(journal: Journal) -> None:
    """The request may have gone out."""
    result, states, _ = pull(journal, fail(MemoryError()))
    assert states == ["in_doubt"]
    assert result.pull is not None
    assert result.pull.error == "Client.Unexpected: MemoryError"
    assert isinstance(result.fatal, MemoryError)


def test_credentials_that_fail_end_all_pulling_and_leave_nothing(journal: Journal) -> None:
    """Nothing was sent."""
    result, states, _ = pull(journal, fail(ConfigurationError("no keys")))
    assert (states, result.pull, result.requested) == ([], None, False)
    assert isinstance(result.fatal, ConfigurationError)


def test_no_request_goes_out_that_the_journal_has_not_taken(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is about to be sent."""

    def refuse(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(LocalStorage, "reserve", refuse)
    result, states, used = pull(journal, fail(AssertionError("was asked")))
    assert (states, used, result.pull, result.requested) == ([], 0, None, False)
    assert isinstance(result.fatal, JournalError)


@pytest.mark.parametrize("error", [OSError("full"), MemoryError()])
def test_an_answer_that_the_journal_refuses_is_handed_on_all_the_same(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It may be nowhere else; pulling ends."""

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(LocalReservation, "fill", refuse)
    result, _, _ = pull(journal, lambda: answer(a_reply("a")))
    assert result.pull is not None
    assert result.pull.records == [a_reply("a")]
    assert isinstance(result.fatal, JournalError)
    assert "handed on all the same" in str(result.fatal)
    assert journal.spill.is_in_use()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (answer, None),
        (fail(error_for("RequestLimitExceeded", "")), "RequestLimitExceeded"),
        (fail(ConfigurationError("no key")), "Nothing was sent: ConfigurationError"),
    ],
)
def test_a_pull_that_the_journal_can_not_forget_is_handed_on(
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    says: Callable[[], RawAnswer],
    error: str | None,
) -> None:
    """Its file would come back, as a pull that no table has; what is open beside it is not written to."""
    beside = tmp_path / "warehouse.duckdb"
    beside.write_bytes(b"rows")
    opened: list[int] = []
    unlink = os.unlink

    def fail(path: str) -> None:
        if not str(path).endswith(".intent"):
            return unlink(path)
        opened.append(os.open(beside, os.O_RDWR))  # gets the lowest number that is free
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "unlink", fail)
        result, states, _ = pull(journal, says)
    (descriptor,) = opened
    assert beside.read_bytes() == b"rows"
    os.close(descriptor)  # is open still
    assert states == ["in_doubt" if error else "answer"]
    assert result.pull is not None
    assert [list(journal.read(item)) for item in journal.unloaded()] == [[result.pull]]
    assert (result.pull.error or "").startswith(error or "")
    assert isinstance(result.fatal, JournalError | ConfigurationError)
