"""What a drain tells of itself."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sms_source.errors import decisive


@dataclass
class DrainReport:
    """What a drain did; filled while it goes on, complete when its pulls are loaded.

    requests: sent to the API, whatever came of them.
    seconds: from the first request to the last answer.
    pulls: that handed out replies or are in doubt, by application id: the rows of the ledger.
    replies: rows for `replies`, by application id; what the journal gives again too.
    rejected: records that did not fit.
    in_doubt: pulls whose outcome nobody can know, those of an earlier process too.
    at_risk: the most replies that these can have lost.
    newest: the newest `ReplyTime`.
    rate_limited: requests that the API refused for its rate.
    failures: what ended the drain of an application before its queue was empty.
    drained: whether every queue was seen empty.
    """

    requests: int = 0
    seconds: float = 0.0
    pulls: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    in_doubt: int = 0
    at_risk: int = 0
    newest: datetime | None = None
    rate_limited: int = 0
    failures: list[Exception] = field(default_factory=list)
    drained: bool = False

    def raise_for_failure(self) -> None:
        """Raises what ended the drain, if anything did; call it after the load."""
        if self.failures:
            raise decisive(self.failures)
