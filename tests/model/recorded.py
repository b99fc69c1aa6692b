"""The system calls of `LocalStorage`, recorded, and what a crash after each of them may leave on a disk."""

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sms_source.journal import local_storage, writer

Entry = int | None
"""A file's number; None for a folder."""


@dataclass
class _File:
    """A file's content, now and as it was flushed last; None before the first flush."""

    content: bytes = b""
    flushed: bytes | None = None


@dataclass
class _Folder:
    """A folder's entries as they were flushed last, and the changes since then."""

    entries: dict[str, Entry] = field(default_factory=dict)
    changes: list[tuple[tuple[str, Entry, bool], ...]] = field(default_factory=list)


class RecordedDisk:
    """What is on the disk, and what of it would survive a power cut, by the calls so far.

    POSIX promises that a file's content is there after an fsync of the file, and a folder's entry after an
    fsync of the folder; a rename within a folder is one change. All else may be lost, in any combination.
    """

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {"": _Folder()}
        self._files: list[_File] = []

    def trees(self, draw: random.Random, draws: int) -> Iterator[dict[str, bytes | None]]:
        """Yield what may be there after a crash: the files' contents by their paths, None for a folder.

        The first one is after a kill, where nothing is lost; then nothing that was not flushed is there; then
        come as many draws.
        """
        yield self._tree(lambda: True, lambda file: file.content)
        yield self._tree(lambda: False, lambda file: file.flushed or b"")
        for _ in range(draws):
            yield self._tree(lambda: draw.random() < 0.5, lambda file: draw.choice(list(_versions(file))))

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        self._folders[path] = _Folder()
        self._change(path, None)

    def create(self, path: str) -> int:
        """Make a file; return its number."""
        self._files.append(_File())
        self._change(path, len(self._files) - 1)
        return len(self._files) - 1

    def write(self, number: int, offset: int, content: bytes) -> None:
        """Write into a file."""
        file = self._files[number]
        file.content = file.content[:offset] + content + file.content[offset + len(content) :]

    def resize(self, number: int, size: int) -> None:
        """Cut or enlarge a file."""
        file = self._files[number]
        file.content = file.content[:size].ljust(size, b"\0")

    def flush(self, what: int | str) -> None:
        """Flush a file, by its number, or a folder, by its path."""
        if isinstance(what, int):
            self._files[what].flushed = self._files[what].content
        else:
            folder = self._folders[what]
            folder.entries, folder.changes = self._entries(folder, lambda: True), []

    def rename(self, path: str, new_path: str) -> None:
        """Give a file another path."""
        folder, name = _split(path)
        new_folder, new_name = _split(new_path)
        entry = self._entries(self._folders[folder], lambda: True)[name]
        if folder == new_folder:
            self._folders[folder].changes.append(((name, None, False), (new_name, entry, True)))
        else:
            self._change(new_path, entry)
            self._folders[folder].changes.append(((name, None, False),))

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder."""
        folder, name = _split(path)
        self._folders[folder].changes.append(((name, None, False),))

    def _change(self, path: str, entry: Entry) -> None:
        folder, name = _split(path)
        self._folders[folder].changes.append(((name, entry, True),))

    @staticmethod
    def _entries(folder: _Folder, survives: Callable[[], bool]) -> dict[str, Entry]:
        entries = dict(folder.entries)
        for change in folder.changes:
            if survives():
                for name, entry, is_there in change:
                    if is_there:
                        entries[name] = entry
                    else:
                        entries.pop(name, None)
        return entries

    def _tree(
        self, survives: Callable[[], bool], content: Callable[[_File], bytes], path: str = ""
    ) -> dict[str, bytes | None]:
        tree: dict[str, bytes | None] = {}
        for name, entry in self._entries(self._folders[path], survives).items():
            place = f"{path}/{name}" if path else name
            if entry is None:
                tree[place] = None
                tree |= self._tree(survives, content, place)
            else:
                tree[place] = content(self._files[entry])
        return tree


def _versions(file: _File) -> Iterator[bytes]:
    """Yield what a power cut may leave of a file's content."""
    if file.flushed is not None:
        yield file.flushed
    if file.flushed != file.content:
        half = len(file.content) // 2
        yield from (
            b"",
            file.content,
            file.content[:half],
            file.content[:half].ljust(len(file.content), b"\0"),
        )


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


class Calls:
    """In the place of the module `os`: makes each call, and records it.

    Args:
        root: of what is recorded.
        disk: is told.
        after: is called after each call that changes something.
    """

    def __init__(self, root: Path, disk: RecordedDisk, after: Callable[[], None]) -> None:
        self._root = root
        self._disk = disk
        self._after = after
        self._open: dict[int, int | str] = {}
        self._numbers: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        place = self._place(path)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._open[descriptor] = place
        elif flags & os.O_CREAT:
            self._open[descriptor] = self._disk.create(place)
            self._after()
        return descriptor

    def write(self, descriptor: int, content: bytes) -> int:
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        written = os.write(descriptor, content)
        number = self._open[descriptor]
        assert isinstance(number, int)
        self._disk.write(number, offset, bytes(content[:written]))
        self._after()
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)
        self._resize(descriptor, size)

    def posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        os.posix_fallocate(descriptor, offset, size)
        self._resize(descriptor, offset + size)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self._disk.flush(self._open[descriptor])
        self._after()

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        os.close(descriptor)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)
        self._disk.make_folder(self._place(path))
        self._after()

    def replace(self, path: str, new_path: str) -> None:
        os.replace(path, new_path)
        self._disk.rename(self._place(path), self._place(new_path))
        self._after()

    def unlink(self, path: str) -> None:
        os.unlink(path)
        self._disk.remove(self._place(path))
        self._after()

    def rmdir(self, path: str) -> None:
        os.rmdir(path)
        self._disk.remove(self._place(path))
        self._after()

    def rmtree(self, path: str) -> None:
        """In the place of `shutil.rmtree`."""
        for name in sorted(os.listdir(path)):
            inner = f"{path}/{name}"
            (self.rmtree if os.path.isdir(inner) else self.unlink)(inner)
        self.rmdir(path)

    def _resize(self, descriptor: int, size: int) -> None:
        number = self._open[descriptor]
        assert isinstance(number, int)
        self._disk.resize(number, size)
        self._after()

    def _place(self, path: str) -> str:
        return "" if Path(path) == self._root else str(Path(path).relative_to(self._root))


@contextmanager
def recording(calls: Calls) -> Iterator[None]:
    """Have `LocalStorage` make its system calls by these; little room is reserved for an answer."""
    with (
        patch.object(local_storage, "os", calls),
        patch.object(local_storage, "shutil", calls),
        patch.object(writer, "JOURNAL_RESERVE", 64),
    ):
        yield
