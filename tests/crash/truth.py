"""Holds the warehouse against the simulator's log and what each kill left in the journal.

The promise: every reply that reached this machine is in the warehouse exactly once; every pull whose
outcome nobody can know is a row in the ledger, with its time and its bound.
"""

import itertools
import json
import zlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sms_source.simulator import Outcome, Pull
from tests.crash.job import JournalFiles

REPLY_COLUMNS = {
    "PhoneNumber": "phone_number",
    "CountryCode": "country_code",
    "SubscriberNumber": "subscriber_number",
    "SignName": "sign_name",
    "ExtendCode": "extend_code",
    "ReplyContent": "reply_content",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Row = dict[str, Any]


class Tables(NamedTuple):
    """The rows of the warehouse."""

    replies: Sequence[Row]
    pulls: Sequence[Row]
    rejected_replies: Sequence[Row]


@dataclass
class Leftovers:
    """What a killed run left in the journal, read before the next run can touch it.

    journaled: RequestIds of the answers that are there whole.
    intents: `pull_id`s of the requests without an answer, with their applications and times.
    highest: the number of requests that were intended at least.
    opened_at: the time of the first drain, before which the run sent no request; None without a drain.
    """

    journaled: set[str] = field(default_factory=set)
    intents: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    highest: int = 0
    opened_at: datetime | None = None


@dataclass
class Run:
    """One run of the job. `started_at` and `ended_at` are Unix times."""

    number: int
    aim: str
    started_at: float
    ended_at: float = 0.0
    status: int = 0
    phase: str = ""
    leftovers: Leftovers = field(default_factory=Leftovers)

    def __str__(self) -> str:
        return f"run {self.number} (aim {self.aim}, reached {self.phase}, status {self.status})"

    @property
    def killed(self) -> bool:
        """Whether the kill came before the job's own end."""
        return self.status == -9


def read_leftovers(journal: JournalFiles, drains: Iterable[str]) -> Leftovers:
    """Reads drains without the product's own code, so that a fault of its reader can't hide."""
    found = Leftovers()
    for drain_id in sorted(drains):
        found.opened_at = found.opened_at or _parse_time(drain_id.partition("-")[0])
        names = [name.split(".") for name in journal.names(f"drains/{drain_id}")]
        # A store keeps the intent beside what came of it.
        settled = {number for number, *_, state in names if state != "intent"}
        for number, app_id, region, limit, requested_at, state in names:
            found.highest = max(found.highest, int(number))
            if state == "intent" and number in settled:
                continue
            name = f"{number}.{app_id}.{region}.{limit}.{requested_at}.{state}"
            envelope = _read_envelope(journal.read(f"drains/{drain_id}/{name}"))
            if envelope:
                found.journaled.add(envelope["request_id"])
            elif state == "intent":
                found.intents[f"{drain_id}/{number}"] = (app_id, _parse_time(requested_at))
    return found


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=timezone.utc)


def _read_envelope(content: bytes) -> dict[str, Any] | None:
    line, newline, rest = content.partition(b"\n")
    if not newline or not line.startswith(b"{"):
        return None
    envelope: dict[str, Any] = json.loads(line)
    body = rest[: envelope["body_bytes"]]
    is_whole = len(body) == envelope["body_bytes"] and zlib.crc32(body) == envelope["body_crc32"]
    return envelope if is_whole else None


class Truth:
    """Compares, and counts.

    Args:
        pulls: the simulator's log.
        runs: of the job, in their order; none is going on.
        malformed: the replies that do not fit, as sent.
        workers: pulls that a run may have in flight.
    """

    def __init__(
        self, pulls: Sequence[Pull], runs: Sequence[Run], malformed: Collection[bytes], workers: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._wrong: dict[str, list[Any]] = defaultdict(list)
        self._missing: set[str] = set()
        self._pulls = pulls
        self._runs = runs
        self._malformed = malformed
        self._workers = workers
        self._by_id = {pull.request_id: pull for pull in pulls if pull.replies}

    def compare(self, tables: Tables) -> None:
        """Compares all of it."""
        self._check_keys(tables)
        loaded = self._check_rows(tables)
        self._check_marks(tables, loaded)
        self._check_ledger(tables, loaded)
        self._check_journaled(loaded)
        self._check_doubts(tables, loaded)
        self.counts["missing"] += sum(len(self._by_id[request_id].replies) for request_id in self._missing)

    @property
    def violations(self) -> list[str]:
        """What is wrong, a line a kind, with examples."""
        lines = []
        for what, examples in self._wrong.items():
            rest = f" … ({len(examples)} in all)" if len(examples) > 3 else ""
            lines.append(f"{what}: {'; '.join(map(str, examples[:3]))}{rest}")
        return lines

    def _violation(self, what: str, *examples: Any) -> None:
        if examples:
            self._wrong[what] += examples

    def _check_keys(self, tables: Tables) -> None:
        keys = {
            "reply_id": [row["reply_id"] for row in tables.replies],
            "pull_id": [row["pull_id"] for row in tables.pulls],
            "rejected reply": [(row["request_id"], row["position"]) for row in tables.rejected_replies],
        }
        for name, values in keys.items():
            doubled = {key: count for key, count in Counter(values).items() if count > 1}
            self.counts["doubled"] += sum(doubled.values()) - len(doubled)
            self._violation(f"a {name} is there twice", *doubled.items())

    def _check_rows(self, tables: Tables) -> set[str]:
        """Compares each row with its reply; returns the RequestIds of the answers that are there."""
        replies = {row["reply_id"]: row for row in tables.replies}
        rejected = {(row["request_id"], row["position"]): row for row in tables.rejected_replies}
        answered_at = {row["request_id"]: row["answered_at"] for row in tables.pulls if row["request_id"]}
        loaded = set()
        for request_id, pull in self._by_id.items():
            found = 0
            for position, reply in enumerate(pull.replies):
                if reply in self._malformed:
                    row = rejected.pop((request_id, position), None)
                    wrong = row is not None and row["record"] != reply.decode("utf-8", "backslashreplace")
                else:
                    row = replies.pop(f"{request_id}/{position}", None)
                    wrong = row is not None and not _equals(row, json.loads(reply), pull, position)
                found += row is not None
                if row is not None and (wrong or row["pulled_at"] != answered_at.get(request_id)):
                    self._violation("a row differs from its reply", (row, reply))
            if found:
                loaded.add(request_id)
            if 0 < found < len(pull.replies):
                self.counts["missing"] += len(pull.replies) - found
                self._violation(
                    "replies of an answer are missing", f"{request_id}, {found} of {len(pull.replies)}"
                )
            self.counts["handed out"] += len(pull.replies)
            self.counts["loaded"] += found
        self._violation("rows that nobody sent, or in the wrong table", *replies, *rejected)
        return loaded

    def _check_marks(self, tables: Tables, loaded: set[str]) -> None:
        """Counts the marked texts: a doubled reply shows here even under another key."""
        sent = Counter(
            json.loads(reply)["ReplyContent"]
            for request_id in loaded
            for reply in self._by_id[request_id].replies
            if reply not in self._malformed
        )
        there = Counter(row["reply_content"] for row in tables.replies)
        self._violation("texts are there more often than sent", *(there - sent).items())
        self._violation("texts are there less often than sent", *(sent - there).items())

    def _check_ledger(self, tables: Tables, loaded: set[str]) -> None:
        answered = {row["request_id"]: row for row in tables.pulls if row["outcome"] == "answered"}
        self._violation("ledger and replies differ in their answers", *(answered.keys() ^ loaded))
        for request_id in answered.keys() & loaded:
            row, pull = answered[request_id], self._by_id[request_id]
            facts = (row["sms_sdk_app_id"], row["region"], row["replies"], row["at_risk"], row["error"])
            if facts != (pull.app_id, pull.region, len(pull.replies), 0, None):
                self._violation("a ledger row differs from its pull", row)
            sent_at = _EPOCH + timedelta(seconds=pull.time)
            if not row["requested_at"] <= sent_at <= row["answered_at"]:
                self._violation("a ledger row's times do not hold its pull's", (row, sent_at))
        total = sum(row["replies"] for row in tables.pulls)
        rows = len(tables.replies) + len(tables.rejected_replies)
        if total != rows:
            self._violation("the ledger's count is not the number of replies", (total, rows))

    def _check_journaled(self, loaded: set[str]) -> None:
        """The first half of the promise, by what was in the journal when a run was killed."""
        for run in self._runs:
            missing = run.leftovers.journaled - loaded
            self._missing |= missing
            self._violation("journaled, and not loaded", *(f"{run}: {request_id}" for request_id in missing))

    def _check_doubts(self, tables: Tables, loaded: set[str]) -> None:
        """The second half: the pulls in doubt are the requests that a kill cut off, and no other."""
        doubts = {row["pull_id"]: row for row in tables.pulls if row["outcome"] == "in_doubt"}
        expected = {
            pull_id: intent for run in self._runs for pull_id, intent in run.leftovers.intents.items()
        }
        self.counts["in doubt"] = len(doubts)
        self.counts["at risk"] = sum(row["at_risk"] for row in doubts.values())
        self._violation("in doubt, and no kill left it", *(doubts.keys() - expected.keys()))
        self._violation("a kill left it, and it is not in doubt", *(expected.keys() - doubts.keys()))
        for pull_id in doubts.keys() & expected.keys():
            row, (app_id, requested_at) = doubts[pull_id], expected[pull_id]
            facts = (row["sms_sdk_app_id"], row["requested_at"], row["replies"], row["request_id"])
            if facts != (app_id, requested_at, 0, None) or not row["error"]:
                self._violation("a row in doubt differs from its request", row)
        for run, pulls in self._pulls_of_runs():
            self._check_run(run, pulls, loaded, doubts)

    def _check_run(self, run: Run, pulls: list[Pull], loaded: set[str], doubts: dict[str, Row]) -> None:
        """Each lost answer of a run has a row in doubt: of its application, from before it was sent."""
        intents = run.leftovers.intents
        if len(intents) > self._workers:
            self._violation("more requests cut off than workers", f"{run}: {len(intents)}")
        lost: dict[str, list[Pull]] = defaultdict(list)
        for pull in pulls:
            if pull.outcome not in (Outcome.ANSWERED, Outcome.EMPTY):
                self._violation("the simulator did not answer", pull)
            if pull.replies and pull.request_id not in loaded:
                lost[pull.app_id].append(pull)
        covered = 0
        for app_id, lost_pulls in lost.items():
            rows = [doubts[i] for i, intent in intents.items() if intent[0] == app_id and i in doubts]
            rows.sort(key=lambda row: row["requested_at"])
            # The log is in the order of time. If any assignment of rows to pulls fits, then this one does.
            for pull, row in itertools.zip_longest(lost_pulls, rows[: len(lost_pulls)]):
                sent_at = _EPOCH + timedelta(seconds=pull.time)
                if row is None or row["requested_at"] > sent_at or row["at_risk"] < len(pull.replies):
                    self._missing.add(pull.request_id)
                    self._violation("an answer is lost and not in doubt", f"{run}: {pull.request_id}")
                else:
                    covered += 1
                    self.counts["lost in flight"] += len(pull.replies)
                    age = round((run.ended_at - pull.time) * 1000)
                    self.counts["oldest lost, ms"] = max(self.counts["oldest lost, ms"], age)
        self.counts["answers lost in flight"] += covered
        # Each intent was sent, and then it is in the log, or it was not.
        needless = len(intents) - covered
        unsent = min(max(run.leftovers.highest - len(pulls), 0), needless)
        self.counts["in doubt, never sent"] += unsent
        self.counts["in doubt, empty"] += needless - unsent

    def _pulls_of_runs(self) -> Iterable[tuple[Run, list[Pull]]]:
        """The runs with their pulls: those from a run's first drain to the next one's.

        The simulator may meet a killed run's last request only when the next run has begun.
        """
        opened = [run.leftovers.opened_at for run in self._runs]
        starts = [
            time.timestamp() if time else run.started_at for run, time in zip(self._runs, opened, strict=True)
        ]
        groups: list[list[Pull]] = [[] for _ in self._runs]
        for pull in self._pulls:
            groups[max(bisect_right(starts, pull.time) - 1, 0)].append(pull)
        return zip(self._runs, groups, strict=True)


def _equals(row: Row, record: dict[str, Any], pull: Pull, position: int) -> bool:
    expected = {column: record.get(name) for name, column in REPLY_COLUMNS.items()}
    expected |= {
        "reply_id": f"{pull.request_id}/{position}",
        "sms_sdk_app_id": pull.app_id,
        "region": pull.region,
        "request_id": pull.request_id,
        "reply_time": _EPOCH + timedelta(seconds=record["ReplyTime"]),
    }
    return all(row[column] == value for column, value in expected.items())
