"""The inbox: what is pushed is in the journal, whoever still waits for it."""

import json
import threading
from pathlib import Path

from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.receiving.inbox import Inbox
from tests.conftest import APP
from tests.helpers.journals import read_all
from tests.receiving.receiving_job import a_pushed_reply


class SlowDisk(LocalStorage):
    """A folder in which a push is written when somebody lets it be.

    goes_on: lets it.
    is_asked: is set when one is to be written.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.goes_on = threading.Event()
        self.is_asked = threading.Event()

    def write(self, path: str, content: bytes) -> None:
        """Write a file, a push's when it may be."""
        if path.endswith(".callback"):
            self.is_asked.set()
            self.goes_on.wait()
        super().write(path, content)


def a_body(text: str) -> bytes:
    """Return the body of a push."""
    return json.dumps(a_pushed_reply(text)).encode()


def test_a_push_that_is_cancelled_keeps_no_other_from_the_journal(tmp_path: Path) -> None:
    """The server cancels what waits for a slow disk when it ends; what was received is kept all the same."""
    disk = SlowDisk(tmp_path)
    with Journal("", storage=disk) as journal:
        with Inbox(journal) as inbox:
            written = inbox.keep(REPLIES, APP, a_body("being written"), 1)
            disk.is_asked.wait()
            waiting = inbox.keep(REPLIES, APP, a_body("waiting"), 1)
            other = inbox.keep(REPLIES, APP, a_body("after it"), 1)
            written.cancel()
            assert waiting.cancel()
            disk.goes_on.set()
            other.result(timeout=60)
            assert inbox.is_alive()
            later = inbox.keep(REPLIES, APP, a_body("later"), 1)
            later.result(timeout=60)
        texts = [record["ReplyContent"] for pull in read_all(journal) for record in pull.records]
    assert texts == ["being written", "waiting", "after it", "later"]
