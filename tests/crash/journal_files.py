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
    torn: the RequestId, and what was written of the body, of an answer that a kill left half written.
    """

    pull_id: str
    feed: str
    app_id: str
    requested_at: datetime
    state: str
    request_id: str | None
    body: bytes
    torn: tuple[str, bytes] | None


@dataclass
class Leftovers:
    """What a killed run left in the journal of its own pulls, read before the next run can touch it.

    journaled: the `pull_id` of each answer that is there whole, by its RequestId.
    intents: the requests without a whole answer: their feeds, applications and times, by `pull_id`.
    torn: of them, those with a part of one: its RequestId, and what was written of its body.
    """

    journaled: dict[str, str] = field(default_factory=dict)
    intents: dict[str, tuple[str, str, datetime]] = field(default_factory=dict)
    torn: dict[str, tuple[str, bytes]] = field(default_factory=dict)


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
                found.intents[pull_id] = (own[0].feed, own[0].app_id, own[0].requested_at)
                if own[0].torn:
                    found.torn[pull_id] = own[0].torn
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
    request_id, body, is_whole = _read_answer(content)
    torn = None if is_whole or request_id is None else (request_id, body)
    return File(
        f"{drain_id}/{number}",
        feed,
        app_id,
        _parse_time(requested_at),
        state,
        request_id if is_whole else None,
        body if is_whole else b"",
        torn,
    )


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=timezone.utc)


def _read_answer(content: bytes) -> tuple[str | None, bytes, bool]:
    """Return the RequestId of an answer, its body, and whether that is whole."""
    line, newline, rest = content.partition(b"\n")
    if not newline or not line.startswith(b"{"):
        return None, b"", False
    envelope = json.loads(line)
    body = rest[: envelope["body_bytes"]]
    is_whole = len(body) == envelope["body_bytes"] and zlib.crc32(body) == envelope["body_crc32"]
    if envelope["error"] is not None:
        return None, b"", False
    return envelope["request_id"], body if is_whole else body.split(b"\0")[0], is_whole
