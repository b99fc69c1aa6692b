"""Erases people's records from the journal: from answers, broken answers, bundles, and what was set aside.

A record that is erased leaves a marker in its place, so that the other records keep their positions and with
them their ids. The file's envelope says how many of its records were erased: where it does, the marker is
neither a row nor a record that does not fit, so a replay does not bring the person back.
"""

import json
import logging
import zlib
from collections import Counter

from sms_source.api.answers import begun_records, parse_record
from sms_source.api.pushes import entry_texts
from sms_source.feeds import FEEDS
from sms_source.journal.archive import is_bundle
from sms_source.journal.bundle import as_bundle, read_bundle
from sms_source.journal.encrypted_storage import paths
from sms_source.journal.file_format import INTERRUPTED, MARKER, parse_name, state_of
from sms_source.journal.journal import Journal
from sms_source.journal.storage import SET_ASIDE
from sms_source.privacy.people import People

_MARKER = json.dumps(MARKER)

logger = logging.getLogger(__name__)


class Eraser:
    """Erases some people's records.

    erased: records by the digits of the person.
    unreadable: files that can't be read, of which nobody can tell whom they hold.
    """

    def __init__(self, people: People) -> None:
        self.erased: Counter[str] = Counter()
        self.unreadable = 0
        self._people = people

    def journal(self, journal: Journal) -> None:
        """Erase from all that an entered journal holds. Killed, it goes on when it is run again.

        Each file is replaced whole, and keeps its name: what counts as loaded or not stays as it was.
        """
        journal.spill.take_into(journal.storage)
        for path in list(paths(journal.storage)):
            try:
                content = journal.storage.read(path)
                erased = self._file(path, content)
            except (FileNotFoundError, IsADirectoryError):
                continue
            except ValueError as error:
                logger.error("journal %s: %s can't be read: %s", journal.url, path, error)
                self.unreadable += 1
                continue
            if erased is None:
                journal.storage.remove([path])
            elif erased != content:
                journal.storage.write(path, erased)

    def pull(self, feed_name: str, content: bytes, *, state: str = "answer") -> bytes:
        """Return a pull's file without the people's records.

        What a process got down that was killed while it wrote stays what it is: a pull in doubt.

        Raises:
            ValueError: it is neither whole nor an intent that was begun to be filled.
        """
        line, _, rest = content.partition(b"\n")
        try:
            envelope = json.loads(line)
            body = rest[: envelope["body_bytes"]]
            is_whole = len(body) == envelope["body_bytes"] and zlib.crc32(body) == envelope["body_crc32"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"the envelope is not one: {type(error).__name__}") from None
        if not is_whole:
            if state != "intent":
                raise ValueError("the body is not whole")
            body = body.partition(b"\0")[0]
            envelope["error"] = envelope.get("error") or INTERRUPTED
        count = self.erased.total()
        new_body = self._pushed(body) if state == "callback" else self._body(feed_name, body)
        if new_body == body:
            return content
        envelope |= {
            "body_bytes": len(new_body),
            "body_crc32": zlib.crc32(new_body),
            "erased": envelope.get("erased", 0) + self.erased.total() - count,
        }
        if ids := envelope.get("record_ids"):  # of what was looked up; an id is a digest of its record
            texts = begun_records(FEEDS[feed_name], new_body).whole
            envelope["record_ids"] = [
                "" if text == _MARKER else record_id for record_id, text in zip(ids, texts, strict=False)
            ]
        return json.dumps(envelope).encode() + b"\n" + new_body

    def _file(self, path: str, content: bytes) -> bytes | None:
        """Return what a file holds without the people's records; None when it has to go whole."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return None  # who was asked about in a recovery, in digests: the next one asks anew
        if folder.startswith(SET_ASIDE):
            return self._unless_named(content, None)
        if is_bundle(name):
            members = list(read_bundle(content))
            erased = [
                member._replace(content=self._member(member.name, member.content)) for member in members
            ]
            return content if erased == members else as_bundle(erased)
        try:
            feed = parse_name(folder.rpartition("/")[2], name).feed
        except ValueError:  # a file of somebody's
            return self._unless_named(content, None)
        try:
            return self.pull(feed, content, state=state_of(name))
        except ValueError:  # an intent without an envelope, or a damaged file
            return self._unless_named(content, b"")

    def _member(self, name: str, content: bytes) -> bytes:
        try:
            return self.pull(name.split(".")[1], content, state=state_of(name))
        except ValueError:
            return self._unless_named(content, b"") or b""

    def _body(self, feed_name: str, body: bytes) -> bytes:
        """Return a body written anew from its records, with markers for theirs, or as it is without any."""
        feed = FEEDS[feed_name]
        begun = begun_records(feed, body)
        if not begun.whole and not begun.torn:
            return self._unless_named(body, b"") or b""
        texts = self._marked(begun.whole)
        torn = "" if begun.torn and self._people.may_own(begun.torn) else begun.torn
        if texts == begun.whole and torn == begun.torn:
            return body
        request_id = begun.request_id if begun.request_id and _is_json(begun.request_id) else "null"
        head = f'{{"Response": {{"RequestId": {request_id}, "{feed.result_set}": ['
        end = f"{', ' if texts else ''}{torn}" if torn else "]}}"
        return (head + ", ".join(texts) + end).encode("utf-8", "surrogateescape")

    def _pushed(self, body: bytes) -> bytes:
        """Return what was pushed, likewise. The ids of the others are digests of themselves, and stay."""
        found = entry_texts(body)
        texts = self._marked(found)
        return body if texts == found else f"[{', '.join(texts)}]".encode("utf-8", "surrogateescape")

    def _marked(self, found: list[str]) -> list[str]:
        """Return the texts of records with a marker for each of theirs."""
        texts = []
        for text in found:
            owner = self._people.owner_of(parse_record(text), text)
            self.erased.update([owner] if owner else [])
            texts.append(_MARKER if owner else text)
        return texts

    def _unless_named(self, content: bytes, otherwise: bytes | None) -> bytes | None:
        """Return the content as it is if it names none of the people."""
        owner = self._people.named_in(content.decode("utf-8", "replace"))
        self.erased.update([owner] if owner else [])
        return otherwise if owner else content


def _is_json(text: str) -> bool:
    """Return whether a value came whole: an answer may break off in the middle of its RequestId."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
