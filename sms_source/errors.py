"""What can go wrong, and what it means for a destructive pull.

SmsSourceError
├── ConfigurationError        wrong configuration: the main job ends with exit status 2
├── JournalError              the journal can't be read or written
│   └── JournalLockedError    another process is at work on the same journal
└── PullError                 a request came back without records
    ├── NotExecutedError      nothing left the queue: wait, and pull again
    ├── InDoubtError          up to `Limit` records may have left the queue and be lost
    └── RefusedError          nothing left the queue, and nothing will until somebody acts

Which code is of which kind, and what to do about it, is in `sms_source.api.catalogue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sms_source.cleaning import clean_request_id, redact, shown_request_id, without_keys_but_paths


class SmsSourceError(Exception):
    """The base of everything that this package raises on purpose."""


class ConfigurationError(SmsSourceError):
    """The configuration is wrong or incomplete; running again without changing it can't help."""


class JournalError(SmsSourceError):
    """The journal can't be read or written, so nothing may be pulled: replies would have no safe place.

    A path in it stays as it is. What an object store says is without any key when it comes here.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(without_keys_but_paths(message, 1_000))


class JournalLockedError(JournalError):
    """Another process is at work on the same journal."""


class PullError(SmsSourceError):
    """A request that came back without records; one of its three subclasses says what that means.

    Args:
        code: Tencent Cloud's error code, or one of this package's own, which begin with `Client.`.
        message: what the server or the transport said.
        request_id: Tencent Cloud's `RequestId`, which its support asks for; None when there was no answer.
        remedy: what to do next.
        is_configuration: whether the remedy is a change of the configuration or of the account, without
            which running again can't help: exit status 2.

    What others wrote is cleaned here. The client adds what was asked: `feed` (its name), `sms_sdk_app_id`,
    and `is_look_up` when the request was one that takes nothing. `body` is what arrived of the answer, for
    the journal alone: it may hold people's replies.
    """

    outcome: ClassVar[str] = "failed"
    look_up_outcome: ClassVar[str] = "failed"

    def __init__(
        self,
        code: str,
        message: str,
        request_id: str | None,
        remedy: str,
        is_configuration: bool = False,  # noqa: FBT001, FBT002 - pickle gives back what is positional
    ) -> None:
        self.code = redact(code, 128)
        self.message = redact(message)
        self.request_id = clean_request_id(request_id)
        self.remedy = remedy
        self.is_configuration = is_configuration
        self.feed: str | None = None
        self.sms_sdk_app_id: str | None = None
        self.is_look_up = False
        self.body = b""
        super().__init__(self.code, self.message, self.request_id, remedy, is_configuration)

    @property
    def is_for_rate(self) -> bool:
        """Whether there were too many requests in a second, of the account or of all."""
        return self.code.startswith("RequestLimitExceeded")

    def __str__(self) -> str:
        """Say what happened, the code and RequestId, and what to do next; never a phone number or a key."""
        what = "look-up" if self.is_look_up else "pull"
        of = f" of {self.feed}" if self.feed else ""
        application = f" from application {self.sms_sdk_app_id}" if self.sms_sdk_app_id else ""
        outcome = self.look_up_outcome if self.is_look_up else self.outcome
        said = f"{self.code}: {self.message}" if self.message else self.code
        request_id = shown_request_id(self.request_id)
        return f"The {what}{of}{application} {outcome} ({said}; RequestId {request_id}). {self.remedy}"


class NotExecutedError(PullError):
    """Nothing left the queue, and the next attempt may succeed."""

    outcome = "was not executed, and nothing left the queue"
    look_up_outcome = "was not executed"


class InDoubtError(PullError):
    """Nobody can know whether the queue handed out records that never arrived."""

    outcome = "is in doubt: records may have left the queue without arriving"
    look_up_outcome = "had no whole answer; it takes nothing, so it can be repeated"


class RefusedError(PullError):
    """Nothing left the queue, and nothing will until somebody acts on the remedy."""

    outcome = "was refused, and nothing left the queue"
    look_up_outcome = "was refused"


def is_configuration(error: BaseException) -> bool:
    """Return whether only a change of the configuration or of the account can help: exit status 2."""
    return isinstance(error, ConfigurationError) or (isinstance(error, PullError) and error.is_configuration)


def decisive(failures: Sequence[Exception]) -> Exception:
    """Return the failure that a run raises: the first that a later run may not meet, else the first.

    A scheduler gives up on exit status 2, so it is right only when nothing but a change can help.
    """
    return next((failure for failure in failures if not is_configuration(failure)), failures[0])
