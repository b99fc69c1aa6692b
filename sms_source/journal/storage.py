"""Durable files under one URL: what the journal needs of a place to keep answers.

Paths are relative to the root and use `/`. Every method that writes returns only when what it wrote
survives a power cut (the file and its directory entry are flushed). `LocalStorage` is a folder on a
disk; another place to keep answers is another class with these methods.
"""

import functools
import os
import shutil
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from sms_source.errors import ConfigurationError, JournalLockedError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
LOCK_FILE = "lock"


class Storage(Protocol):
    """A place for the journal's files. Methods raise `OSError` when the place fails them."""

    url: str

    def acquire(self) -> None:
        """Takes the place for this process; re-entrant. Raises `JournalLockedError` if it is taken."""

    def release(self) -> None:
        """Gives back what `acquire` took."""

    def reserve(self, path: str, size: int) -> None:
        """Creates an empty file, with room for `size` bytes, at a path where none is."""

    def fill(self, path: str, final_path: str, content: bytes) -> None:
        """Writes the content into a reserved file, then gives it its final name, in one step."""

    def write(self, path: str, content: bytes) -> None:
        """Writes a whole file; a reader sees the old file or the new one."""

    def read(self, path: str) -> bytes:
        """The file's bytes. Raises `FileNotFoundError`."""

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none if the folder is not there."""

    def move(self, path: str, new_path: str) -> None:
        """Gives the file another path, replacing what is there."""

    def remove(self, path: str) -> None:
        """Removes a file, if it is there."""

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Removes a folder with its files; with `only_empty`, leaves one that holds anything."""


class LocalStorage:
    """A folder on a disk: folders 0700, files 0600, one process at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)
        # A singleton per path counts its acquisitions: the main job and the source it runs share it.
        self._lock = FileLock(
            self.root / LOCK_FILE, mode=FILE_MODE, blocking=False, is_singleton=True, thread_local=False
        )

    def acquire(self) -> None:
        self._make_folder(self.url)
        try:
            self._lock.acquire()
        except Timeout:
            raise JournalLockedError(
                f"Another process is using the journal {self.url}. Replies are handed out once, so two "
                "must not pull at the same time: wait until the other run has ended, or stop it."
            ) from None

    def release(self) -> None:
        self._lock.release()

    def reserve(self, path: str, size: int) -> None:
        target = f"{self.url}/{path}"
        folder = os.path.dirname(target)
        self._make_folder(folder)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            _allocate(descriptor, size)
        except OSError:
            os.unlink(target)
            raise
        finally:
            os.close(descriptor)
        _flush_folder(folder)

    def fill(self, path: str, final_path: str, content: bytes) -> None:
        descriptor = os.open(f"{self.url}/{path}", os.O_WRONLY)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.move(path, final_path)

    def write(self, path: str, content: bytes) -> None:
        draft = f"{path}.new"
        self._make_folder(os.path.dirname(f"{self.url}/{path}"))
        os.close(os.open(f"{self.url}/{draft}", os.O_WRONLY | os.O_CREAT, FILE_MODE))
        self.fill(draft, path, content)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root / folder))
        except FileNotFoundError:
            return []

    def move(self, path: str, new_path: str) -> None:
        target = f"{self.url}/{new_path}"
        folder = os.path.dirname(target)
        self._make_folder(folder)
        os.replace(f"{self.url}/{path}", target)
        _flush_folder(folder)

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        target = self.root / folder
        if only_empty:
            if target.is_dir() and not os.listdir(target):
                target.rmdir()
        else:
            shutil.rmtree(target, ignore_errors=False) if target.exists() else None

    def _make_folder(self, folder: str) -> None:
        """Creates a folder and its parents, each flushed into the one above it."""
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent)
        try:
            os.mkdir(folder, FOLDER_MODE)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
        _flush_folder(parent)


def open_storage(url: str) -> Storage:
    """The storage that a `journal_url` names: a path, a `file://` URL, or that of an object store.

    Raises:
        ConfigurationError: fsspec knows no such scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return LocalStorage(Path(url).expanduser())
    if scheme == "file":
        return LocalStorage(Path(rest))
    return _object_storage(url)


@functools.cache
def _object_storage(url: str) -> Storage:
    """One for each URL: the main job and the source it runs share the lease."""
    from fsspec.registry import known_implementations  # noqa: PLC0415 - most journals are folders

    from sms_source.journal.object_storage import ObjectStorage  # noqa: PLC0415

    if url.partition("://")[0] not in known_implementations:
        raise ConfigurationError(
            f"journal_url {url!r}: a folder is expected, or the URL of a store that fsspec knows, "
            "such as s3://bucket/prefix."
        )
    return ObjectStorage(url)


def _allocate(descriptor: int, size: int) -> None:
    """Reserves room on the disk, where the system can, so that a full disk shows before a pull."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _flush_folder(folder: str) -> None:
    """Flushes a directory's entries: a rename counts after a power cut only once they are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
