"""Reads a journal with none of the product's code, so that a fault of its reader can't hide."""

import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

from tests.crash.job import JournalFiles


class File(NamedTuple):
    """A pull's file: what its name says, and what is in it.

    request_id: of a whole answer, else None.
    body: of a whole answer, else empty.
    """

    pull_id: str
    app_id: str
    requested_at: datetime
    state: str
    request_id: str | None
    body: bytes


@dataclass
class Leftovers:
    """What a killed run left in the journal of its own pulls, read before the next run can touch it.

    journaled: the `pull_id` of each answer that is there whole, by its RequestId.
    intents: the requests without an answer: their applications and times, by `pull_id`.
    """

    journaled: dict[str, str] = field(default_factory=dict)
    intents: dict[str, tuple[str, datetime]] = field(default_factory=dict)


def read_leftovers(journal: JournalFiles, drains: Iterable[str]) -> Leftovers:
    """Read drains."""
    found = Leftovers()
    for drain_id in drains:
        files: dict[str, list[File]] = {}
        for name in journal.names(f"drains/{drain_id}"):
            file = _read_file(drain_id, name, journal.read(f"drains/{drain_id}/{name}"))
            files.setdefault(file.pull_id, []).append(file)
        for pull_id, own in files.items():  # a store keeps the intent beside the answer
            whole = [file.request_id for file in own if file.request_id]
            if whole:
                found.journaled[whole[0]] = pull_id
            elif {file.state for file in own} == {"intent"}:
                found.intents[pull_id] = (own[0].app_id, own[0].requested_at)
    return found


def read_archive(journal: JournalFiles) -> Iterator[File]:
    """Yield each file of each bundle, of those that count as not loaded, too."""
    for folder in ("archive", "drains"):
        for name in sorted(journal.names(folder)):
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(journal.read(f"{folder}/{name}"))) as bundle:
                    for member in bundle.namelist():
                        drain_id, _, file = member.partition("/")
                        yield _read_file(drain_id, file, bundle.read(member))


def _read_file(drain_id: str, name: str, content: bytes) -> File:
    number, feed, app_id, _region, _limit, requested_at, state = name.split(".")
    if feed != "replies":
        raise ValueError(f"{name} is of another feed")
    request_id, body = _read_answer(content)
    return File(f"{drain_id}/{number}", app_id, _parse_time(requested_at), state, request_id, body)


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=timezone.utc)


def _read_answer(content: bytes) -> tuple[str | None, bytes]:
    line, newline, rest = content.partition(b"\n")
    if not newline or not line.startswith(b"{"):
        return None, b""
    envelope = json.loads(line)
    body = rest[: envelope["body_bytes"]]
    is_whole = len(body) == envelope["body_bytes"] and zlib.crc32(body) == envelope["body_crc32"]
    return (envelope["request_id"], body) if is_whole and envelope["error"] is None else (None, b"")
