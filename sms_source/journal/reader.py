"""Reads what the journal holds: of each pull the file that counts, and what it says."""

import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from sms_source.errors import JournalError
from sms_source.journal import file_format
from sms_source.journal.bundle import Member, mended_bundle
from sms_source.journal.file_format import (
    UNREADABLE,
    by_rank,
    encode,
    file_name,
    number_of,
    parse_name,
    state_of,
)
from sms_source.journal.pull import Pull
from sms_source.journal.storage import NO_FILE, Storage, names_in, set_aside

logger = logging.getLogger(__name__)

FOLDER = "drains"

Files = dict[str, list[str]]
"""The files of a drain by the number of their pull, the one that counts first."""
Content = bytes | OSError | ValueError
"""What a file holds, or why it can't be read."""


def fingerprint(drain_id: str, files: Files) -> str:
    """Return what tells whether the files that count in a drain are still the same."""
    first = " ".join(names[0] for names in files.values() if names)
    return f"{drain_id}:{zlib.crc32(first.encode()):08x}"


class Reader:
    """Reads drains and bundles; what is no file of the journal's is logged, and set aside for a person."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def files(self, drain_id: str) -> Files:
        """Return the files in a drain's folder; drafts are deleted, and what is no pull's is set aside."""
        names = []
        for name in names_in(self._storage, f"{FOLDER}/{drain_id}"):
            try:
                parse_name(drain_id, name)
            except ValueError as error:
                path = f"{FOLDER}/{drain_id}/{name}"
                if name.endswith(".new"):  # a draft that a kill left
                    self._storage.remove([path])
                else:
                    set_aside(self._storage, path, str(error))
            else:
                names.append(name)
        return by_rank(names)

    def drain(self, drain_id: str, files: Files) -> Iterator[tuple[Member, Pull]]:
        """Yield the file that counts of each pull of a drain, and the pull: a valid answer before all else.

        What turns out not to be there, or not to be readable, is taken out of `files`.
        """
        for names, first in self._firsts(drain_id, files):
            member, pull = self._best(drain_id, names, first)
            if _is_pull(pull):
                yield member, pull

    def bundle(self, path: str) -> Iterator[tuple[Member, Pull]]:
        """Yield the files of a bundle, and their pulls."""
        try:
            members = mended_bundle(self._storage, path)
        except NO_FILE as error:
            set_aside(self._storage, path, str(error))
            return
        for member in members:
            pull = self._decode(member)
            if _is_pull(pull):
                yield member, pull

    def loaded(
        self, drain_id: str, files: Files, load_id: str, in_memory: Mapping[str, bytes]
    ) -> Iterator[Member]:
        """Yield the files of a drain as they are archived; what they say was read when they were loaded.

        Args:
            drain_id: of the drain.
            files: of the drain.
            load_id: of the package that loaded them.
            in_memory: answers, by name, that were loaded and that no folder took: an intent is left of each.
        """
        refused = {number_of(name): name for name in in_memory}
        for names, first in self._firsts(drain_id, files):
            if name := refused.get(number_of(names[0])):
                yield Member(drain_id, name, in_memory[name], load_id)
                continue
            if state_of(names[0]) != "intent" and isinstance(first, bytes) and file_format.is_whole(first):
                yield Member(drain_id, names[0], first, load_id)
                continue
            member, pull = self._best(drain_id, names, first)
            if not _is_pull(pull):
                continue
            state = file_format.loaded_state(pull)
            # What was not renamed has the reserved room behind its body.
            content = member.content if state_of(member.name) == state else encode(pull)
            yield Member(drain_id, file_name(pull, state), content, load_id)

    def _firsts(self, drain_id: str, files: Files) -> Iterator[tuple[list[str], Content]]:
        """Yield the names of each pull's files, with what the file holds that counts first."""
        paths = [f"{FOLDER}/{drain_id}/{names[0]}" for names in files.values()]
        yield from zip(files.values(), self._storage.read_many(paths), strict=True)

    def _best(self, drain_id: str, names: list[str], first: Content) -> tuple[Member, Pull]:
        """Return the file that counts of one pull's files, of which the first is read, and the pull.

        Raises:
            JournalError: the storage fails. An answer that may be whole must not become a doubt.
        """
        pull = parse_name(drain_id, names[0])
        content: Content | None = first
        for name in list(names):
            try:
                if content is None:
                    content = self._storage.read(f"{FOLDER}/{drain_id}/{name}")
                elif isinstance(content, (OSError, ValueError)):
                    raise content
                pull = file_format.decode(parse_name(drain_id, name), content)
                return Member(drain_id, name, content, ""), pull
            except FileNotFoundError:
                names.remove(name)
            except NO_FILE as error:
                if state_of(name) == "intent":
                    with suppress(ValueError):
                        torn = content if isinstance(content, bytes) else b""
                        pull = file_format.decode_torn(parse_name(drain_id, name), torn)
                else:
                    pull = replace(pull, error=UNREADABLE)
                    set_aside(self._storage, f"{FOLDER}/{drain_id}/{name}", str(error))
                    names.remove(name)
            except OSError as error:
                raise JournalError(
                    f"The journal {self._storage.url} could not read {FOLDER}/{drain_id}/{name} ({error}), "
                    "which may be an answer. See to its disk, or to its store, then run again. What stays "
                    "unreadable can be moved out of the journal: its pull is then in doubt."
                ) from error
            content = None
        # The request may have gone out, and no answer is known of.
        return Member(drain_id, file_name(pull, "in_doubt"), encode(pull), ""), pull

    def _decode(self, member: Member) -> Pull:
        pull = parse_name(member.drain_id, member.name)
        try:
            return file_format.decode(pull, member.content)
        except ValueError as error:
            logger.error("journal %s: %s/%s: %s", self._storage.url, member.drain_id, member.name, error)
            return replace(pull, error=UNREADABLE)


def _is_pull(pull: Pull) -> bool:
    """Return whether there is something to load: a push or a look-up that can't be read has none."""
    return pull.channel == "queue" or not pull.in_doubt
