"""The protocol of one pull: intent, request, then the answer or a note of doubt. Without threads.

Nothing is requested before its intent is durable, and nothing is handed on before its answer is. A request
whose outcome is unknown is never repeated: another pull fetches the next records.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sms_source.api.answers import Answer, whole_records
from sms_source.api.catalogue import error_for
from sms_source.api.client import RawAnswer
from sms_source.errors import InDoubtError, JournalError, PullError, SmsSourceError
from sms_source.feeds import Feed
from sms_source.journal.pull import Pull
from sms_source.journal.writer import Intent, JournalDrain


class Client(Protocol):
    """What asks the API: `sms_source.api.client.SmsClient`."""

    def pull(
        self, feed: Feed, sms_sdk_app_id: str, limit: int, before_sending: Callable[[], None]
    ) -> RawAnswer:
        """Take up to `limit` records out of a queue, for good; call `before_sending` just before."""


class Queue(NamedTuple):
    """One queue, and how many records a pull asks it for."""

    feed: Feed
    sms_sdk_app_id: str
    region: str
    limit: int


class Result(NamedTuple):
    """What one pull came to.

    pull: goes on to the load: an answer with records, or a pull in doubt; None when nothing was handed out.
    answer: None when none came.
    refused: why the pull failed, by the API or on the way; it decides what follows for this queue.
    fatal: what ends all pulling: the journal or the credentials failed.
    requested: whether a request went out.
    """

    pull: Pull | None = None
    answer: Answer | None = None
    refused: PullError | None = None
    fatal: Exception | None = None
    requested: bool = False


def pull_once(
    client: Client, drain: JournalDrain, queue: Queue, before_sending: Callable[[], None]
) -> Result:
    """Make one pull.

    Args:
        client: asks the API.
        drain: the journal's part that keeps the pull.
        queue: to pull from.
        before_sending: is called when the request goes out, and may wait until it may.
    """
    try:
        intent = drain.intend(queue.feed.name, queue.sms_sdk_app_id, queue.region, queue.limit)
    except JournalError as error:
        return Result(fatal=error)
    try:
        raw = client.pull(queue.feed, queue.sms_sdk_app_id, queue.limit, before_sending)
    except PullError as error:
        reason = f"{error.code}: {error.message}"
        if not isinstance(error, InDoubtError):
            kept, fatal = _discarded(intent, intent.pull.doubted(reason, error.request_id))
            return Result(kept, refused=error, fatal=fatal, requested=True)
        came = whole_records(queue.feed, error.body)
        doubted = intent.pull.doubted(reason, error.request_id or came.request_id, error.body, came.records)
        return Result(doubted, refused=error, fatal=_kept(intent.keep, doubted), requested=True)
    except SmsSourceError as error:  # the credentials failed; nothing was sent
        kept, _ = _discarded(intent, intent.pull.doubted(f"Nothing was sent: {type(error).__name__}"))
        return Result(kept, fatal=error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the request may have gone out
        unexpected = error_for("Client.Unexpected", type(error).__name__)
        doubted = intent.pull.doubted(f"{unexpected.code}: {unexpected.message}")
        _kept(intent.keep, doubted)
        return Result(doubted, fatal=error, requested=True)
    answered = intent.pull.answered(raw.answer, raw.body)
    if not raw.answer.records:
        kept, fatal = _discarded(intent, answered)
        return Result(kept, raw.answer, fatal=fatal, requested=True)
    # Refused by the journal, the answer is handed on all the same: it may be nowhere else.
    return Result(answered, raw.answer, fatal=_kept(intent.keep, answered), requested=True)


def _discarded(intent: Intent, otherwise: Pull) -> tuple[Pull | None, JournalError | None]:
    """Remove an intent, or keep its outcome: a file that stayed would be a pull that no table has."""
    try:
        intent.discard()
    except JournalError as error:
        return otherwise, _kept(intent.keep, otherwise) or error
    return None, None


def _kept(keep: Callable[[Pull], None], pull: Pull) -> JournalError | None:
    try:
        keep(pull)
    except JournalError as error:
        return error
    return None
