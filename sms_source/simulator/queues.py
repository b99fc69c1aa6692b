"""What waits in the queues, and all that ever was in them, for look-ups."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .actions import TIME_FIELDS
from .records import decode
from .settings import Settings


class Key(NamedTuple):
    """Which queue: each feed, application and region has one of its own."""

    feed: str
    app_id: str
    region: str


class Window(NamedTuple):
    """What a look-up asks for: a phone number in E.164, and a stretch of Unix time."""

    phone_number: str
    begin: int
    end: int


class _Seen(NamedTuple):
    """A record in the history: its time, the Unix time when it was enqueued, its encoded JSON."""

    time: int
    enqueued_at: float
    raw: bytes


class Queues:
    """The queues, and the history of each."""

    def __init__(self) -> None:
        self._waiting: dict[Key, deque[bytes]] = defaultdict(deque)
        self._history: dict[Key, _History] = {}

    def append(self, key: Key, records: Sequence[bytes], queued: Iterable[bytes], now: float) -> None:
        """Append records to the history, and those that are to wait to the queue."""
        self._waiting[key].extend(queued)
        self._history.setdefault(key, _History(key.feed)).append(records, now)

    def pop(self, key: Key, limit: int) -> tuple[bytes, ...]:
        """Take the oldest records of a queue."""
        queue = self._waiting[key]
        return tuple([queue.popleft() for _ in range(min(limit, len(queue)))])

    def look_up(
        self, key: Key, window: Window, limit: int, settings: Settings, now: float
    ) -> tuple[bytes, ...]:
        """Return records of a phone number, whether they still wait or not."""
        if key not in self._history:
            return ()
        history = self._history[key]
        found = history.find(window, settings, now)[:limit]
        if settings.look_up_consumes:
            history.remove(window.phone_number, found)
            for record in found:
                with contextlib.suppress(ValueError):  # it was pulled
                    self._waiting[key].remove(record.raw)
        return tuple([record.raw for record in found])

    def sizes(self, feed: str | None) -> dict[str, int]:
        """Return how many records wait, by ``<app id>/<region>``, of one feed or of both."""
        sizes: dict[str, int] = defaultdict(int)
        for key, queue in self._waiting.items():
            if feed in (None, key.feed):
                sizes[f"{key.app_id}/{key.region}"] += len(queue)
        return dict(sizes)


class _History:
    """All records of a queue. They are indexed by number when a look-up asks, so that pulls pay nothing."""

    def __init__(self, feed: str) -> None:
        self._time_field = TIME_FIELDS[feed]
        self._new: list[tuple[float, Sequence[bytes]]] = []
        self._by_number: dict[str, list[_Seen]] = defaultdict(list)

    def append(self, records: Sequence[bytes], now: float) -> None:
        """Append records, enqueued at the Unix time `now`."""
        self._new.append((now, records))

    def find(self, window: Window, settings: Settings, now: float) -> list[_Seen]:
        """Return what a look-up sees at the Unix time `now`."""
        self._index()
        first = window.begin + (settings.look_up_ends not in ("both", "begin"))
        last = window.end - (settings.look_up_ends not in ("both", "end"))
        found = [
            record
            for record in self._by_number.get(window.phone_number, ())
            if first <= record.time - settings.look_up_send_lag <= last
            and record.enqueued_at + settings.look_up_delay <= now
        ]
        return found[::-1] if settings.look_up_newest_first else found

    def remove(self, phone_number: str, found: Iterable[_Seen]) -> None:
        """Forget records, each once."""
        for record in found:
            self._by_number[phone_number].remove(record)

    def _index(self) -> None:
        for now, records in self._new:
            for raw, value in zip(records, map(decode, records), strict=True):
                if not isinstance(value, dict):
                    continue
                number, time = value.get("PhoneNumber"), value.get(self._time_field)
                if isinstance(number, str) and isinstance(time, int):
                    self._by_number[number].append(_Seen(time, now, raw))
        self._new.clear()
