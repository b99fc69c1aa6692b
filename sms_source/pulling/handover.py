"""Pulls on their way from the threads that make them to the one that reads them."""

import threading
from collections import deque
from dataclasses import replace

from sms_source.api.answers import parse_answer
from sms_source.feeds import FEEDS
from sms_source.journal.pull import Pull
from sms_source.settings import BYTES_AHEAD, PULLS_AHEAD, PULLS_DECODED


class Handover:
    """So many pulls, and bytes of their answers, wait at most: whoever puts one more waits for the reader.

    A pull is answered, or in doubt; what is taken is equal to what was put.
    """

    def __init__(self) -> None:
        self._waiting: deque[Pull | None] = deque()
        self._bytes = 0
        self._is_open = True
        lock = threading.Lock()
        self._came = threading.Condition(lock)
        self._went = threading.Condition(lock)

    def put(self, pull: Pull) -> None:
        """Have the reader get a pull, once there is room for it."""
        with self._went:
            self._went.wait_for(self._has_room)
            is_crowded = len(self._waiting) >= PULLS_DECODED
            self._waiting.append(replace(pull, records=[]) if is_crowded and not pull.in_doubt else pull)
            self._bytes += len(pull.body)
            self._came.notify()

    def end(self) -> None:
        """Have the reader get None, behind what waits: nothing more comes."""
        with self._came:
            self._waiting.append(None)
            self._came.notify()

    def take(self) -> Pull | None:
        """Return what was put first, once there is something."""
        with self._came:
            self._came.wait_for(lambda: self._waiting)
            pull = self._waiting.popleft()
            if pull is not None:
                self._bytes -= len(pull.body)
                self._went.notify()
        if pull is not None and not (pull.records or pull.in_doubt):
            return replace(pull, records=parse_answer(FEEDS[pull.feed], pull.body).records)
        return pull

    def open_wide(self) -> None:
        """Let nobody wait for room any more: nobody reads."""
        with self._went:
            self._is_open = False
            self._went.notify_all()

    def _has_room(self) -> bool:
        is_free = len(self._waiting) < PULLS_AHEAD and self._bytes <= BYTES_AHEAD
        return is_free or not self._is_open
