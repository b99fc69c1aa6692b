"""What a round of loading did: in lines for a person, and in counts for a monitor."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from sms_source.api.pushes import UNKNOWN_APPLICATION
from sms_source.errors import decisive
from sms_source.journal.identity import Owner
from sms_source.pulling.report import DrainReport


@dataclass
class Summary:
    """What a round did.

    owner: pipeline, destination and dataset.
    reports: of its drains and of its load packages.
    missing_packages: packages of the archive that the destination lacked, and that were loaded again.
    new_rows: rows by which the tables grew, where that was counted: in a replay, or for missing packages.
    newest_ever: the newest time of a reply that was ever loaded, in ISO 8601.
    """

    owner: Owner
    reports: list[DrainReport] = field(default_factory=list)
    missing_packages: int = 0
    new_rows: dict[str, int] | None = None
    newest_ever: str | None = None
    started_at: float = field(default_factory=time.monotonic)
    _before: Mapping[str, int] | None = None

    def count_before(self, rows: Mapping[str, int]) -> None:
        """Note how many rows the tables have before something is loaded again."""
        self._before = rows

    def count_after(self, rows: Mapping[str, int]) -> None:
        """Note by how many rows the tables grew."""
        before = self._before or {}
        self.new_rows = {name: count - before.get(name, 0) for name, count in rows.items()}

    def total(self, name: str) -> int:
        """Return a count, added up over the reports."""
        values = (getattr(report, name) for report in self.reports)
        return sum(value if isinstance(value, int) else value.total() for value in values)

    @property
    def replies_by_application(self) -> dict[str, int]:
        """Replies that were loaded, by application id."""
        return dict(sorted(sum((report.replies for report in self.reports), Counter[str]()).items()))

    @property
    def newest_reply(self) -> datetime | None:
        """The newest `ReplyTime` among what was loaded."""
        return max((report.newest for report in self.reports if report.newest), default=None)

    @property
    def newest(self) -> datetime | None:
        """The newest `ReplyTime` of this round, or else of all that was ever loaded."""
        ever = datetime.fromisoformat(self.newest_ever) if self.newest_ever else None
        return self.newest_reply or ever

    @property
    def failures(self) -> list[Exception]:
        """What ended the drains of queues before they were empty."""
        return [failure for report in self.reports for failure in report.failures]

    @property
    def drained(self) -> bool:
        """Whether every queue was seen empty."""
        return any(report.drained for report in self.reports)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started_at

    @property
    def requests_per_second(self) -> float:
        """While there was pulling."""
        seconds = sum(report.seconds for report in self.reports)
        return round(self.total("requests") / seconds, 1) if seconds else 0.0

    @property
    def is_notable(self) -> bool:
        """Whether there was anything but empty queues."""
        return bool(self.has_records or self.failures)

    @property
    def has_records(self) -> bool:
        """Whether anything was loaded."""
        return any(map(self.total, ("pulls", "records", "rejected")))

    def after(self, earlier: "Summary") -> "Summary":
        """Return this run and an earlier one as one."""
        return replace(self, reports=[*earlier.reports, *self.reports], started_at=earlier.started_at)

    def raise_for_failure(self) -> None:
        """Raise what ended the drain of an application, if anything did."""
        if self.failures:
            raise decisive(self.failures)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it: for a monitor, or the next task of a workflow.

        A run without replies tells the newest one that was ever loaded, so that its age can be watched.
        """
        newest = self.newest
        counts = (
            "requests",
            "pulls",
            "replies",
            "receipts",
            "pushed",
            "rejected",
            "in_doubt",
            "at_risk",
            "rate_limited",
        )
        return {
            **{name: self.total(name) for name in counts},
            "requests_per_second": self.requests_per_second,
            "replies_by_application": self.replies_by_application,
            "newest_reply": newest.strftime("%Y-%m-%dT%H:%M:%SZ") if newest else None,
            "newest_reply_age_seconds": _age_in_seconds(newest) if newest else None,
            "seconds": round(self.seconds, 3),
            "missing_packages": self.missing_packages,
            "new_rows": self.new_rows,
            "pipeline": self.owner.pipeline,
            "destination": self.owner.destination,
            "dataset": self.owner.dataset,
        }

    def lines(self) -> Iterator[str]:
        """Yield the summary for a person."""
        dataset = self.owner.dataset
        replies = _count(self.total("replies"), "reply", "replies")
        requests = _count(self.total("requests"), "request")
        if self.missing_packages:
            yield (
                f"The destination lacked {_count(self.missing_packages, 'package')} that had been loaded "
                "(restored, dropped or deleted since?): loaded again from the journal's archive."
            )
        if not self.has_records:
            yield f"No new replies ({requests}, {self.seconds:.1f} s); nothing to load."
        else:
            yield f"Loaded {replies} into {dataset}.replies in {self.seconds:.1f} s."
            for app_id, number in self.replies_by_application.items():
                app = "unknown" if app_id == UNKNOWN_APPLICATION else app_id
                yield f"  application {app:10}  {number:>11,}"
            if receipts := self.total("receipts"):
                yield f"  receipts      {receipts:,} into {dataset}.receipts"
            if newest := self.newest_reply:
                yield f"  newest reply  {newest:%Y-%m-%d %H:%M:%S} UTC ({_age(newest)} old)"
            if pushed := self.total("pushed"):
                yield f"  pushed        {_count(pushed, 'record')} by callbacks"
            rate = f"{self.requests_per_second:.0f} a second"
            yield f"  pulls         {self.total('pulls'):,} in the ledger, of {requests} ({rate})"
            if self.new_rows:
                grown = ", ".join(f"{count:,} in {name}" for name, count in self.new_rows.items())
                yield f"  new rows      {grown}; what else was given again was there"
        if in_doubt := self.total("in_doubt"):
            yield (
                f"  WARNING: {_count(in_doubt, 'pull')} in doubt, "
                f"at most {self.total('at_risk'):,} records lost: "
                f"select * from {dataset}.pulls where outcome = 'in_doubt'"
            )
        if rejected := self.total("rejected"):
            yield (
                f"  WARNING: {_count(rejected, 'record')} did not fit: "
                f"select * from {dataset}.rejected_records"
            )
        if limited := self.total("rate_limited"):
            yield f"  {_count(limited, 'request')} refused for the account's rate, and made again"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _age_in_seconds(moment: datetime) -> int:
    return int((datetime.now(timezone.utc) - moment).total_seconds())


def _age(moment: datetime) -> str:
    seconds = _age_in_seconds(moment)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return _count(seconds // length, unit)
    return _count(max(seconds, 0), "second")
