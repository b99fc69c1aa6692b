"""Keeps what is pushed in the journal, in a drain of its own; what arrives together shares a flush.

A push is answered when its file is durable. While one file is written, others gather; they go into the next
one together, those of a feed and an application in one array, each entry as it came.
"""

import threading
from concurrent.futures import Future
from typing import NamedTuple

from sms_source.api.pushes import together
from sms_source.feeds import Feed
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull, now
from sms_source.settings import MAX_PULL_LIMIT

MAX_WAITING_BYTES = 32 << 20
"""Of bodies that wait for the disk: beyond, pushes are refused for now."""
MAX_BYTES_A_FILE = 4 << 20
UNKNOWN_REGION = "-"


class OverloadedError(Exception):
    """More is pushed than the journal takes; what was refused has to be pushed again."""


class Push(NamedTuple):
    """A body to be kept, with what its URL says, how many records it has, and who waits for it."""

    feed: Feed
    sms_sdk_app_id: str
    body: bytes
    records: int
    kept: "Future[None]"


class Inbox:
    """What is pushed, on its way into the journal; used as a context, whose end writes what still waits.

    Args:
        journal: entered and claimed, for as long as this is.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._drain = journal.open_drain()
        self._file = threading.Lock()
        self._changed = threading.Condition()
        self._pushes: list[Push] = []
        self._bytes = 0
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_all, name="inbox", daemon=True)
        self.waiting = 0
        """Records that are in the journal, and not given to a round yet."""

    def __enter__(self) -> "Inbox":
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def drain_id(self) -> str:
        """Of the drain that is being written: a round is to leave it alone."""
        return self._drain.drain_id

    def keep(self, feed: Feed, sms_sdk_app_id: str, body: bytes, records: int) -> "Future[None]":
        """Have a body kept that `parse_push` can read; may be called from any thread.

        Returns:
            What ends when it is durable, or with an `OSError` when the journal refuses it.

        Raises:
            OverloadedError: too much waits already.
        """
        push = Push(feed, sms_sdk_app_id, body, records, Future())
        with self._changed:
            if self._is_closed or self._bytes + len(body) > MAX_WAITING_BYTES:
                raise OverloadedError
            self._pushes.append(push)
            self._bytes += len(body)
            self._changed.notify()
        return push.kept

    def turn(self) -> None:
        """End the drain, so that a round loads it, and begin another: its id has this moment."""
        with self._file:
            self._drain = self._journal.open_drain()
            self.waiting = 0

    def is_alive(self) -> bool:
        """Return whether what is pushed is still written."""
        return self._writer.is_alive()

    def close(self) -> None:
        """Write what waits, and take nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._writer.join()

    def _write_all(self) -> None:
        while pushes := self._take():
            by_url: dict[tuple[Feed, str], list[Push]] = {}
            for push in pushes:
                by_url.setdefault((push.feed, push.sms_sdk_app_id), []).append(push)
            for of_url in by_url.values():
                self._write(of_url)

    def _take(self) -> list[Push]:
        """Return what goes into the next files, once there is anything; nothing when there never will be."""
        with self._changed:
            while not self._pushes and not self._is_closed:
                self._changed.wait()
            size = count = 0
            for push in self._pushes:
                if count and size + len(push.body) > MAX_BYTES_A_FILE:
                    break
                size, count = size + len(push.body), count + 1
            taken, self._pushes = self._pushes[:count], self._pushes[count:]
            self._bytes -= size
            return taken

    def _write(self, pushes: list[Push]) -> None:
        # Nobody waits for one that was cancelled, as it was when the server ended; it is kept all the same.
        awaited = [push.kept for push in pushes if push.kept.set_running_or_notify_cancel()]
        moment = now()
        pull = Pull(
            pull_id="",
            feed=pushes[0].feed.name,
            sms_sdk_app_id=pushes[0].sms_sdk_app_id,
            region=UNKNOWN_REGION,
            limit=MAX_PULL_LIMIT,
            requested_at=moment,
            answered_at=moment,
            body=together([push.body for push in pushes]),
            channel="callback",
        )
        try:
            with self._file:
                self._drain.add(pull)
                self.waiting += sum(push.records for push in pushes)
        except Exception as error:  # noqa: BLE001 - whoever pushed is told, and pushes again
            for kept in awaited:
                kept.set_exception(error)
            return
        for kept in awaited:
            kept.set_result(None)
