"""The journal: one file a pull, durable before anything else sees what it holds.

    journal.json                  format 1, and the pipeline, destination and dataset that it feeds
    drains/<drain id>/<file>      not known to be loaded
    drains/<bundle>               archived before, and given again: not known to be loaded any more
    archive/<bundle>              loaded; kept for the retention
    unreadable/…                  what could not be read, set aside for a person

A drain is one emptying of the queues, a pull one request of it. Where a pull lies says what is known of it,
so that a run lists only what is not loaded, whatever the archive holds.
"""

import itertools
import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any

from sms_source.errors import JournalError
from sms_source.journal import file_format
from sms_source.journal.archive import FOLDER as ARCHIVE
from sms_source.journal.archive import Archive, Member, is_bundle, read_bundle
from sms_source.journal.file_format import UNREADABLE, by_rank, encode, file_name, parse_name, state_of
from sms_source.journal.identity import Identity, Owner, claim, load_identity, note, refuse_another
from sms_source.journal.pull import Pull, now
from sms_source.journal.spill import Spill
from sms_source.journal.storage import Reservation, Storage, open_storage
from sms_source.settings import JOURNAL_RESERVE

logger = logging.getLogger(__name__)

FOLDER = "drains"


class Journal:
    """The journal at a URL, held by one user at a time while it is entered.

    Args:
        url: a folder, or the URL of an object store.
        wait_seconds: to wait for another user to end.
        storage: where it is; by default what the URL names.

    Raises:
        ConfigurationError: the URL is of a kind that is not supported, or another version wrote the journal.
        JournalLockedError: on entering, when another process, or thread, holds the journal.
        OSError: the storage fails.
    """

    def __init__(self, url: str, *, wait_seconds: float = 0.0, storage: Storage | None = None) -> None:
        self.storage = storage or open_storage(url)
        self.archive = Archive(self.storage)
        self._wait_seconds = wait_seconds
        self._identity: Identity | None = None
        self._spill: Spill | None = None

    @property
    def url(self) -> str:
        """Where the journal is: an absolute path or a URL."""
        return self.storage.url

    def __enter__(self) -> "Journal":
        self.storage.acquire(self._wait_seconds)
        try:
            self._identity = load_identity(self.storage)
            self._spill = Spill(self._identity.journal_id)
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
        self.spill.take_into(self.storage)

    def refuse_another(self, owner: Owner) -> None:
        """Raise `ConfigurationError` when `claim` would, and change nothing."""
        refuse_another(self.storage, self.identity, owner)

    def open_drain(self) -> "JournalDrain":
        """Begin a drain, with nothing in it."""
        return JournalDrain(self.storage, self.spill, file_format.new_drain_id())

    def unloaded(self) -> list[str]:
        """Return what is not known to be loaded, the oldest first: ids of drains, and bundles given again."""
        items = []
        for name in self.storage.names(FOLDER):
            if file_format.is_drain_id(name) or is_bundle(name):
                items.append(name)
            else:
                self._set_aside(name, "it is no drain")
        return items

    def read(self, item: str) -> Iterator[Pull]:
        """Yield the pulls of a drain, or of a bundle given again, in their order.

        A file that can't be read becomes a pull in doubt, and what is no pull is moved to `unreadable/`; both
        are logged.
        """
        for member, pull in self._members(item):
            yield replace(pull, load_id=member.load_id or None)

    def fingerprint(self, item: str) -> str:
        """Return what tells whether anything came into a drain since it was last looked at."""
        if is_bundle(item):
            return item
        first = [names[0] for names in by_rank(self._names(item)).values()]
        return f"{item}:{zlib.crc32(' '.join(first).encode()):08x}"

    def commit(self, items: Iterable[str], load_id: str, retention: timedelta) -> None:
        """Move what a package has loaded into the archive; durable when this returns.

        Args:
            items: drains and bundles, as `unloaded` gives them.
            load_id: dlt's id of the package.
            retention: for which the archive keeps what is loaded; 0 keeps nothing.
        """
        self.spill.take_into(self.storage)
        items = list(items)
        drains = [item for item in items if not is_bundle(item)]
        for item in items:
            if is_bundle(item):
                self.archive.add_bundle(f"{FOLDER}/{item}", load_id)
        if retention > timedelta(0):
            self.archive.add((m for d in drains for m in self._loaded_members(d, load_id)), load_id)
        for drain_id in drains:
            self.storage.remove_folder(f"{FOLDER}/{drain_id}")
            self.spill.forget(drain_id)
        self.note(last_load=load_id)
        self.archive.tidy(retention)

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

    def _members(self, item: str) -> Iterator[tuple[Member, Pull]]:
        """Yield a file and its pull, for each pull of a drain or a bundle."""
        folder, _, name = item.rpartition("/")
        if is_bundle(name):
            try:
                for member in read_bundle(self.storage.read(f"{folder or FOLDER}/{name}")):
                    yield member, self._decode(member)
            except ValueError as error:
                self._set_aside(name, str(error), folder or FOLDER)
            return
        for names in by_rank(self._names(item)).values():
            member, pull = self._best(item, names)
            if pull.channel == "queue" or not pull.in_doubt:  # else it can't be read, and was no pull
                yield member, pull

    def _best(self, drain_id: str, names: list[str]) -> tuple[Member, Pull]:
        """Return the file that counts of one pull's files, and the pull: a valid answer before all else."""
        # The request may have gone out, and no answer is known of.
        left = parse_name(drain_id, names[0])
        for name in names:
            pull = parse_name(drain_id, name)
            content = b""
            try:
                content = self.storage.read(f"{FOLDER}/{drain_id}/{name}")
                return Member(drain_id, name, content, ""), file_format.decode(pull, content)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                if state_of(name) == "intent":
                    with suppress(ValueError):
                        left = file_format.decode_torn(pull, content)
                else:
                    left = replace(left, error=UNREADABLE)
                    self._set_aside(f"{drain_id}/{name}", str(error))
        return Member(drain_id, file_name(left, "in_doubt"), encode(left), ""), left

    def _loaded_members(self, drain_id: str, load_id: str) -> Iterator[Member]:
        for member, pull in self._members(drain_id):
            state = file_format.loaded_state(pull)
            # What was not renamed has the reserved room behind its body.
            content = member.content if state_of(member.name) == state else encode(pull)
            yield member._replace(name=file_name(pull, state), content=content, load_id=load_id)

    def _decode(self, member: Member) -> Pull:
        pull = parse_name(member.drain_id, member.name)
        try:
            return file_format.decode(pull, member.content)
        except ValueError as error:
            logger.error("journal %s: %s/%s: %s", self.url, member.drain_id, member.name, error)
            return replace(pull, error=UNREADABLE)

    def _names(self, drain_id: str) -> list[str]:
        """Return the files of pulls in a drain's folder; what is none is set aside."""
        names = []
        try:
            found = self.storage.names(f"{FOLDER}/{drain_id}")
        except NotADirectoryError:
            self._set_aside(drain_id, "it is no folder")
            return []
        for name in found:
            try:
                parse_name(drain_id, name)
            except ValueError as error:
                if not name.endswith(".new"):  # a draft that a kill left
                    self._set_aside(f"{drain_id}/{name}", str(error))
            else:
                names.append(name)
        return names

    def _set_aside(self, path: str, reason: str, folder: str = FOLDER) -> None:
        logger.error("journal %s: %s/%s is set aside in unreadable/: %s", self.url, folder, path, reason)
        self.storage.move(f"{folder}/{path}", f"unreadable/{path}")


class JournalDrain:
    """One drain's part of the journal; its methods may be called from several threads."""

    def __init__(self, storage: Storage, spill: Spill, drain_id: str) -> None:
        self.drain_id = drain_id
        self._storage = storage
        self._spill = spill
        self._numbers = itertools.count(1)

    def intend(self, feed: str, sms_sdk_app_id: str, region: str, limit: int) -> "Intent":
        """Note that a request is about to go out, and reserve room for its answer.

        Raises:
            JournalError: the room can't be had; the request must not go out.
        """
        pull_id = f"{self.drain_id}/{next(self._numbers):06d}"
        pull = Pull(pull_id, feed, sms_sdk_app_id, region, limit, requested_at=now())
        path = f"{FOLDER}/{self.drain_id}/{file_name(pull, 'intent')}"
        try:
            reservation = self._storage.reserve(path, JOURNAL_RESERVE)
        except OSError as error:
            raise JournalError(
                f"No room could be reserved for an answer in the journal {self._storage.url} ({error}). "
                "Nothing more was pulled. Free or enlarge its disk, or see to its store, then run again."
            ) from error
        return Intent(pull, reservation, self._spill, self._storage.url)

    def add(self, pull: Pull) -> Pull:
        """Keep records that came by another way than a pull, such as a look-up; return them as they are kept.

        Raises:
            OSError: the storage refused it.
        """
        numbered = replace(pull, pull_id=f"{self.drain_id}/{next(self._numbers):06d}")
        name = file_name(numbered, file_format.loaded_state(numbered))
        self._storage.write(f"{FOLDER}/{self.drain_id}/{name}", encode(numbered))
        return numbered

    def close(self) -> None:
        """End the drain; one without a pull leaves nothing."""
        self._storage.remove_folder(f"{FOLDER}/{self.drain_id}", only_empty=True)


class Intent:
    """A pull that is about to be requested, and the file that waits for its answer."""

    def __init__(self, pull: Pull, reservation: Reservation, spill: Spill, url: str) -> None:
        self.pull = pull
        self._reservation = reservation
        self._spill = spill
        self._url = url

    def keep(self, pull: Pull) -> None:
        """Keep the answer, or that the outcome is unknown; only then may anything else use it.

        Raises:
            JournalError: the journal refused it. The message says where it is instead.
        """
        name = file_name(pull, "in_doubt" if pull.in_doubt else "answer")
        path, content = f"{FOLDER}/{pull.drain_id}/{name}", encode(pull)
        try:
            self._reservation.fill(path, content)
        except OSError as error:
            place = self._spill.keep(path, content)
            raise JournalError(
                f"An answer could not be written into the journal {self._url} ({error}). {place} Pulling has "
                "stopped. Free or enlarge the journal's disk, or see to its store, then run again."
            ) from error

    def discard(self) -> None:
        """Forget the pull: it handed nothing out."""
        self._reservation.discard()
