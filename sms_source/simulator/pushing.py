"""Pushes to callback URLs: over HTTP, in the background, again when they fail."""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .actions import REPLIES
from .callbacks import callback_body
from .records import Push
from .settings import Settings


class _Job(NamedTuple):
    """What is to be pushed: the body of a request, with so many records."""

    feed: str
    app_id: str
    url: str
    body: bytes
    size: int


class Pusher:
    """Pushes in threads of its own, which start with the first push. `log` is for whoever holds `lock`."""

    def __init__(self, settings: Callable[[], Settings], now: Callable[[], float]) -> None:
        self._settings, self._now = settings, now
        self.lock = threading.Lock()
        self.log: list[Push] = []
        self.pushed = self.given_up = self.to_push = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._workers = 0

    def push(self, feed: str, app_id: str, url: str, records: Sequence[bytes]) -> None:
        """Have records pushed, replies one by one."""
        while self._workers < self._settings().push_workers:
            self._workers += 1
            threading.Thread(target=self._work, daemon=True).start()
        with self.lock:
            self.to_push += len(records)
        size = 1 if feed == REPLIES else self._settings().push_batch
        for start in range(0, len(records), size):
            bodies = [callback_body(feed, record) for record in records[start : start + size]]
            body = bodies[0] if feed == REPLIES else b"[" + b",".join(bodies) + b"]"
            self._jobs.put(_Job(feed, app_id, url, body, len(bodies)))

    def close(self) -> None:
        """Push no more."""
        self._stopping.set()
        for _ in range(self._workers):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) and not self._stopping.is_set():
            settings = self._settings()
            attempts = settings.reply_push_attempts if job.feed == REPLIES else settings.receipt_push_attempts
            accepted = False
            for attempt in range(1, attempts + 1):
                if self._stopping.wait(settings.push_retry_seconds if attempt > 1 else 0):
                    return
                accepted = self._try(job, attempt, settings.push_timeout)
                if accepted:
                    break
            with self.lock:
                self.to_push -= job.size
                self.pushed += job.size * accepted
                self.given_up += job.size * (not accepted)

    def _try(self, job: _Job, attempt: int, timeout: float) -> bool:
        """Push once, log it, and return whether it was accepted."""
        status, answer, error = 0, b"", ""
        try:
            status, answer = _post(job.url, job.body, timeout)
        except (OSError, http.client.HTTPException) as problem:
            error = f"{type(problem).__name__}: {problem}"
        with self.lock:
            facts = (len(self.log) + 1, self._now(), job.feed, job.app_id, job.url, attempt, job.size)
            push = Push(*facts, job.body, status, answer, error)
            self.log.append(push)
        return push.accepted


def _post(url: str, body: bytes, timeout: float) -> tuple[int, bytes]:
    """Return status and body of an answer. A connection a push, so that none is found closed."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout)
    try:
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("POST", path, body, {"Content-Type": "application/json", "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
