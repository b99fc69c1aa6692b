"""The journal in a folder on a disk: folders 0700, files 0600, one user at a time."""

import contextlib
import errno
import itertools
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from sms_source.errors import JournalError, JournalLockedError
from sms_source.journal.storage import SET_ASIDE, numbered

FOLDER_MODE = 0o700
FILE_MODE = 0o600
LOCK_FILE = "lock"
HOLDER_FILE = "holder.json"

_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM)
"""Errors of opening a link, a socket, and what this user may not read."""

Made = TypeVar("Made")


class LocalReservation:
    """A file that is open, with room on the disk behind it."""

    def __init__(self, storage: "LocalStorage", path: str, descriptor: int) -> None:
        self._storage = storage
        self._path = path
        self._descriptor = descriptor

    def fill(self, final_path: str, content: bytes) -> None:
        """Write the content through to the disk, then rename."""
        try:
            _write_through(self._descriptor, content)
        finally:
            self._close()
        self._storage.move(self._path, final_path)

    def discard(self) -> None:
        """Remove the file. Not flushed: brought back by a power cut, it is a pull in doubt.

        One that can't be removed is still open, to be filled.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._storage.url}/{self._path}")
        with contextlib.suppress(OSError):  # the file is gone, whatever is said of its content
            self._close()

    def _close(self) -> None:
        """Close the file, and forget its number: also when that fails, the next file opened may have it."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class LocalStorage:
    """A folder on a disk. See `sms_source.journal.storage.Storage` for the methods."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(self.root)
        # Not filelock's singleton: a second user in this process is refused like one in another.
        self._lock = FileLock(self.root / LOCK_FILE, mode=FILE_MODE, thread_local=False)

    def acquire(self, wait_seconds: float = 0.0) -> None:
        self._make_folder(self.url)
        self._check_root()
        try:
            self._lock.acquire(timeout=wait_seconds)
        except Timeout:
            raise JournalLockedError(
                f"The journal {self.url} is in use by {self._holder()}. Records are handed out once, so two "
                "must not pull at the same time: wait until the other run has ended, or stop it."
            ) from None
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
        with contextlib.suppress(OSError):  # it only explains
            self._replace(HOLDER_FILE, json.dumps(holder).encode(), flush=False)

    def release(self) -> None:
        self._lock.release()

    def check_held(self) -> None:
        """Do nothing: a process keeps its lock for as long as it lives, paused or not."""

    def reserve(self, path: str, size: int) -> LocalReservation:
        target = f"{self.url}/{path}"
        descriptor = self._in_folder(
            target, lambda: os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        )
        try:
            _allocate(descriptor, size)
            _flush_folder(os.path.dirname(target))
        except OSError:
            try:
                os.unlink(target)
            finally:
                os.close(descriptor)
            raise
        return LocalReservation(self, path, descriptor)

    def write(self, path: str, content: bytes) -> None:
        self._replace(path, content, flush=True)

    def read(self, path: str) -> bytes:
        # What somebody has put there may be a link, or a pipe, which would be waited for.
        try:
            descriptor = os.open(f"{self.url}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise ValueError(f"it is no file that can be read: {error.strerror}") from None
            raise
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if not stat.S_ISREG(mode):
                raise ValueError("it is no file, but a pipe or a device")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def read_many(self, paths: list[str]) -> Iterator[bytes | OSError | ValueError]:
        for path in paths:
            try:
                yield self.read(path)
            except (OSError, ValueError) as error:
                yield error

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(f"{self.url}/{folder}"))
        except FileNotFoundError:
            return []

    def move(self, path: str, new_path: str) -> None:
        target = f"{self.url}/{new_path}"
        self._in_folder(target, lambda: os.replace(f"{self.url}/{path}", target))
        _flush_folder(os.path.dirname(target))

    def set_aside(self, path: str, place: str) -> None:
        root = f"{self.url}/{SET_ASIDE}"
        if os.path.lexists(root) and not os.path.isdir(root):
            os.replace(root, next(filter(_is_free, numbered(root))))
        if _is_free(f"{self.url}/{path}"):  # it was that
            return
        for free in itertools.chain([place], numbered(os.path.basename(place))):
            if _is_free(f"{root}/{free}"):
                with contextlib.suppress(FileExistsError, NotADirectoryError):  # its folder there is a file
                    self.move(path, f"{SET_ASIDE}/{free}")
                    return

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            self._remove(path)
        for folder in {os.path.dirname(f"{self.url}/{path}") for path in paths}:
            with contextlib.suppress(FileNotFoundError):
                _flush_folder(folder)

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        target = f"{self.url}/{folder}"
        if only_empty:
            with contextlib.suppress(OSError):  # it holds something, or is not there
                os.rmdir(target)
        elif os.path.isdir(target):
            shutil.rmtree(target)

    def _remove(self, path: str) -> None:
        try:
            os.unlink(f"{self.url}/{path}")
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError):  # a folder, which macOS says so of
            if not os.path.isdir(f"{self.url}/{path}"):
                raise
            self.set_aside(path, path)

    def _replace(self, path: str, content: bytes, *, flush: bool) -> None:
        """Write beside the file, then rename; never through a link that somebody has put there."""
        target = f"{self.url}/{path}"
        draft = f"{target}.new"
        self._make_folder(os.path.dirname(target))
        self._remove(f"{path}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        try:
            _write_through(descriptor, content, flush=flush)
        finally:
            os.close(descriptor)
        os.replace(draft, target)
        if flush:
            _flush_folder(os.path.dirname(target))

    def _in_folder(self, target: str, make: Callable[[], Made]) -> Made:
        """Make a file; its folder is there nearly always, so it is made only once it is missed."""
        try:
            return make()
        except FileNotFoundError:
            self._make_folder(os.path.dirname(target))
            return make()

    def _make_folder(self, folder: str) -> None:
        """Create a folder and its parents, each flushed into the one above it."""
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

    def _check_root(self) -> None:
        """Refuse a folder in which somebody else can put files; make one's own private."""
        status = os.stat(self.url)
        if status.st_uid != os.geteuid():
            raise JournalError(
                f"The journal {self.url} is another user's folder (uid {status.st_uid}, this is "
                f"{os.geteuid()}), who could change what is in it. Choose a folder of your own as "
                "journal_url."
            )
        if stat.S_IMODE(status.st_mode) != FOLDER_MODE:
            os.chmod(self.url, FOLDER_MODE)

    def _holder(self) -> str:
        try:
            holder = json.loads(self.read(HOLDER_FILE))
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _is_free(path: str) -> bool:
    return not os.path.lexists(path)


def _write_through(descriptor: int, content: bytes, *, flush: bool = True) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.ftruncate(descriptor, len(content))
    if flush:
        os.fsync(descriptor)


def _allocate(descriptor: int, size: int) -> None:
    """Reserve room on the disk, where the system can, so that a full disk shows before a pull."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _flush_folder(folder: str) -> None:
    """Flush a directory's entries: a rename counts after a power cut only once they are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
