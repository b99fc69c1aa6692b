"""The journal: one file a pull, durable before anything else sees what it holds.

    journal.json                  format 1, and the pipeline, destination and dataset that it feeds
    drains/<drain id>/<file>      not known to be loaded
    drains/<bundle>               archived before, and given again: not known to be loaded any more
    archive/<bundle>              loaded; kept for the retention
    unreadable/…                  what could not be read, set aside for a person

A drain is one emptying of the queues, a pull one request of it. Where a pull lies says what is known of it,
so that a run lists only what is not loaded, whatever the archive holds.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from types import TracebackType
from typing import Any

from sms_source.errors import JournalError
from sms_source.journal import file_format
from sms_source.journal.archive import FOLDER as ARCHIVE
from sms_source.journal.archive import Archive, is_bundle
from sms_source.journal.bundle import Member
from sms_source.journal.encrypted_storage import EncryptedStorage, check_keys
from sms_source.journal.encryption import Keys
from sms_source.journal.identity import (
    NO_DATABASE,
    Identity,
    Owner,
    claim,
    load_identity,
    note,
    refuse_another,
)
from sms_source.journal.pull import Pull, now
from sms_source.journal.reader import FOLDER, Files, Reader, fingerprint
from sms_source.journal.spill import Spill
from sms_source.journal.storage import Storage, names_in, open_storage, set_aside
from sms_source.journal.writer import JournalDrain

logger = logging.getLogger(__name__)


class Journal:
    """The journal at a URL, held by one user at a time while it is entered.

    Args:
        url: a folder, or the URL of an object store.
        wait_seconds: to wait for another user to end.
        keys: that its files are encrypted with; without any, they are in clear.
        storage: where it is; by default what the URL names.

    Raises:
        ConfigurationError: the URL is of a kind that is not supported; or, on entering, another version wrote
            the journal, or it holds files of a key that is not among the keys.
        JournalLockedError: on entering, when another process, or thread, holds the journal.
        OSError: the storage fails.
    """

    def __init__(
        self,
        url: str,
        *,
        wait_seconds: float = 0.0,
        keys: Keys | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.storage = EncryptedStorage(storage or open_storage(url), keys or Keys())
        self.archive = Archive(self.storage)
        self._reader = Reader(self.storage)
        self._wait_seconds = wait_seconds
        self._key_ids: list[str] = []
        self._identity: Identity | None = None
        self._spill: Spill | None = None
        self._seen: dict[str, str] = {}
        self._read: set[str] = set()

    @property
    def url(self) -> str:
        """Where the journal is: an absolute path or a URL."""
        return self.storage.url

    def __enter__(self) -> "Journal":
        self.storage.acquire(self._wait_seconds)
        try:
            self._identity = load_identity(self.storage)
            self._key_ids = check_keys(self.storage, self._identity.keys)
            self._spill = Spill(self._identity.journal_id, self.storage.keys)
        except BaseException:
            self.storage.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.storage.release()

    @property
    def identity(self) -> Identity:
        """What `journal.json` says. Raises `RuntimeError` when the journal was not entered."""
        if self._identity is None:
            raise RuntimeError("the journal is not entered")
        return self._identity

    @property
    def spill(self) -> Spill:
        """Where answers go that the journal refused."""
        if self._spill is None:
            raise RuntimeError("the journal is not entered")
        return self._spill

    def claim(self, owner: Owner) -> None:
        """Tie the journal to what it feeds, and take in what an earlier run could not write into it.

        Raises:
            ConfigurationError: it feeds another pipeline, destination or dataset.
        """
        self._identity = claim(self.storage, self.identity, owner)
        self.note(keys=self._key_ids)  # before the first file that is encrypted with one
        self.spill.take_into(self.storage)

    def refuse_another(self, owner: Owner) -> None:
        """Raise `ConfigurationError` when `claim` would, and change nothing."""
        refuse_another(self.storage, self.identity, owner)

    def open_drain(self) -> "JournalDrain":
        """Begin a drain, with nothing in it."""
        self.note(keys=self._key_ids)
        return JournalDrain(self.storage, self.spill, file_format.new_drain_id())

    def unloaded(self) -> list[str]:
        """Return what is not known to be loaded, the oldest first: ids of drains, and bundles given again."""
        items = []
        for name in names_in(self.storage, FOLDER):
            if file_format.is_drain_id(name) or is_bundle(name):
                items.append(name)
            else:
                set_aside(self.storage, f"{FOLDER}/{name}", "it is no drain")
        return items

    def read(self, item: str) -> Iterator[Pull]:
        """Yield the pulls of a drain, or of a bundle given again, in their order.

        A file that can't be read becomes a pull in doubt, and what is no pull is moved to `unreadable/`; both
        are logged.
        """
        is_archived = is_bundle(item.rpartition("/")[2])
        files = {} if is_archived else self._reader.files(item)
        path = item if "/" in item else f"{FOLDER}/{item}"
        found = self._reader.bundle(path) if is_archived else self._reader.drain(item, files)
        for member, pull in found:
            yield replace(pull, load_id=member.load_id or None)
        if not is_archived:
            self._seen[item] = fingerprint(item, files)
            self._read.add(item)

    def fingerprint(self, item: str) -> str:
        """Return what tells whether anything came into a drain: as it was read, or else as it is now."""
        if item not in self._read:
            self._seen[item] = item if is_bundle(item) else fingerprint(item, self._reader.files(item))
        return self._seen[item]

    def commit(self, items: Iterable[str], load_id: str, retention: timedelta) -> None:
        """Move what a package has loaded into the archive; durable when this returns.

        A drain into which an answer came since it was read (its process had been taken for dead, and went on)
        stays: the next package loads it again, with that answer.

        Args:
            items: drains and bundles, as `unloaded` gives them.
            load_id: dlt's id of the package.
            retention: for which the archive keeps what is loaded; 0 keeps nothing.

        Raises:
            JournalLockedError: another process may have the journal by now.
            JournalError: the storage fails. What is not archived now, the next run archives.
        """
        with self._archiving():
            self._commit(list(items), load_id, retention)

    def tidy(self, retention: timedelta) -> None:
        """Delete what was archived longer ago than the retention, as `commit` does; raise as it does."""
        with self._archiving():
            self.storage.check_held()
            self.archive.tidy(retention)
        self.note(tidied_at=now().isoformat())

    def finish_commits(self, items: Iterable[str]) -> bool:
        """Remove what the archive has already: a kill, or a store that failed, ended its removal halfway.

        What the archive does not have, such as an answer that came late, stays.

        Args:
            items: drains and bundles, as `unloaded` gives them.

        Returns:
            Whether the archive had anything of them. Raises as `commit`.
        """
        with self._archiving():
            self.storage.check_held()
            archived = self.archive.pulls_of(item for item in items if not is_bundle(item))
            for drain_id, ranks in archived.items():
                files = self._reader.files(drain_id)
                known = {
                    n: names
                    for n, names in files.items()
                    if file_format.rank_of(names[0]) <= ranks.get(n, -1)
                }
                self._remove(drain_id, known)
            return bool(archived)

    @contextmanager
    def _archiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(
                f"What was loaded could not be archived in the journal {self.url} ({error}). See to "
                "its disk, or to its store, then run again."
            ) from error

    def _commit(self, items: list[str], load_id: str, retention: timedelta) -> None:
        self.storage.check_held()
        # Before anything is archived: a run that is killed from here on leaves no note of a database that a
        # backup could bring back, lacking what is about to be archived as loaded.
        self.note(last_load=load_id, database=NO_DATABASE, tidied_at=now().isoformat())
        self.spill.take_into(self.storage)
        drains: dict[str, Files] = {}
        for item in items:
            if is_bundle(item):
                with suppress(FileNotFoundError):  # it could not be read, and was set aside
                    self.archive.add_bundle(f"{FOLDER}/{item}", load_id)
                self._forget(item)
                continue
            files = self._reader.files(item)
            now_there = fingerprint(item, files)
            if now_there == self._seen.get(item, now_there):
                drains[item] = files
            else:
                logger.warning("journal %s: something came late into %s; it is loaded again", self.url, item)
        if retention > timedelta(0):
            self.archive.add(self._loaded(drains, load_id), load_id)
        for drain_id, files in drains.items():
            self._remove(drain_id, files)
            self.spill.forget(drain_id)
        self.archive.tidy(retention)

    def _remove(self, drain_id: str, files: Files) -> None:
        """Remove files of a drain that are archived, and the folder with the last one."""
        self._forget(drain_id)  # what is left when this ends halfway is not what was read
        names = list(chain.from_iterable(files.values()))
        # An intent that outlived its answer, or the note beside it, would be a pull that nobody knows of.
        for state in file_format.REMOVAL_ORDER:
            own = [name for name in names if file_format.state_of(name) == state]
            self.storage.remove([f"{FOLDER}/{drain_id}/{name}" for name in own])
        self.storage.remove_folder(f"{FOLDER}/{drain_id}", only_empty=True)

    def _loaded(self, drains: dict[str, Files], load_id: str) -> Iterator[Member]:
        for drain_id, files in drains.items():
            yield from self._reader.loaded(drain_id, files, load_id, self.spill.in_memory(drain_id))

    def note(self, **changes: Any) -> None:
        """Note fields of the journal's identity."""
        self._identity = note(self.storage, self.identity, **changes)

    def give_again(self, load_ids: Iterable[str] | None = None) -> list[str]:
        """Have bundles count as not loaded, until they are.

        Args:
            load_ids: the packages that are not in the destination any more; None for the whole archive.

        Returns:
            The bundles.
        """
        lost = None if load_ids is None else set(load_ids)
        bundles = [name for name in self.archive.names() if lost is None or name.load_id in lost]
        for name in bundles:
            self.storage.move(f"{ARCHIVE}/{name}", f"{FOLDER}/{name}")
        return [str(name) for name in bundles]

    def everything(self) -> list[str]:
        """Return what `read` takes for the whole archive, and then for what is not known to be loaded."""
        return [*(f"{ARCHIVE}/{name}" for name in self.archive.names()), *self.unloaded()]

    def discard_empty(self, items: Iterable[str]) -> None:
        """Forget drains in which there was nothing after all."""
        for item in items:
            self.storage.remove_folder(f"{FOLDER}/{item}", only_empty=True)
            self._forget(item)

    def _forget(self, item: str) -> None:
        """Forget how an item was read that is loaded, or was nothing."""
        self._seen.pop(item, None)
        self._read.discard(item)
