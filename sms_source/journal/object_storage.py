"""The journal in an object store, through fsspec: for runners whose disk does not outlive them.

The store's acknowledgement of an upload stands for fsync. A store has no rename and no lock: an answer is a
second object beside its intent, which a reader prefers; and the journal is held by a lease, an object that
its holder writes again and again.
"""

import contextlib
import functools
import itertools
import math
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from dlt.common.configuration import resolve_configuration
from dlt.common.storages.configuration import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import fsspec_from_config

from sms_source.errors import JournalError, JournalLockedError

LEASE = "lease"
LEASE_SECONDS = 15.0
"""A holder whose lease has not changed for so long is dead; a living one renews it three times as often."""

SECTIONS = ("sources", "sms_source", "journal")
"""Where dlt looks for the store's credentials: `sources.sms_source.journal.credentials`, and upwards."""

F = TypeVar("F", bound=Callable[..., Any])


def _as_os_error(method: F) -> F:
    """Every client library has its own errors; the journal knows `OSError`."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    return call  # type: ignore[return-value]


class ObjectReservation:
    """An object that announces another."""

    def __init__(self, storage: "ObjectStorage", path: str) -> None:
        self._storage = storage
        self._path = path

    def fill(self, final_path: str, content: bytes) -> None:
        """Writes the object of the final name. The announcing one stays: a reader prefers this one."""
        self._storage.write(final_path, content)

    def discard(self) -> None:
        """Removes the object."""
        self._storage.remove([self._path])


class ObjectStorage:
    """A prefix of a bucket, one process at a time. See `sms_source.journal.storage.Storage` for the methods.

    Args:
        url: such as `s3://bucket/prefix`.
        file_system: an fsspec file system; by default the one that dlt makes of its configuration.
    """

    def __init__(self, url: str, file_system: fsspec.AbstractFileSystem | None = None) -> None:
        self.url = url.rstrip("/")
        self._given = file_system
        self._holders = 0
        self._mine = b""
        self._renewed_at = 0.0
        self._released = threading.Event()
        self._renewal: threading.Thread | None = None

    @functools.cached_property
    def _files(self) -> fsspec.AbstractFileSystem:
        if self._given is not None:
            return self._given
        configuration = resolve_configuration(FilesystemConfiguration(bucket_url=self.url), sections=SECTIONS)
        try:
            return fsspec_from_config(configuration)[0]
        except ImportError as error:
            raise JournalError(
                f"The journal {self.url} needs a package that is not installed ({error}): "
                "pip install 'dlt-tencent-sms[s3]', or fsspec's package for that store."
            ) from None

    def acquire(self, wait_seconds: float = 0.0) -> None:  # noqa: ARG002 - a lease is waited for by itself
        """Takes the lease, once its last holder is dead or has given it back."""
        self._take_lease()
        self._holders = 1

    def release(self) -> None:
        """Gives the lease back."""
        self._holders = 0
        if self._renewal is not None:
            self._released.set()
            self._renewal.join()
            with contextlib.suppress(OSError):
                if self._is_mine():
                    self.remove([LEASE])

    def _take_lease(self) -> None:
        """Raises `JournalLockedError` when another process renews the lease while this one watches."""
        self._mine = secrets.token_hex(8).encode()
        last = self._lease()
        deadline = time.monotonic() + LEASE_SECONDS
        while last and time.monotonic() < deadline:
            time.sleep(LEASE_SECONDS / 15)
            if (now := self._lease()) and now != last:
                raise JournalLockedError(
                    f"Another process is using the journal {self.url}. Replies are handed out once, so two "
                    "must not pull at the same time: wait until the other run has ended, or stop it."
                )
            last = now
        self._renew(0)
        time.sleep(LEASE_SECONDS / 15)  # of two that find it free at once, the one that wrote last has it
        if not self._is_mine():
            raise JournalLockedError(
                f"Another process has just taken the journal {self.url}. Run again later."
            )
        self._released.clear()
        self._renewal = threading.Thread(target=self._keep, name="journal-lease", daemon=True)
        self._renewal.start()

    def _keep(self) -> None:
        for count in itertools.count(1):
            if self._released.wait(LEASE_SECONDS / 3):
                return
            with contextlib.suppress(OSError):  # the store fails; the next pull's intent will tell
                if not self._is_mine():
                    self._renewed_at = -math.inf
                    return
                self._renew(count)

    def _renew(self, count: int) -> None:
        begun = time.monotonic()
        self.write(LEASE, b"%s %d" % (self._mine, count))
        self._renewed_at = begun

    def _is_mine(self) -> bool:
        return (self._lease() or b"").startswith(self._mine)

    def _check_lease(self) -> None:
        """Raises `OSError` in a process that others may take for dead: it slept, or lost the store."""
        if self._holders and time.monotonic() - self._renewed_at > LEASE_SECONDS:
            raise OSError("the lease could not be renewed in time, so another process may have the journal")

    def _lease(self) -> bytes | None:
        try:
            return self.read(LEASE)
        except FileNotFoundError:
            return None

    def _path(self, path: str) -> str:
        return f"{self.url}/{path}"

    @_as_os_error
    def reserve(self, path: str, size: int) -> "ObjectReservation":  # noqa: ARG002 - a bucket has room
        """Writes an empty object: proves that the store takes the answer, as far as that can be proved."""
        self._check_lease()
        self._files.pipe_file(self._path(path), b"")
        return ObjectReservation(self, path)

    @_as_os_error
    def write(self, path: str, content: bytes) -> None:
        """Writes a whole object."""
        self._files.pipe_file(self._path(path), content)

    @_as_os_error
    def read(self, path: str) -> bytes:
        """The object's bytes."""
        return bytes(self._files.cat_file(self._path(path)))

    @_as_os_error
    def names(self, folder: str) -> list[str]:
        """Names below the prefix, one level deep; the client pages through the listing."""
        try:
            entries = self._files.ls(self._path(folder), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (str(entry).rstrip("/").rpartition("/")[2] for entry in entries)
        return sorted(name for name in names if name and name != folder.rpartition("/")[2])

    @_as_os_error
    def move(self, path: str, new_path: str) -> None:
        """Copies the object, then removes the old one."""
        self._files.cp_file(self._path(path), self._path(new_path))
        self._files.rm_file(self._path(path))

    @_as_os_error
    def remove(self, paths: list[str]) -> None:
        """Removes objects, those that are there."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(path))

    @_as_os_error
    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Removes all below the prefix; an empty prefix does not exist."""
        if not only_empty:
            with contextlib.suppress(FileNotFoundError):
                self._files.rm(self._path(folder), recursive=True)
