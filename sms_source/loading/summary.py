"""What a run of the main job did: in lines for a person, and in counts for a monitor."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import dlt

from sms_source.errors import decisive
from sms_source.loading import commits
from sms_source.pulling.report import DrainReport


@dataclass
class Summary:
    """What a run did; `reports` has one for each load package."""

    pipeline: dlt.Pipeline
    reports: list[DrainReport] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)

    def total(self, name: str) -> int:
        """A count of the reports, added up."""
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
        return bool(self.total("pulls")) or any(report.failures for report in self.reports)

    def after(self, earlier: "Summary") -> "Summary":
        """This run and an earlier one as one."""
        return replace(self, reports=[*earlier.reports, *self.reports], started_at=earlier.started_at)

    def raise_for_failure(self) -> None:
        """Raises what ended the drain of an application, if anything did."""
        if failures := [failure for report in self.reports for failure in report.failures]:
            raise decisive(failures)

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON can hold it: for a monitor, or the next task of a workflow.

        A run without replies tells the newest one that was ever loaded, so that its age can be watched.
        """
        newest = self.newest_reply or _newest_ever(self.pipeline)
        counts = ("requests", "pulls", "replies", "rejected", "in_doubt", "at_risk", "rate_limited")
        destination = self.pipeline.destination
        return {
            **{name: self.total(name) for name in counts},
            "requests_per_second": self.requests_per_second,
            "replies_by_application": self.replies_by_application,
            "newest_reply": newest.strftime("%Y-%m-%dT%H:%M:%SZ") if newest else None,
            "newest_reply_age_seconds": _age_in_seconds(newest) if newest else None,
            "seconds": round(self.seconds, 3),
            "pipeline": self.pipeline.pipeline_name,
            "destination": destination.destination_name if destination else None,
            "dataset": self.pipeline.dataset_name,
        }

    def lines(self) -> Iterator[str]:
        """The summary for a person."""
        dataset = self.pipeline.dataset_name
        replies = _count(self.total("replies"), "reply", "replies")
        requests = _count(self.total("requests"), "request")
        if not self.total("pulls"):
            yield f"No new replies ({requests}, {self.seconds:.1f} s); nothing to load."
        else:
            yield f"Loaded {replies} into {dataset}.replies in {self.seconds:.1f} s."
            for app_id, number in self.replies_by_application.items():
                yield f"  application {app_id}  {number:>11,}"
            if newest := self.newest_reply:
                yield f"  newest reply  {newest:%Y-%m-%d %H:%M:%S} UTC ({_age(newest)} old)"
            rate = f"{self.requests_per_second:.0f} a second"
            yield f"  pulls         {self.total('pulls'):,} in the ledger, of {requests} ({rate})"
        if in_doubt := self.total("in_doubt"):
            yield (
                f"  WARNING: {_count(in_doubt, 'pull')} in doubt, "
                f"at most {self.total('at_risk'):,} replies lost: "
                f"select * from {dataset}.pulls where outcome = 'in_doubt'"
            )
        if rejected := self.total("rejected"):
            yield (
                f"  WARNING: {_count(rejected, 'record')} did not fit: "
                f"select * from {dataset}.rejected_replies"
            )
        if limited := self.total("rate_limited"):
            yield f"  {_count(limited, 'request')} refused for the account's rate, and made again"


def _newest_ever(pipeline: dlt.Pipeline) -> datetime | None:
    """The newest `ReplyTime` that the pipeline has loaded, from dlt's state of the cursor."""
    replies = commits.state_of(pipeline, "replies")
    newest: datetime | None = replies.get("incremental", {}).get("ReplyTime", {}).get("last_value")
    return newest


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
