"""What was asked and what was answered, to be held against what arrived."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import Any

from .actions import ACTIONS, Action
from .records import LogEntry, Outcome

_COUNTERS = ("requests", "outcomes", "faults", "codes")


class Log:
    """Pulls and look-ups, each in the order in which they were decided, and the counters of each feed."""

    def __init__(self) -> None:
        self.pulls: list[LogEntry] = []
        self.look_ups: list[LogEntry] = []
        self._totals: dict[str, Counter[str]] = defaultdict(
            Counter
        )  # by feed; "" where the action is unknown
        self._counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # by feed and counter

    def note_request(self, name: str) -> None:
        """Count a request for an action of this name, known or not."""
        self._counts[_feed(name), "requests"][name] += 1

    def note_enqueued(self, feed: str, count: int) -> None:
        """Count records that were enqueued."""
        self._totals[feed]["enqueued"] += count

    def note_code(self, name: str, code: str, *, is_limit: bool = False) -> None:
        """Count an API error that answers a request for an action of this name."""
        self._counts[_feed(name), "codes"][code] += 1
        self._totals[_feed(name)]["limited"] += is_limit

    def add(
        self, action: Action, time: float, region: str, request_id: str, outcome: Outcome, **details: Any
    ) -> LogEntry:
        """Log a request, before its client can know of it: whoever saw an answer finds it here."""
        entries = self._entries(action.is_look_up)
        number, feed, is_look_up = len(entries) + 1, action.feed, action.is_look_up
        details |= {"feed": feed, "is_look_up": is_look_up}
        entry = LogEntry(number, time, region, request_id, outcome, **details)
        entries.append(entry)
        if entry.fault:
            self._counts[feed, "faults"][entry.fault.value] += 1
        total = self._totals[feed]
        if is_look_up:
            total["look_ups"] += 1
        else:
            self._counts[feed, "outcomes"][outcome.value] += 1
            total["pulls"] += 1
            total["handed_out"] += len(entry.raw)
            total["lost"] += len(entry.raw)
        return entry

    def note_sent(self, entry: LogEntry, *, sent: bool) -> None:
        """Note whether the answer was sent."""
        entries = self._entries(entry.is_look_up)
        before = entries[entry.number - 1]
        after = entries[entry.number - 1] = dataclasses.replace(before, sent=sent)
        if not entry.is_look_up:
            self._totals[entry.feed]["lost"] += len(entry.raw) * (before.delivered - after.delivered)

    def last_request_id(self, action: Action) -> str:
        """Return the RequestId of the entry before, empty for none."""
        entries = self._entries(action.is_look_up)
        return entries[-1].request_id if entries else ""

    def counters(self, feed: str | None) -> dict[str, Any]:
        """Return those fields of `Stats` that are counted here, of one feed or of all requests."""
        names = ("pulls", "look_ups", "enqueued", "handed_out", "lost", "limited")
        totals = [total for key, total in self._totals.items() if feed in (None, key)]
        counted: dict[str, Any] = {name: sum(total[name] for total in totals) for name in names}
        for name in _COUNTERS:
            whole: Counter[str] = Counter()
            for (key, counter), counts in self._counts.items():
                if counter == name and feed in (None, key):
                    whole.update(counts)
            counted[name] = dict(whole)
        return counted

    def _entries(self, is_look_up: bool) -> list[LogEntry]:  # noqa: FBT001 - of an action or of an entry
        return self.look_ups if is_look_up else self.pulls


def _feed(name: str) -> str:
    return ACTIONS[name].feed if name in ACTIONS else ""
