"""A storage whose files are encrypted, around a storage. Without a key it reads and writes in clear."""

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sms_source.journal.encryption import CLEAR, Keys, key_id_of, missing_key
from sms_source.journal.file_format import is_drain_id
from sms_source.journal.storage import SET_ASIDE, Reservation, Storage, names_in

logger = logging.getLogger(__name__)

IN_CLEAR = frozenset({"journal.json", "lock", "holder.json", "lease"})
"""Files that hold nothing of anybody, and that are read before there is a key."""


class EncryptedReservation:
    """An empty file with room for an answer."""

    def __init__(self, reservation: Reservation, keys: Keys) -> None:
        self._reservation = reservation
        self._keys = keys

    def fill(self, final_path: str, content: bytes) -> None:
        """Write the content, encrypted, then give the file its final name."""
        self._reservation.fill(final_path, self._keys.seal(final_path, content))

    def discard(self) -> None:
        """Remove the file."""
        self._reservation.discard()


class EncryptedStorage:
    """A storage around another one. See `sms_source.journal.storage.Storage` for the methods.

    `read` raises `ValueError` for a file that was changed, cut, or put in another's place, and
    `ConfigurationError` for one whose key is not among the keys.

    Args:
        storage: holds the files.
        keys: the first writes, all read.
    """

    def __init__(self, storage: Storage, keys: Keys) -> None:
        self.url = storage.url
        self.keys = keys
        self._storage = storage

    def acquire(self, wait_seconds: float) -> None:
        """Take the storage for one user."""
        self._storage.acquire(wait_seconds)

    def release(self) -> None:
        """Give the storage back."""
        self._storage.release()

    def check_held(self) -> None:
        """Prove that the place is still this user's."""
        self._storage.check_held()

    def reserve(self, path: str, size: int) -> Reservation:
        """Create an empty file; it says nothing but its name."""
        return EncryptedReservation(self._storage.reserve(path, size), self.keys)

    def write(self, path: str, content: bytes) -> None:
        """Write a whole file, encrypted."""
        self._storage.write(path, content if path in IN_CLEAR else self.keys.seal(path, content))

    def read(self, path: str) -> bytes:
        """Return what the file holds, in clear."""
        content = self._storage.read(path)
        return content if path in IN_CLEAR else self.keys.open(path, content)

    def read_many(self, paths: list[str]) -> Iterator[bytes | OSError | ValueError]:
        """Yield what each file holds, in clear, or why it can't be read."""
        for path, content in zip(paths, self._storage.read_many(paths), strict=True):
            if isinstance(content, Exception):
                yield content
                continue
            try:
                yield self.keys.open(path, content)
            except ValueError as error:
                yield error

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        return self._storage.names(folder)

    def move(self, path: str, new_path: str) -> None:
        """Give the file another path: its content is tied to what stays of the name."""
        self._storage.move(path, new_path)

    def set_aside(self, path: str, place: str) -> None:
        """Move what is at a path into `unreadable/`."""
        self._storage.set_aside(path, place)

    def remove(self, paths: list[str]) -> None:
        """Remove files."""
        self._storage.remove(paths)

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Remove a folder."""
        self._storage.remove_folder(folder, only_empty=only_empty)

    def key_of(self, path: str) -> str:
        """Return the id of the key that a file was written with. Raises `ValueError` for a damaged one."""
        return key_id_of(self._storage.read(path))


class Reencrypted(NamedTuple):
    """What `reencrypt` did.

    files: written anew with the first key.
    unreadable: files that were damaged, and stay as they are.
    """

    files: int
    unreadable: int


def paths(storage: Storage) -> Iterator[str]:
    """Yield the files that may be encrypted; drafts that a kill left are deleted."""
    yield from (name for name in storage.names("") if name.endswith(".json") and name not in IN_CLEAR)
    for folder in ("drains", "archive", SET_ASIDE):
        yield from _paths_in(storage, folder)


def check_keys(storage: EncryptedStorage, noted: Iterable[str] | None) -> list[str]:
    """Return the ids of the keys that the journal's files may be encrypted with from now on.

    Args:
        storage: the journal's.
        noted: the ids that the journal notes; None when it notes none, because it is new or its note is lost.

    Raises:
        ConfigurationError: there are files whose key is not among the keys.
    """
    given, known = storage.keys.ids, set(noted or ())
    if noted is None or not known.issubset(given):
        needed = {key for _, key in _keys_of(storage) if key}
        if missing := needed.difference(given):
            raise missing_key(missing, given)
        known = needed
    writing = {storage.keys.writing_id} - {CLEAR}
    return sorted(known | writing)


def reencrypt(storage: EncryptedStorage) -> Reencrypted:
    """Write all files anew that the first key did not write. Killed, it goes on when it is run again."""
    files = unreadable = 0
    for path, key in _keys_of(storage):
        if key == storage.keys.writing_id:
            continue
        try:
            content = storage.read(path)
        except ValueError as error:
            logger.error("journal %s: %s: %s; it stays as it is", storage.url, path, error)
            unreadable += 1
            continue
        if content.strip(b"\0"):  # else an intent: room alone
            storage.write(path, content)
            files += 1
    return Reencrypted(files, unreadable)


def _keys_of(storage: EncryptedStorage) -> Iterator[tuple[str, str | None]]:
    """Yield each file with the id of its key; None for a damaged one."""
    for path in paths(storage):
        try:
            yield path, storage.key_of(path)
        except (FileNotFoundError, IsADirectoryError):  # a folder of somebody's
            continue
        except ValueError:
            yield path, None


def _paths_in(storage: Storage, folder: str) -> Iterator[str]:
    for name in names_in(storage, folder):
        path = f"{folder}/{name}"
        if name.endswith(".new"):
            storage.remove([path])
        elif is_drain_id(name) or path == f"{SET_ASIDE}/archive":
            yield from _paths_in(storage, path)
        else:
            yield path
