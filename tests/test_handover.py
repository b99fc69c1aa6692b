"""Pulls that wait for their reader: how many, how large, and what happens when nobody reads."""

import threading
from collections.abc import Callable
from datetime import datetime, timezone

import orjson
import pytest

from sms_source.api.answers import parse_answer
from sms_source.feeds import REPLIES
from sms_source.journal.pull import Pull
from sms_source.pulling.handover import Handover
from sms_source.settings import BYTES_AHEAD, PULLS_AHEAD
from tests.conftest import a_reply
from tests.helpers.jobs import wait_until


def a_pull(number: int, size: int = 0) -> Pull:
    """Return a pull that brought a reply of so many letters."""
    body = orjson.dumps(
        {"Response": {"PullSmsReplyStatusSet": [a_reply("x" * size)], "RequestId": str(number)}}
    )
    asked = Pull(f"d/{number}", "replies", "1", "r", 100, datetime.now(timezone.utc))
    return asked.answered(parse_answer(REPLIES, body), body)


def in_thread(do: Callable[[], None]) -> threading.Thread:
    """Do something in a thread of its own."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def test_pulls_are_taken_in_the_order_in_which_they_were_put() -> None:
    """And behind them their end, which whoever asked first may put anew for the next one."""
    handover = Handover()
    for number in range(3):
        handover.put(a_pull(number))
    handover.end()
    assert [pull and pull.pull_id for pull in (handover.take() for _ in range(4))] == [
        "d/0",
        "d/1",
        "d/2",
        None,
    ]
    handover.end()
    assert handover.take() is None


def test_what_is_taken_is_what_was_put_however_many_wait() -> None:
    """Behind the first ones, the bodies alone are kept; of a doubt also what its broken answer brought."""
    pulls = [a_pull(number) for number in range(PULLS_AHEAD - 1)]
    pulls.append(a_pull(0).doubted("Client.TruncatedBody: ", body=b'{"Resp', records=[a_reply("b")]))
    handover = Handover()
    for pull in pulls:
        handover.put(pull)
    assert [handover.take() for _ in pulls] == pulls


def test_a_reader_waits_for_what_comes() -> None:
    """Without asking again and again."""
    handover = Handover()
    taken: list[Pull | None] = []
    reader = in_thread(lambda: taken.append(handover.take()))
    handover.put(a_pull(1))
    reader.join(10)
    assert [pull and pull.pull_id for pull in taken] == ["d/1"]


@pytest.mark.parametrize(("count", "size"), [(PULLS_AHEAD, 0), (3, BYTES_AHEAD // 3 + 1)])
def test_whoever_puts_one_too_many_waits_until_one_is_taken(count: int, size: int) -> None:
    """So many pulls at most, and so many bytes, whichever comes first."""
    handover = Handover()
    for number in range(count):
        handover.put(a_pull(number, size))
    put: list[str] = []

    def put_another() -> None:
        handover.put(a_pull(count, size))
        put.append("put")

    writer = in_thread(put_another)
    writer.join(0.2)
    assert put == []
    handover.take()
    writer.join(10)
    assert put == ["put"]


def test_where_nobody_reads_nobody_waits() -> None:
    """The journal has what is put."""
    handover = Handover()
    for number in range(PULLS_AHEAD):
        handover.put(a_pull(number))
    writers = [in_thread(lambda: handover.put(a_pull(0))) for _ in range(3)]
    handover.open_wide()
    handover.put(a_pull(1))
    wait_until(lambda: not any(writer.is_alive() for writer in writers))
