"""A pull: one request to a queue, and what is known of its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from sms_source.api.answers import Answer

NO_RECORD: Any = object()
"""What stands among a pull's records in the place of one that is no more, or that came before."""


@dataclass(frozen=True)
class Pull:
    """One request to a queue, and what is known of its outcome.

    pull_id: `<drain id>/<number>`, unique.
    feed: the name of the feed that the queue is of.
    limit: the largest number of records that the pull could hand out.
    requested_at, answered_at: UTC; `answered_at` is None when no answer came.
    request_id: the API's id of the request; None when no answer told it.
    error: None for an answered pull; otherwise why its outcome is unknown.
    records: the records handed out, decoded, also those that a broken answer brought whole
        (see `sms_source.api.answers.Answer`).
    body: of the answer, byte for byte.
    load_id: dlt's id of the package that loaded the pull first; None when it is not known to be loaded.
    channel: how the records came: `queue`, `callback` or `lookup`. Only the first is a pull of the ledger's.
    record_ids: of the records; None for `<pull_id>/<position>`.
    """

    pull_id: str
    feed: str
    sms_sdk_app_id: str
    region: str
    limit: int
    requested_at: datetime
    answered_at: datetime | None = None
    request_id: str | None = None
    error: str | None = None
    records: list[Any] = field(default_factory=list, repr=False)
    body: bytes = field(default=b"", repr=False)
    load_id: str | None = None
    channel: str = "queue"
    record_ids: list[str] | None = None

    def answered(self, answer: Answer, body: bytes) -> "Pull":
        """Return the pull with the answer that has just arrived."""
        return replace(
            self, answered_at=now(), request_id=answer.request_id, records=answer.records, body=body
        )

    def doubted(
        self, error: str, request_id: str | None = None, body: bytes = b"", records: Sequence[Any] = ()
    ) -> "Pull":
        """Return the pull with the reason why its outcome is unknown, and what arrived of an answer."""
        return replace(
            self,
            error=error,
            request_id=request_id,
            answered_at=now() if body else None,
            body=body,
            records=list(records),
        )

    @property
    def drain_id(self) -> str:
        """The drain that the pull belongs to."""
        return self.pull_id.partition("/")[0]

    @property
    def in_doubt(self) -> bool:
        """Whether the outcome is unknown."""
        return self.error is not None

    @property
    def at_risk(self) -> int:
        """The largest number of records that the pull can have lost."""
        return max(self.limit - len(self.records), 0) if self.in_doubt else 0


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)
