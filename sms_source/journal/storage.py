"""Durable files under one URL: what the journal needs of a place to keep answers.

Paths are relative to the root and use `/`. Every method that writes returns only when what it wrote
survives a power cut. A folder on a disk is `sms_source.journal.local_storage`, an object store
`sms_source.journal.object_storage`; another place to keep answers is another class with these methods.
"""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sms_source.cleaning import clean
from sms_source.errors import ConfigurationError

logger = logging.getLogger(__name__)

SET_ASIDE = "unreadable"
"""The folder for what is not the journal's, or can't be read: for a person."""

NO_FILE = (ValueError, IsADirectoryError)
"""What reading raises for good, unlike the failure of a disk or a store, which may pass."""


class Reservation(Protocol):
    """An empty file with room for an answer, kept open until it is filled or discarded."""

    def fill(self, final_path: str, content: bytes) -> None:
        """Write the content, then give the file its final name, in one step."""

    def discard(self) -> None:
        """Remove the file; a power cut may bring it back."""


class Storage(Protocol):
    """A place for the journal's files. Methods raise `OSError` when the place fails them."""

    url: str

    def acquire(self, wait_seconds: float) -> None:
        """Take the place for one user. Raises `JournalLockedError` if it is taken for all of that time."""

    def release(self) -> None:
        """Give back what `acquire` took."""

    def check_held(self) -> None:
        """Prove that the place is still this user's. Raises `JournalLockedError` if another may have it."""

    def reserve(self, path: str, size: int) -> Reservation:
        """Create an empty file, with room for `size` bytes, at a path where none is."""

    def write(self, path: str, content: bytes) -> None:
        """Write a whole file; a reader sees the old file or the new one."""

    def read(self, path: str) -> bytes:
        """Return the file's bytes.

        Raises:
            FileNotFoundError: nothing is there.
            ValueError, IsADirectoryError: what is there is no file that can be read, now or later.
            OSError: the place fails; another time it may not.
        """

    def read_many(self, paths: list[str]) -> Iterator[bytes | OSError | ValueError]:
        """Yield each file's bytes, or why it can't be read, in the order of the paths."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none if the folder is not there.

        Raises:
            NotADirectoryError: something else is in its place.
        """

    def move(self, path: str, new_path: str) -> None:
        """Give the file another path, replacing what is there."""

    def set_aside(self, path: str, place: str) -> None:
        """Move whatever is at a path into `unreadable/`, to a place there, or to one like it that is free."""

    def remove(self, paths: list[str]) -> None:
        """Remove files, those that are there. Until it returns, any of them may still be there or not."""

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Remove a folder with its files; with `only_empty`, leave one that holds anything."""


def numbered(name: str) -> Iterator[str]:
    """Yield names like one that is taken."""
    return (f"{name}~{number}" for number in itertools.count(2))


def names_in(storage: Storage, folder: str) -> list[str]:
    """Return the names in a folder; what is in its place and is no folder is set aside."""
    try:
        return storage.names(folder)
    except NotADirectoryError:
        set_aside(storage, folder, "it is no folder")
        return []


def set_aside(storage: Storage, path: str, reason: str) -> None:
    """Move what can't be read out of the way, and log it."""
    logger.error("journal %s: %s is set aside in %s/: %s", storage.url, clean(path), SET_ASIDE, clean(reason))
    storage.set_aside(path, path.removeprefix("drains/"))


def open_storage(url: str) -> Storage:
    """Return the storage that a `journal_url` names: a path, a `file://` URL, or an object store's.

    Raises:
        ConfigurationError: fsspec knows no such scheme.
    """
    from sms_source.journal.local_storage import LocalStorage

    scheme, separator, rest = url.partition("://")
    if not separator:
        return LocalStorage(Path(url).expanduser())
    if scheme == "file":
        return LocalStorage(Path(rest))
    from fsspec.registry import known_implementations

    from sms_source.journal.object_storage import ObjectStorage

    if scheme not in known_implementations:
        raise ConfigurationError(
            f"journal_url is {url!r}; expected a folder, or the URL of a store that fsspec knows, "
            "such as s3://bucket/prefix."
        )
    return ObjectStorage(url)
