"""How the journal's files are named, and what is in them: format 1. Pure: touches no disk.

    <number>.<feed>.<app id>.<region>.<limit>.<requested at>.<state>

The state of a pull is the end of its file's name:

    .intent      the request may have gone out. Room is reserved for the answer; the name says all that the
                 ledger needs if the process dies now
    .answer      an envelope of one JSON line, then the answer's body, byte for byte
    .in_doubt    the envelope, then what arrived of a body: the outcome is unknown
    .callback    the envelope, then a body that Tencent Cloud has pushed, or an array of several that arrived
                 together; the ids of its records are computed from it
    .lookup      the envelope, then the records that a look-up added, as an answer has them

A valid answer beats a note of doubt beside it.
"""

import json
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Literal, cast

from sms_source.api.answers import parse_answer, whole_records
from sms_source.api.brackets import NotAnAnswerError
from sms_source.api.pushes import parse_push
from sms_source.feeds import FEEDS
from sms_source.journal.pull import NO_RECORD, Pull, now

State = Literal["intent", "answer", "in_doubt", "callback", "lookup"]

INTERRUPTED = "Client.Interrupted: the process ended before the answer was in the journal"
UNREADABLE = "Client.Unreadable: the journal's file of the answer can't be read"

MARKER = {"ErasedBySmsSource": True}
"""What stands in a body in the place of a record that was erased, when the envelope says that some were."""

_RANK = {"answer": 2, "callback": 2, "lookup": 2, "intent": 1, "in_doubt": 0}
"""Of files of one pull the highest counts. An intent may hold an answer whole, a note of doubt never does."""

REMOVAL_ORDER: tuple[State, ...] = ("intent", "in_doubt", "answer", "callback", "lookup")
"""The order in which files of loaded pulls are removed: a kill leaves those that say more."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{6})Z", re.ASCII)
_FILE_NAME = re.compile(
    r"(?P<number>\d{6,})\.(?P<feed>[a-z]+)\.(?P<app_id>[\w-]+)\.(?P<region>[\w-]+)\.(?P<limit>\d{1,3})"
    r"\.(?P<requested_at>\d{8}T\d{12}Z)\.(?P<state>intent|answer|in_doubt|callback|lookup)",
    re.ASCII,
)
_DRAIN_ID = re.compile(r"(?P<started_at>\d{8}T\d{12}Z)-[0-9a-f]{8}", re.ASCII)


def new_drain_id() -> str:
    """Return an id that sorts by time."""
    return f"{format_time(now())}-{secrets.token_hex(4)}"


def is_drain_id(name: str) -> bool:
    """Return whether a name in the journal is a drain's."""
    parts = _DRAIN_ID.fullmatch(name)
    try:
        return parts is not None and bool(parse_time(parts["started_at"]))
    except ValueError:  # a date that there is not
        return False


def format_time(moment: datetime) -> str:
    """Return a moment in UTC as it stands in names."""
    return moment.strftime(_TIME)


def parse_time(text: str) -> datetime:
    """Return the moment that stands in a name. Raises `ValueError` for a date that there is not."""
    parts = _MOMENT.fullmatch(text)
    if parts is None:
        raise ValueError("it is no moment as it stands in names")
    # A fourth of strptime's time, which the names of a long queue's files would take seconds of.
    year, month, day, hour, minute, second, microsecond = map(int, parts.groups())
    return datetime(year, month, day, hour, minute, second, microsecond, timezone.utc)


def file_name(pull: Pull, state: State) -> str:
    """Return the name of a pull's file in this state."""
    number = pull.pull_id.partition("/")[2]
    requested_at = format_time(pull.requested_at)
    return f"{number}.{pull.feed}.{pull.sms_sdk_app_id}.{pull.region}.{pull.limit}.{requested_at}.{state}"


def loaded_state(pull: Pull) -> State:
    """Return the state in which a pull is archived."""
    if pull.channel != "queue":
        return cast("State", pull.channel)
    return "in_doubt" if pull.in_doubt else "answer"


def state_of(name: str) -> str:
    """Return the state that a file's name ends with."""
    return name.rpartition(".")[2]


def parse_name(drain_id: str, name: str) -> Pull:
    """Return the pull of a file's name, as it is when nothing else is known of it: in doubt.

    Raises:
        ValueError: the name is no pull's.
    """
    parts = _FILE_NAME.fullmatch(name)
    if parts is None or parts["feed"] not in FEEDS:
        raise ValueError("it is no file of a pull")
    return Pull(
        pull_id=f"{drain_id}/{parts['number']}",
        feed=parts["feed"],
        sms_sdk_app_id=parts["app_id"],
        region=parts["region"],
        limit=int(parts["limit"]),
        requested_at=parse_time(parts["requested_at"]),
        error=INTERRUPTED,
        channel=parts["state"] if parts["state"] in ("callback", "lookup") else "queue",
    )


def number_of(name: str) -> str:
    """Return the part of a file's name that tells which pull of its drain it is of."""
    return name.partition(".")[0]


def rank_of(name: str) -> int:
    """Return how much a file says of its pull: of several the highest counts."""
    return _RANK[state_of(name)]


def by_rank(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the files of each pull of a drain by its number, the one that counts first."""
    found: dict[str, list[str]] = {}
    for name in sorted(names, key=rank_of, reverse=True):
        found.setdefault(number_of(name), []).append(name)
    return dict(sorted(found.items(), key=lambda entry: int(entry[0])))


def encode(pull: Pull) -> bytes:
    """Return what a file holds: the envelope, a line, and the body. The file's name has the rest."""
    envelope: dict[str, Any] = {
        "request_id": pull.request_id,
        "answered_at": pull.answered_at.isoformat() if pull.answered_at else None,
        "error": pull.error,
        "body_bytes": len(pull.body),
        "body_crc32": zlib.crc32(pull.body),
    }
    if pull.record_ids is not None:
        envelope["record_ids"] = pull.record_ids
    if NO_RECORD in pull.records:
        envelope["erased"] = pull.records.count(NO_RECORD)
    return json.dumps(envelope).encode() + b"\n" + pull.body


def decode(pull: Pull, content: bytes) -> Pull:
    """Return a pull with what its file holds.

    Raises:
        ValueError: the file is not whole.
    """
    envelope, body = _whole(content)
    try:
        return _filled(pull, envelope, envelope["error"], body)
    except (KeyError, TypeError, NotAnAnswerError) as failure:
        raise ValueError(f"the envelope is not one: {type(failure).__name__}") from None


def is_whole(content: bytes) -> bool:
    """Return whether a file is as it was written, by its checksum; what it says is not looked at."""
    try:
        _whole(content)
    except ValueError:
        return False
    return True


def decode_torn(pull: Pull, content: bytes) -> Pull:
    """Return a pull with what a process that was killed while it wrote the file got down; it stays in doubt.

    Raises:
        ValueError: not even the envelope is whole.
    """
    envelope, rest = _parts(content)
    try:
        # No JSON has a zero byte: there the reserved room begins, or a block that a power cut left unwritten.
        body = rest[: envelope["body_bytes"]].partition(b"\0")[0]
        return _filled(pull, envelope, envelope["error"] or INTERRUPTED, body)
    except (KeyError, TypeError) as failure:
        raise ValueError(f"the envelope is not one: {type(failure).__name__}") from None


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a file's envelope, and what is behind it."""
    line, newline, rest = content.partition(b"\n")
    if not newline:
        raise ValueError("the envelope is not whole")
    try:
        return json.loads(line), rest
    except RecursionError:
        raise ValueError("the envelope is nested too deep") from None


def _whole(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a file's envelope and body. Raises `ValueError` when the body is another than was written."""
    envelope, rest = _parts(content)
    try:
        # A process killed between writing and renaming leaves the reserved room behind the body.
        body = rest[: envelope["body_bytes"]]
        if len(body) != envelope["body_bytes"] or zlib.crc32(body) != envelope["body_crc32"]:
            raise ValueError("the body is not whole")
    except (KeyError, TypeError) as failure:
        raise ValueError(f"the envelope is not one: {type(failure).__name__}") from None
    return envelope, body


def _filled(pull: Pull, envelope: dict[str, Any], error: str | None, body: bytes) -> Pull:
    if pull.channel == "callback":
        records, record_ids = parse_push(FEEDS[pull.feed], pull.sms_sdk_app_id, body)
        pull = replace(pull, records=records, record_ids=record_ids)
    else:
        read = whole_records if error else parse_answer
        records = read(FEEDS[pull.feed], body).records
        pull = replace(pull, records=records, record_ids=envelope.get("record_ids"))
    if envelope.get("erased"):
        pull = replace(pull, records=[NO_RECORD if record == MARKER else record for record in pull.records])
    return replace(
        pull,
        answered_at=datetime.fromisoformat(envelope["answered_at"]) if envelope["answered_at"] else None,
        request_id=envelope["request_id"],
        error=error,
        body=body,
    )
