"""What a recovery did: in lines for a person, and in counts for a monitor."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from sms_source.errors import SmsSourceError
from sms_source.journal.identity import Owner
from sms_source.loading.summary import Summary


class Crowded(NamedTuple):
    """Some seconds in which one person may have more records than a look-up can tell."""

    feed: str
    sms_sdk_app_id: str
    begin: int

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.begin, timezone.utc)
        return f"{self.feed} of application {self.sms_sdk_app_id} at {moment:%Y-%m-%d %H:%M:%S} UTC"


@dataclass
class RecoverySummary:
    """What a recovery did.

    drained: what the queues still held, which was loaded first; `drained.owner` is what is loaded into.
    doubts: pulls in doubt that were asked about.
    at_risk: the largest number of records that these can have lost.
    out_of_reach: pulls in doubt of other applications or regions than those of the configuration.
    to_ask: people to ask about, one for each number, feed and application; `asked` of them were, this time.
    is_resumed: whether this went on where an earlier recovery had ended.
    look_ups: requests.
    rate_limited: of them, those that the API refused for the account's rate.
    recovered: rows that were added, by feed.
    misfits: records that were added to `rejected_records`, as they fit no table.
    refused_numbers: numbers that the API does not take for one.
    crowded: where one person may have more records than a look-up can tell; these stay in doubt.
    consumes: feeds whose look-ups take out what they find.
    failure: what ended it early; None when nothing did.
    is_stopped: whether it was asked to end early.
    """

    drained: Summary
    doubts: int = 0
    at_risk: int = 0
    out_of_reach: int = 0
    to_ask: int = 0
    asked: int = 0
    is_resumed: bool = False
    look_ups: int = 0
    rate_limited: int = 0
    recovered: Counter[str] = field(default_factory=Counter)
    misfits: int = 0
    refused_numbers: int = 0
    crowded: list[Crowded] = field(default_factory=list)
    consumes: list[str] = field(default_factory=list)
    failure: Exception | None = None
    is_stopped: bool = False
    seconds: float = 0.0

    @property
    def owner(self) -> Owner:
        """Pipeline, destination and dataset."""
        return self.drained.owner

    def raise_for_failure(self) -> None:
        """Raise what ended the recovery early, if anything did."""
        if self.consumes:
            raise SmsSourceError(
                f"The look-ups of {', '.join(self.consumes)} take out what they find: asked twice about one "
                "number, the second answer lacked what the first one had. The recovery has stopped, and what "
                "it found is loaded. Ask Tencent Cloud's SMS Helper whether that is meant before you go on."
            )
        if self.failure:
            raise self.failure
        if self.is_stopped:
            raise InterruptedError("Stopped by a signal. Run again: the recovery goes on where it was.")

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it."""
        return {
            "doubts": self.doubts,
            "at_risk": self.at_risk,
            "out_of_reach": self.out_of_reach,
            "to_ask": self.to_ask,
            "asked": self.asked,
            "is_resumed": self.is_resumed,
            "look_ups": self.look_ups,
            "rate_limited": self.rate_limited,
            "recovered": dict(self.recovered),
            "misfits": self.misfits,
            "refused_numbers": self.refused_numbers,
            "crowded": len(self.crowded),
            "consumes": self.consumes,
            "seconds": round(self.seconds, 3),
            "pipeline": self.owner.pipeline,
            "destination": self.owner.destination,
            "dataset": self.owner.dataset,
        }

    def lines(self) -> Iterator[str]:
        """Yield the summary for a person."""
        dataset = self.owner.dataset
        if self.out_of_reach:
            yield (
                f"  {self.out_of_reach:,} more pulls in doubt are of another application or region than the "
                "configuration has: run with theirs."
            )
        if not self.doubts:
            yield "No pull is in doubt that can be asked about: look-ups go back 7 days."
            return
        if not self.to_ask:
            yield (
                f"{self.doubts:,} pulls are in doubt, and no phone number is known to ask about: give those "
                "of the people whom you wrote to (--numbers)."
            )
            return
        found = ", ".join(f"{count:,} {feed}" for feed, count in sorted(self.recovered.items())) or "nothing"
        yield (
            f"Recovered {found} into {dataset}, of at most {self.at_risk:,} that {self.doubts:,} pulls in "
            "doubt can have lost."
        )
        took = f"in {self.look_ups:,} look-ups, {self.seconds:.1f} s"
        yield f"  asked about   {self.asked:,} of {self.to_ask:,}, {took}"
        if self.is_resumed:
            yield "  the others were asked about before, by a recovery that was ended early"
        yield f"  each doubt    select pull_id, at_risk, recovered from {dataset}.pulls_in_doubt"
        if self.rate_limited:
            yield f"  {self.rate_limited:,} look-ups refused for the account's rate, and made again"
        if self.refused_numbers:
            yield f"  WARNING: the API does not take {self.refused_numbers:,} numbers for phone numbers"
        if self.misfits:
            yield f"  WARNING: {self.misfits:,} records fit no table: they are in {dataset}.rejected_records"
        for place in self.crowded:
            yield (
                f"  WARNING: one person may have more than 100 {place}; a look-up tells no more, so the rest "
                "stays in doubt"
            )
