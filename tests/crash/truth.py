"""Holds the warehouse against the simulator's log and what each kill left in the journal.

The promise: every record that reached this machine is in the warehouse exactly once; every pull whose
outcome nobody can know is a row in the ledger, with its time and its bound.
"""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sms_source.simulator import LogEntry, Outcome
from tests.crash import private
from tests.crash.journal_files import File, Leftovers

_PERSON = {
    "PhoneNumber": "phone_number",
    "CountryCode": "country_code",
    "SubscriberNumber": "subscriber_number",
}


class Feed(NamedTuple):
    """What differs between the feeds.

    record_id: the column of a record's id.
    time: the field of a record's time, and its column.
    mark: the field that traces a record, and its column.
    columns: of the other fields.
    """

    name: str
    record_id: str
    time: tuple[str, str]
    mark: tuple[str, str]
    columns: dict[str, str]


REPLIES = Feed(
    "replies",
    "reply_id",
    ("ReplyTime", "reply_time"),
    ("ReplyContent", "reply_content"),
    {
        **_PERSON,
        "SignName": "sign_name",
        "ExtendCode": "extend_code",
        "ReplyContent": "reply_content",
    },
)
RECEIPTS = Feed(
    "receipts",
    "receipt_id",
    ("UserReceiveTime", "user_receive_time"),
    ("SerialNo", "serial_no"),
    {
        **_PERSON,
        "SerialNo": "serial_no",
        "ReportStatus": "report_status",
        "Description": "description",
        "SessionContext": "session_context",
    },
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Row = dict[str, Any]


class Tables(NamedTuple):
    """The rows of one feed; `replies` are its records, also where these are receipts."""

    replies: Sequence[Row]
    pulls: Sequence[Row]
    rejected_records: Sequence[Row]


@dataclass
class Run:
    """One run of a job.

    app_ids: whose queues it pulled from.
    aim: the moment of its kill.
    first_pull, end_pull: the part of the simulator's log that holds its pulls.
    """

    number: int
    app_ids: Collection[str]
    aim: str
    first_pull: int = 0
    end_pull: int = 0
    status: int = 0
    phase: str = ""
    leftovers: Leftovers = field(default_factory=Leftovers)

    def __str__(self) -> str:
        return f"run {self.number} (aim {self.aim}, reached {self.phase}, status {self.status})"

    @property
    def killed(self) -> bool:
        """Whether the kill came before the job's own end."""
        return self.status == -9


class Truth:
    """Compares, and counts.

    Args:
        pulls: the simulator's log.
        runs: of the jobs, in their order; none is going on.
        malformed: the replies that do not fit, as sent.
        workers: pulls that a run may have in flight.
        feed: whose pulls and rows are compared.
        is_private: whether the tables are to be without numbers.
    """

    def __init__(
        self,
        pulls: Sequence[LogEntry],
        runs: Sequence[Run],
        malformed: Collection[bytes],
        workers: int,
        feed: Feed = REPLIES,
        *,
        is_private: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._wrong: dict[str, list[Any]] = defaultdict(list)
        self._missing: set[str] = set()
        self._pulls = pulls
        self._runs = runs
        self._malformed = malformed
        self._workers = workers
        self._expected = private.expected_record if is_private else lambda record: record
        self._expected_text = private.expected_text if is_private else lambda text: text
        self._feed = feed
        self._by_id = {pull.request_id: pull for pull in pulls if pull.replies and pull.feed == feed.name}
        self._torn = {
            request_id: _whole_in(body, self._by_id[request_id].replies)
            for run in runs
            for request_id, body in run.leftovers.torn.values()
            if request_id in self._by_id
        }
        """How many records of an answer that a kill left half written are whole."""

    def compare(self, tables: Tables, archive: Iterable[File] | None = None) -> None:
        """Compare all of it.

        Args:
            tables: of the warehouse.
            archive: the files of the journals' bundles, where these are kept.
        """
        self._check_keys(tables)
        loaded = self._check_rows(tables)
        self._check_marks(tables, loaded)
        self._check_ledger(tables, loaded)
        self._check_journaled(tables, loaded)
        self._check_doubts(tables, loaded)
        if archive is not None:
            self._check_archive(tables, archive)
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
            self._feed.record_id: [row[self._feed.record_id] for row in tables.replies],
            "pull_id": [row["pull_id"] for row in tables.pulls],
            "rejected record": [(row["pull_id"], row["position"]) for row in tables.rejected_records],
        }
        for name, values in keys.items():
            doubled = {key: count for key, count in Counter(values).items() if count > 1}
            self.counts["doubled"] += sum(doubled.values()) - len(doubled)
            self._violation(f"a {name} is there twice", *doubled.items())

    def _check_rows(self, tables: Tables) -> set[str]:
        """Compare each row with its reply; return the RequestIds of the answers that are there."""
        replies = {(row["request_id"], _position(row[self._feed.record_id])): row for row in tables.replies}
        rejected = {(row["request_id"], row["position"]): row for row in tables.rejected_records}
        ledger = {row["request_id"]: row for row in tables.pulls if row["request_id"]}
        loaded = set()
        for request_id, pull in self._by_id.items():
            found = 0
            facts = ledger.get(request_id, {"pull_id": None, "answered_at": None})
            for position, reply in enumerate(pull.replies):
                key = (request_id, position)
                if reply in self._malformed:
                    row = rejected.pop(key, None)
                    wrong = row is not None and (row["record"], row["feed"]) != (
                        self._expected_text(_text(reply)),
                        self._feed.name,
                    )
                else:
                    row = replies.pop(key, None)
                    wrong = row is not None and not self._equals(
                        row, self._expected(json.loads(reply)), pull, position
                    )
                if row is None:
                    continue
                found += 1
                if wrong or (row["pull_id"], row["pulled_at"]) != (facts["pull_id"], facts["answered_at"]):
                    self._violation("a row differs from its reply", (row, reply))
            if request_id in self._torn:
                if found != self._torn[request_id]:
                    self._violation(
                        "of a half-written answer, other records are there than whole ones", request_id
                    )
            elif found:
                loaded.add(request_id)
            if 0 < found < len(pull.replies) and request_id not in self._torn:
                self.counts["missing"] += len(pull.replies) - found
                self._violation(
                    "replies of an answer are missing", f"{request_id}, {found} of {len(pull.replies)}"
                )
            self.counts["handed out"] += len(pull.replies)
            self.counts["loaded"] += found
        self._violation("rows that nobody sent, or in the wrong table", *replies, *rejected)
        return loaded

    def _check_marks(self, tables: Tables, loaded: set[str]) -> None:
        """Count the marked texts: a doubled reply shows here even under another key."""
        field, column = self._feed.mark
        whole = {request_id: len(self._by_id[request_id].replies) for request_id in loaded} | self._torn
        sent = Counter(
            json.loads(reply)[field]
            for request_id, count in whole.items()
            for reply in self._by_id[request_id].replies[:count]
            if reply not in self._malformed
        )
        there = Counter(row[column] for row in tables.replies)
        self._violation("texts are there more often than sent", *(there - sent).items())
        self._violation("texts are there less often than sent", *(sent - there).items())

    def _check_ledger(self, tables: Tables, loaded: set[str]) -> None:
        answered = {row["request_id"]: row for row in tables.pulls if row["outcome"] == "answered"}
        self._violation("ledger and replies differ in their answers", *(answered.keys() ^ loaded))
        for request_id in answered.keys() & loaded:
            row, pull = answered[request_id], self._by_id[request_id]
            facts = (row["feed"], row["sms_sdk_app_id"], row["region"], row["records"])
            expected = (self._feed.name, pull.app_id, pull.region, len(pull.replies))
            if facts != expected or (row["at_risk"], row["error"]) != (0, None):
                self._violation("a ledger row differs from its pull", row)
            sent_at = _EPOCH + timedelta(seconds=pull.time)
            if not row["requested_at"] <= sent_at <= row["answered_at"]:
                self._violation("a ledger row's times do not hold its pull's", (row, sent_at))
        total = sum(row["records"] for row in tables.pulls)
        rows = len(tables.replies) + len(tables.rejected_records)
        if total != rows:
            self._violation("the ledger's count is not the number of records", (total, rows))

    def _check_journaled(self, tables: Tables, loaded: set[str]) -> None:
        """Check the first half of the promise, by what was in the journal when a run was killed."""
        pull_ids = {row["request_id"]: row["pull_id"] for row in tables.pulls}
        for run in self._runs:
            missing = run.leftovers.journaled.keys() & self._by_id.keys() - loaded
            self._missing |= missing
            self._violation("journaled, and not loaded", *(f"{run}: {request_id}" for request_id in missing))
            for request_id in run.leftovers.journaled.keys() & loaded:
                if run.leftovers.journaled[request_id] != pull_ids[request_id]:
                    self._violation("loaded under another pull_id than the journal's", request_id)

    def _check_doubts(self, tables: Tables, loaded: set[str]) -> None:
        """Check the second half: the pulls in doubt are the requests that a kill cut off, and no other."""
        doubts = {row["pull_id"]: row for row in tables.pulls if row["outcome"] == "in_doubt"}
        expected = {
            pull_id: (app_id, requested_at, *self._left_of(run, pull_id))
            for run in self._runs
            for pull_id, (feed, app_id, requested_at) in run.leftovers.intents.items()
            if feed == self._feed.name
        }
        self.counts["in doubt"] = len(doubts)
        self.counts["at risk"] = sum(row["at_risk"] for row in doubts.values())
        self._violation("in doubt, and no kill left it", *(doubts.keys() - expected.keys()))
        self._violation("a kill left it, and it is not in doubt", *(expected.keys() - doubts.keys()))
        for pull_id in doubts.keys() & expected.keys():
            row = doubts[pull_id]
            facts = (row["sms_sdk_app_id"], row["requested_at"], row["records"], row["request_id"])
            if facts != expected[pull_id] or not row["error"]:
                self._violation("a row in doubt differs from its request", row)
        for run in self._runs:
            pulls = self._pulls[run.first_pull : run.end_pull]
            own = [p for p in pulls if p.app_id in run.app_ids and p.feed == self._feed.name]
            self._check_run(run, own, loaded, doubts)

    def _check_run(self, run: Run, pulls: list[LogEntry], loaded: set[str], doubts: dict[str, Row]) -> None:
        """Each lost answer of a run has a row in doubt: of its application, from before it was sent."""
        intents = {
            pull_id: app_id
            for pull_id, (feed, app_id, _) in run.leftovers.intents.items()
            if feed == self._feed.name
        }
        if len(intents) > self._workers:
            self._violation("more requests cut off than workers", f"{run}: {len(intents)}")
        lost: dict[str, list[LogEntry]] = defaultdict(list)
        for pull in pulls:
            if pull.outcome not in (Outcome.ANSWERED, Outcome.EMPTY):
                self._violation("the simulator did not answer", pull)
            if pull.replies and pull.request_id not in loaded | self._torn.keys():
                lost[pull.app_id].append(pull)
        covered = len(run.leftovers.torn.keys() & intents.keys())  # their rows name them
        for app_id, lost_pulls in lost.items():
            own = [i for i, of in intents.items() if of == app_id and i not in run.leftovers.torn]
            rows = [doubts[i] for i in own if i in doubts]
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
        self.counts["answers lost in flight"] += covered
        self.counts["in doubt, nothing lost"] += len(intents) - covered

    def _check_archive(self, tables: Tables, archive: Iterable[File]) -> None:
        """Check that what is loaded is in the archive, byte for byte: it heals a warehouse of yesterday."""
        there = {file.pull_id: file for file in archive}
        for row in tables.pulls:
            file = there.get(row["pull_id"])
            is_answered = row["outcome"] == "answered"
            if file is None or (is_answered and file.request_id != row["request_id"]):
                self._violation("loaded, and not in the archive", row["pull_id"])
            elif is_answered and row["request_id"] in self._by_id:
                replies = self._by_id[row["request_id"]].replies
                if b",".join(replies) not in file.body:
                    self._violation("the archive has another answer than was sent", row["pull_id"])

    def _left_of(self, run: Run, pull_id: str) -> tuple[int, str | None]:
        """Return how many records a kill left of an answer, and its RequestId."""
        request_id = run.leftovers.torn.get(pull_id, (None,))[0]
        return self._torn.get(request_id or "", 0), request_id

    def _equals(self, row: Row, record: dict[str, Any], pull: LogEntry, position: int) -> bool:
        field, column = self._feed.time
        expected = {column: record.get(name) for name, column in self._feed.columns.items()}
        expected |= {
            self._feed.record_id: f"{row['pull_id']}/{position}",
            "channel": "queue",
            "sms_sdk_app_id": pull.app_id,
            "region": pull.region,
            "request_id": pull.request_id,
            column: _EPOCH + timedelta(seconds=record[field]),
        }
        return all(row[column] == value for column, value in expected.items())


def _whole_in(body: bytes, records: Sequence[bytes]) -> int:
    """Count the records that are whole in the beginning of a body, in their order."""
    end = 0
    for count, record in enumerate(records):
        begin = body.find(record, end)
        end = begin + len(record)
        # Of what is no object, nobody can tell whether it is whole before something follows.
        if begin < 0 or (end == len(body) and not record.endswith(b"}")):
            return count
    return len(records)


def _position(record_id: str) -> int:
    return int(record_id.rpartition("/")[2])


def _text(reply: bytes) -> str:
    return reply.decode("utf-8", "backslashreplace")
