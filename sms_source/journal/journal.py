"""The journal: one file a pull, on the disk before anything else sees what it holds.

    <journal>/drains/<drain id>/<number>.<app id>.<region>.<limit>.<requested at>.<state>
    <journal>/committed/<drain id>     the drain's rows are in the warehouse
    <journal>/unreadable/<drain id>/…  what a run could not read, set aside for a person
    <journal>/owner.json               the pipeline and dataset that this journal feeds

A drain is one emptying of the queues, a pull one request of it. The state of a pull is the end of its
file's name:

    .intent      the request may have gone out. The file is empty, with room reserved for the answer;
                 its name says all that the ledger needs if the process dies now
    .answer      an envelope of one JSON line, then the answer's body, byte for byte as it came
    .in_doubt    the envelope, then what came of a body: nobody can know what the pull handed out
    .unreadable  an answer that a later run could not read

An answer without replies, and a pull that the API did not execute, leave no file.
"""

import contextlib
import itertools
import json
import logging
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Literal

from sms_source.api.answers import Answer, parse_answer
from sms_source.errors import ConfigurationError
from sms_source.feeds import REPLIES
from sms_source.journal.storage import Storage, open_storage
from sms_source.settings import JOURNAL_RESERVE

logger = logging.getLogger(__name__)

State = Literal["intent", "answer", "in_doubt", "unreadable"]

_TIME = "%Y%m%dT%H%M%S%fZ"
_FILE_NAME = re.compile(
    r"(?P<number>\d{6,})\.(?P<app_id>[\w-]+)\.(?P<region>[\w-]+)\.(?P<limit>\d{1,3})"
    r"\.(?P<requested_at>\d{8}T\d{12}Z)\.(?P<state>intent|answer|in_doubt|unreadable)",
    re.ASCII,
)
_DRAIN_ID = re.compile(r"(?P<started_at>\d{8}T\d{12}Z)-[0-9a-f]{8}", re.ASCII)

PROCESS_ENDED = "the process ended before the answer was in the journal"


@dataclass(frozen=True)
class Pull:
    """One request to the queue, and what came of it.

    pull_id: `<drain id>/<number>`, unique.
    limit: the most replies that the pull could hand out.
    requested_at, answered_at: UTC; `answered_at` is None when no answer came.
    request_id: the API's id of the request; None when no answer told it.
    error: None for an answered pull; otherwise why its outcome is in doubt.
    records: the records handed out, decoded (see `sms_source.api.answers.Answer`).
    body: of the answer, as it came.
    """

    pull_id: str
    sms_sdk_app_id: str
    region: str
    limit: int
    requested_at: datetime
    answered_at: datetime | None = None
    request_id: str | None = None
    error: str | None = None
    records: list[Any] = field(default_factory=list, repr=False)
    body: bytes = field(default=b"", repr=False)

    def answered(self, answer: Answer, body: bytes) -> "Pull":
        """The pull with the answer that has just arrived."""
        return replace(
            self, answered_at=_now(), request_id=answer.request_id, records=answer.records, body=body
        )

    def doubted(self, error: str, request_id: str | None = None, body: bytes = b"") -> "Pull":
        """The pull with the reason why nobody can know its outcome, and what came of an answer."""
        answered_at = _now() if body else None
        return replace(self, error=error, request_id=request_id, answered_at=answered_at, body=body)

    @property
    def drain_id(self) -> str:
        """The drain that the pull belongs to."""
        return self.pull_id.partition("/")[0]

    @property
    def in_doubt(self) -> bool:
        """Whether nobody can know what the pull handed out."""
        return self.error is not None

    @property
    def file_stem(self) -> str:
        """Where the journal keeps the pull, but for its state."""
        drain_id, _, number = self.pull_id.partition("/")
        requested_at = self.requested_at.strftime(_TIME)
        name = f"{number}.{self.sms_sdk_app_id}.{self.region}.{self.limit}.{requested_at}"
        return f"drains/{drain_id}/{name}"

    def path(self, state: State) -> str:
        """Where the journal keeps the pull in this state."""
        return f"{self.file_stem}.{state}"


class Journal:
    """The journal at a URL, held by one process at a time while it is entered (re-entrant).

    Raises:
        ConfigurationError: the URL is of a kind that is not supported.
        JournalLockedError: on entering, when another process holds the journal.
        OSError: the storage fails.
    """

    def __init__(self, url: str, *, storage: Storage | None = None) -> None:
        self.storage = storage or open_storage(url)

    @property
    def url(self) -> str:
        """Where the journal is: an absolute path or a URL."""
        return self.storage.url

    def __enter__(self) -> "Journal":
        self.storage.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.storage.release()

    def claim(self, owner: dict[str, str]) -> None:
        """Ties the journal to the one pipeline that its drains are committed by.

        Raises:
            ConfigurationError: the journal belongs to another pipeline, destination or dataset: one would
                take the other's replies for loaded.
        """
        claimed = self.owner()
        if not claimed:
            self.storage.write("owner.json", json.dumps(owner).encode())
        elif claimed != owner:
            raise ConfigurationError(
                f"The journal {self.url} belongs to {_name(claimed)}, and this is {_name(owner)}. "
                "Give each pipeline a journal of its own (journal_url), or use --replay to load the "
                "archive of this journal there too."
            )

    def owner(self) -> dict[str, str]:
        """The pipeline, destination and dataset that claimed the journal; empty when none did."""
        try:
            claimed = json.loads(self.storage.read("owner.json"))
        except (FileNotFoundError, ValueError):
            return {}
        return claimed if isinstance(claimed, dict) else {}

    def open_drain(self) -> "JournalDrain":
        """A new drain, with nothing in it."""
        drain_id = f"{_now().strftime(_TIME)}-{secrets.token_hex(4)}"
        return JournalDrain(self.storage, drain_id)

    def drains(self) -> list[str]:
        """Ids of all drains, the oldest first."""
        return [name for name in self.storage.names("drains") if _DRAIN_ID.fullmatch(name)]

    def uncommitted(self) -> list[str]:
        """Ids of the drains whose rows are not known to be in the warehouse, the oldest first."""
        committed = set(self.storage.names("committed"))
        return [drain_id for drain_id in self.drains() if drain_id not in committed]

    def commit(self, drain_ids: Iterable[str]) -> None:
        """Notes that the rows of these drains are in the warehouse."""
        known = set(self.uncommitted())
        for drain_id in drain_ids:
            if drain_id in known:
                self.storage.write(f"committed/{drain_id}", b"")

    def expire(self, retention: timedelta) -> None:
        """Deletes committed drains that began longer ago than the retention."""
        kept = set(self.drains())
        for drain_id in self.storage.names("committed"):
            started = _DRAIN_ID.fullmatch(drain_id)
            if started and _now() - _parse_time(started["started_at"]) >= retention:
                if drain_id in kept:
                    self._set_unreadable_aside(drain_id)
                    self.storage.remove_folder(f"drains/{drain_id}")
                # The marker goes last: a deletion that is interrupted stays a committed drain.
                self.storage.remove(f"committed/{drain_id}")

    def archive(self) -> Iterator[Pull]:
        """The pulls of all drains, loaded or not, the oldest first."""
        committed = set(self.storage.names("committed"))
        for drain_id in self.drains():
            yield from self.read(drain_id, committed=drain_id in committed)

    def read(self, drain_id: str, *, committed: bool = False) -> Iterator[Pull]:
        """The pulls of a drain as the journal has them, in their order; settles what a dead process left.

        A file that can't be read becomes a pull in doubt and is kept as `.unreadable`; one that is no
        pull is moved to `unreadable/`. Both are logged. An intent that is still one in a committed drain is
        passed over: its answer could not be written, and was loaded from memory.
        """
        pulls: dict[str, re.Match[str]] = {}
        for name in self.storage.names(f"drains/{drain_id}"):
            parts = _FILE_NAME.fullmatch(name)
            if parts is None:
                logger.warning("journal %s: %s/%s is no pull; it is set aside", self.url, drain_id, name)
                self.storage.move(f"drains/{drain_id}/{name}", f"unreadable/{drain_id}/{name}")
            elif parts["state"] != "intent" or parts["number"] not in pulls:
                pulls[parts["number"]] = parts  # an object store keeps the intent beside what came of it
        for parts in pulls.values():
            if committed and parts["state"] == "intent":
                continue
            pull = Pull(
                pull_id=f"{drain_id}/{parts['number']}",
                sms_sdk_app_id=parts["app_id"],
                region=parts["region"],
                limit=int(parts["limit"]),
                requested_at=_parse_time(parts["requested_at"]),
                error=PROCESS_ENDED,
            )
            yield self._read_file(pull, parts["state"])

    def _read_file(self, pull: Pull, state: str) -> Pull:
        path = f"{pull.file_stem}.{state}"
        unreadable = replace(pull, error="the journal's file of the answer can't be read")
        if state == "unreadable":
            return unreadable
        try:
            found = _decode(pull, self.storage.read(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if state == "intent":
                with contextlib.suppress(OSError):  # the intent says the same
                    self.storage.fill(path, pull.path("in_doubt"), _encode(pull))
                return pull
            logger.error("journal %s: %s can't be read (%s); it is kept", self.url, path, error)
            self.storage.move(path, pull.path("unreadable"))
            return unreadable
        if state == "intent":
            self.storage.move(path, found.path("answer"))
        return found

    def _set_unreadable_aside(self, drain_id: str) -> None:
        for name in self.storage.names(f"drains/{drain_id}"):
            if name.endswith(".unreadable"):
                self.storage.move(f"drains/{drain_id}/{name}", f"unreadable/{drain_id}/{name}")


class JournalDrain:
    """One drain's part of the journal; its methods may be called from several threads."""

    def __init__(self, storage: Storage, drain_id: str) -> None:
        self.drain_id = drain_id
        self._storage = storage
        self._numbers = itertools.count(1)

    def intend(self, sms_sdk_app_id: str, region: str, limit: int) -> Pull:
        """Notes that a pull is about to be requested, and reserves room for its answer.

        Raises:
            OSError: the room can't be had; the request must not go out.
        """
        pull_id = f"{self.drain_id}/{next(self._numbers):06d}"
        pull = Pull(pull_id, sms_sdk_app_id, region, limit, requested_at=_now())
        self._storage.reserve(pull.path("intent"), JOURNAL_RESERVE)
        return pull

    def answer(self, pull: Pull) -> None:
        """Keeps the answer of a pull; only then may anything else use it.

        Raises:
            OSError: the answer could not be written.
        """
        self._storage.fill(pull.path("intent"), pull.path("answer"), _encode(pull))

    def doubt(self, pull: Pull) -> None:
        """Keeps that nobody can know what a pull handed out, with what came of its answer.

        Raises:
            OSError: it could not be written; the intent that stays says the same, without the reason.
        """
        self._storage.fill(pull.path("intent"), pull.path("in_doubt"), _encode(pull))

    def probe(self) -> None:
        """Reserves room for an answer and gives it back. Raises `OSError` if it can't be had."""
        self.discard(self.intend("probe", "probe", 1))
        self.close()

    def discard(self, pull: Pull) -> None:
        """Forgets a pull that handed nothing out."""
        self._storage.remove(pull.path("intent"))

    def close(self) -> None:
        """Ends the drain; one without a pull leaves nothing."""
        self._storage.remove_folder(f"drains/{self.drain_id}", only_empty=True)


def _encode(pull: Pull) -> bytes:
    envelope = {
        "pull_id": pull.pull_id,
        "sms_sdk_app_id": pull.sms_sdk_app_id,
        "region": pull.region,
        "limit": pull.limit,
        "requested_at": pull.requested_at.isoformat(),
        "answered_at": pull.answered_at.isoformat() if pull.answered_at else None,
        "request_id": pull.request_id,
        "error": pull.error,
        "body_bytes": len(pull.body),
        "body_crc32": zlib.crc32(pull.body),
    }
    return json.dumps(envelope).encode() + b"\n" + pull.body


def _decode(pull: Pull, content: bytes) -> Pull:
    """The pull with what its file holds. Raises `ValueError` or `KeyError` when the file is not whole."""
    line, newline, rest = content.partition(b"\n")
    if not newline:
        raise ValueError("the envelope is not whole")
    envelope = json.loads(line)
    # A process killed between writing and renaming leaves the reserved room behind the body.
    body = rest[: envelope["body_bytes"]]
    if len(body) != envelope["body_bytes"] or zlib.crc32(body) != envelope["body_crc32"]:
        raise ValueError("the body is not whole")
    error = envelope["error"]
    answered_at = envelope["answered_at"]
    return replace(
        pull,
        answered_at=datetime.fromisoformat(answered_at) if answered_at else None,
        request_id=envelope["request_id"],
        error=error,
        records=[] if error else parse_answer(REPLIES, body).records,
        body=body,
    )


def _name(owner: dict[str, str]) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in owner.items())


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)
