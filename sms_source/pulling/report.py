"""What a drain and its load package did."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sms_source.errors import decisive
from sms_source.feeds import RECEIPTS, REPLIES


@dataclass
class DrainReport:
    """What a drain did; filled while it goes on, complete when its pulls are loaded.

    requests: sent to the API, whatever their outcome.
    seconds: from the first request to the last answer.
    pulls: that handed out records or are in doubt, by application id: rows of the ledger.
    records: rows, by feed and application id (`-`: not known); what the journal gives again too.
    pushed: records that came by callbacks, those that did not fit and those that came again too.
    rejected: records that did not fit.
    in_doubt: pulls whose outcome is unknown, those of an earlier process too.
    at_risk: the largest number of records that these can have lost.
    newest: the newest `ReplyTime`.
    rate_limited: requests that the API refused for its rate.
    failures: what ended the drain of a queue before it was empty.
    drained: whether every queue was seen empty.
    """

    requests: int = 0
    seconds: float = 0.0
    pulls: Counter[str] = field(default_factory=Counter)
    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    pushed: int = 0
    rejected: int = 0
    in_doubt: int = 0
    at_risk: int = 0
    newest: datetime | None = None
    rate_limited: int = 0
    failures: list[Exception] = field(default_factory=list)
    drained: bool = False

    @property
    def replies(self) -> Counter[str]:
        """Rows for `replies`, by application id."""
        return self.of_feed(REPLIES.name)

    @property
    def receipts(self) -> Counter[str]:
        """Rows for `receipts`, by application id."""
        return self.of_feed(RECEIPTS.name)

    def of_feed(self, name: str) -> Counter[str]:
        """Return the rows for one feed's table, by application id."""
        return Counter({app: count for (feed, app), count in self.records.items() if feed == name})

    def raise_for_failure(self) -> None:
        """Raise what ended the drain, if anything did; call it after the load."""
        if self.failures:
            raise decisive(self.failures)
