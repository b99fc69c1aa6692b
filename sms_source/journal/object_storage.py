"""The journal in an object store, through fsspec: for runners whose disk does not outlive them.

The store's acknowledgement of an upload stands for fsync. A store has no rename and no lock: an answer is a
second object beside its intent, which a reader prefers; and the journal is held by a lease
(`sms_source.journal.lease`).
"""

import contextlib
import functools
import itertools
import logging
import threading
from collections.abc import Iterable, Iterator

import fsspec
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.storages.configuration import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import fsspec_from_config

from sms_source.errors import JournalError
from sms_source.journal import lease
from sms_source.journal.cells import PlainCell, S3Cell, as_os_error, has_conditional_writes
from sms_source.journal.lease import Cell, Lease
from sms_source.journal.storage import SET_ASIDE, numbered
from sms_source.settings import MAX_PULL_WORKERS

logger = logging.getLogger(__name__)

SECTIONS = ("sources", "sms_source", "journal")
"""Where dlt looks for the store's credentials: `sources.sms_source.journal.credentials`, and upwards."""

BULK = 1_000
"""Objects that S3 removes, or lists, in one request."""

READ_TOGETHER = 64
"""Objects that are read side by side: of answers of 40 kB, some megabytes."""

REMEMBERED_BYTES = 32 << 20
"""Bytes of answers that are remembered until they are archived, instead of read again."""


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """Keep what is resolved, keys among it, out of the trace that dlt writes of a run."""
    traces = get_resolved_traces()
    before, traces.logging_enabled = traces.logging_enabled, False
    try:
        yield
    finally:
        traces.logging_enabled = before


class ObjectReservation:
    """An object that announces another."""

    def __init__(self, storage: "ObjectStorage", path: str) -> None:
        self._storage = storage
        self._path = path

    def fill(self, final_path: str, content: bytes) -> None:
        """Write the object of the final name. The announcing one stays: a reader prefers this one."""
        self._storage.write(final_path, content)
        self._storage.remember(final_path, content)

    def discard(self) -> None:
        """Remove the object."""
        self._storage.remove([self._path])


class ObjectStorage:
    """A prefix of a bucket, for one user at a time. See `sms_source.journal.storage.Storage` for the methods.

    Args:
        url: such as `s3://bucket/prefix`.
        file_system: of fsspec; by default the one that dlt makes of its configuration.
    """

    def __init__(self, url: str, file_system: fsspec.AbstractFileSystem | None = None) -> None:
        self.url = url.rstrip("/")
        self._given = file_system
        self._lease: Lease | None = None
        self._remembered: dict[str, bytes] = {}
        self._remembered_bytes = 0
        self._lock = threading.Lock()

    @functools.cached_property
    def _files(self) -> fsspec.AbstractFileSystem:
        if self._given is not None:
            return self._given
        configuration = FilesystemConfiguration(bucket_url=self.url)
        with _untraced():
            configuration = resolve_configuration(configuration, sections=SECTIONS)
        if configuration.protocol in ("s3", "s3a"):  # whose client has ten connections, unless it is told
            options = configuration.kwargs or {}
            pool = {"max_pool_connections": MAX_PULL_WORKERS, **options.get("config_kwargs", {})}
            configuration.kwargs = {**options, "config_kwargs": pool}
        try:
            return fsspec_from_config(configuration)[0]
        except ImportError as error:
            raise JournalError(
                f"The journal {self.url} needs a package that is not installed ({error}): "
                "pip install 'dlt-tencent-sms[s3]', or fsspec's package for that store."
            ) from None

    @as_os_error
    def acquire(self, wait_seconds: float = 0.0) -> None:
        """Take the lease."""
        held = Lease(self._cell(), self.url)
        held.take(wait_seconds)
        self._lease = held

    def release(self) -> None:
        """Give the lease back."""
        if self._lease is not None:
            self._lease.give_back()
            self._lease = None

    @as_os_error
    def check_held(self) -> None:
        """Ask the store whether the lease is still this user's."""
        if self._lease is not None:
            self._lease.check()

    def _cell(self) -> Cell:
        """Return the lease's object, replaced by conditional writes where the store has them."""
        path = self._path(lease.FILE)
        if has_conditional_writes(self._files, self._path("lease-probe")):
            return S3Cell(self._files, path)
        logger.warning(
            "The store of the journal %s has no conditional writes, so two runs that begin in one second "
            "may not see each other: let whatever starts them start one at a time.",
            self.url,
        )
        return PlainCell(self._files, path)

    def _path(self, path: str) -> str:
        return f"{self.url}/{path}"

    @as_os_error
    def reserve(self, path: str, size: int) -> ObjectReservation:  # noqa: ARG002 - a bucket has room
        """Write an empty object: proves that the store takes the answer, as far as that can be proved."""
        if self._lease is not None:
            self._lease.check_clock()
        self._files.pipe_file(self._path(path), b"")
        return ObjectReservation(self, path)

    @as_os_error
    def write(self, path: str, content: bytes) -> None:
        """Write a whole object."""
        self._files.pipe_file(self._path(path), content)

    @as_os_error
    def read(self, path: str) -> bytes:
        """Return the object's bytes."""
        return bytes(self._files.cat_file(self._path(path)))

    def remember(self, path: str, content: bytes) -> None:
        """Have what the store has taken at hand when it is archived, as long as it is not too much."""
        with self._lock:
            if self._remembered_bytes + len(content) <= REMEMBERED_BYTES:
                self._remembered[path] = content
                self._remembered_bytes += len(content)

    def _forget(self, paths: Iterable[str]) -> None:
        with self._lock:
            for path in paths:
                self._remembered_bytes -= len(self._remembered.pop(path, b""))

    def read_many(self, paths: list[str]) -> Iterator[bytes | OSError]:
        """Yield each object's bytes, or why it can't be read, in the order of the paths."""
        for start in range(0, len(paths), READ_TOGETHER):
            batch = paths[start : start + READ_TOGETHER]
            known = {path: self._remembered[path] for path in batch if path in self._remembered}
            unknown = [path for path in batch if path not in known]
            found = dict(
                zip(unknown, self._read_together([self._path(path) for path in unknown]), strict=True)
            )
            for path in batch:
                yield known[path] if path in known else found[path]

    @as_os_error
    def _read_together(self, paths: list[str]) -> list[bytes | OSError]:
        if not paths:
            return []
        keys = [self._files._strip_protocol(path) for path in paths]  # noqa: SLF001
        found = self._files.cat(keys, on_error="return")
        contents: list[bytes | OSError] = []
        for key in keys:
            content = found[key]
            if isinstance(content, Exception) and not isinstance(content, OSError):
                content = OSError(f"{type(content).__name__}: {content}")
            contents.append(content)
        return contents

    @as_os_error
    def names(self, folder: str) -> list[str]:
        """Return the names below the prefix, one level deep; the client pages through the listing."""
        try:
            entries = self._files.ls(self._path(folder), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (str(entry).rstrip("/").rpartition("/")[2] for entry in entries)
        return sorted(name for name in names if name and name != folder.rpartition("/")[2])

    @as_os_error
    def move(self, path: str, new_path: str) -> None:
        """Copy the object, then remove the old one."""
        self._files.cp_file(self._path(path), self._path(new_path))
        self._files.rm_file(self._path(path))

    @as_os_error
    def set_aside(self, path: str, place: str) -> None:
        """Move an object, or all below a prefix, into `unreadable/`."""
        root = self._files._strip_protocol(self._path(path))  # noqa: SLF001
        for key in map(str, self._files.find(self._path(path))):
            below = key.removeprefix(root)
            wanted = f"{SET_ASIDE}/{place}{below}"
            places = itertools.chain([wanted], numbered(wanted))
            self.move(f"{path}{below}", next(p for p in places if not self._files.exists(self._path(p))))

    @as_os_error
    def remove(self, paths: list[str]) -> None:
        """Remove objects, those that are there."""
        self._forget(paths)
        self._remove([self._path(path) for path in paths])

    @as_os_error
    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Remove all below the prefix; an empty prefix does not exist."""
        if not only_empty:
            self._remove(self._files.find(self._path(folder)))

    def _remove(self, paths: list[str]) -> None:
        """Remove objects, in one request for each thousand where the client is S3's."""
        if len(paths) < 2 or not hasattr(self._files, "call_s3"):
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)
            return
        places = [self._files.split_path(path) for path in paths]
        for start in range(0, len(places), BULK):
            objects = [{"Key": key} for _, key, _ in places[start : start + BULK]]
            answer = self._files.call_s3(
                "delete_objects", Bucket=places[0][0], Delete={"Objects": objects, "Quiet": True}
            )
            if errors := answer.get("Errors"):  # the request itself succeeds
                first = errors[0]
                raise OSError(f"{len(errors)} objects could not be removed ({first.get('Code')})")
