"""The journal's storage in memory, which knows what a crash at any moment may leave of it."""

from collections.abc import Callable, Iterator

Files = dict[str, bytes]

FOLDER, STORE = "folder", "store"
"""What a storage is like: a folder on a disk, or an object store."""

ROOM = b"\0" * 8
"""Of the room that is reserved behind an answer, as much as is needed to see it."""


class Disk:
    """A storage of the journal; see `sms_source.journal.storage.Storage` for the methods.

    What the contract promises is durable when a method returns. In its middle, each step that another
    process could meet is a moment of its own. Of the files that are being removed, any combination may still
    be there. That an intent was discarded is not promised at all: in a folder, a power cut may bring it back
    until the folder is flushed.

    Args:
        name: of the place.
        kind: `FOLDER` or `STORE`.
        files: what is there.
        moment: is told at each step what a crash would leave: files beside those of `files`, by their paths.
        durable: is told the path of each file that is durable now under its final name.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        files: Files,
        moment: Callable[[], None],
        durable: Callable[[str], None],
    ) -> None:
        self.url = name
        self.kind = kind
        self.files = files
        self.removed: Files = {}
        self.reserved = ""
        self.refuses: Callable[[str, str], bool] = lambda method, path: False
        self._moment = moment
        self._durable = durable

    def acquire(self, wait_seconds: float = 0.0) -> None:
        """There is one user."""

    def release(self) -> None:
        """There is one user."""

    def check_held(self) -> None:
        """There is one user."""

    def reserve(self, path: str, size: int) -> "DiskReservation":  # noqa: ARG002 - memory has room
        """Create an empty file."""
        self._begin("reserve", path)
        self._put(path, b"")
        self._moment()
        self.reserved = path
        return DiskReservation(self, path)

    def write(self, path: str, content: bytes) -> None:
        """Write a file; in a folder, a draft and then its name."""
        self._begin("write", path)
        if self.kind == FOLDER:
            for part in (b"", content[: len(content) // 2], content):
                self.files[f"{path}.new"] = part
                self._moment()
            del self.files[f"{path}.new"]
        self._put(path, content)
        self._durable(path)
        self._moment()

    def fill(self, path: str, final_path: str, content: bytes) -> None:
        """Fill a reservation."""
        self._begin("fill", final_path)
        if self.kind == FOLDER:
            for cut in sorted({0, len(content) // 2, len(content) - 2, len(content)}):
                self.files[path] = content[:cut] + ROOM
                self._moment()
            self.files[path] = content
            self._moment()
            del self.files[path]
        self._put(final_path, content)
        self._durable(final_path)
        self._moment()

    def read(self, path: str) -> bytes:
        """Return what a file holds."""
        self._begin("read", path)
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def read_many(self, paths: list[str]) -> Iterator[bytes | OSError | ValueError]:
        """Yield what each file holds, or why it can't be read."""
        for path in paths:
            try:
                yield self.read(path)
            except OSError as error:
                yield error

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        self._begin("names", folder)
        prefix = f"{folder}/" if folder else ""
        return sorted({path[len(prefix) :].split("/")[0] for path in self.files if path.startswith(prefix)})

    def move(self, path: str, new_path: str) -> None:
        """Give a file another path; in a store, a copy and then a removal."""
        if path not in self.files:
            raise FileNotFoundError(path)
        self._begin("move", path)
        content = self.files[path]
        if self.kind == STORE:  # a copy, and then a removal
            self.files[new_path] = content
            self._moment()
        self._put(new_path, content)
        self._take(path)
        if self.kind == STORE:
            self._flush(path)
        self._durable(new_path)
        self._moment()

    def set_aside(self, path: str, place: str) -> None:
        """Move a file to where a person finds it."""
        self.move(path, f"unreadable/{place}")

    def remove(self, paths: list[str]) -> None:
        """Remove files, one after the other."""
        there = [path for path in paths if path in self.files]
        for path in there:
            self._begin("remove", path)
            self._take(path)
            self._moment()
        for path in there:
            self._flush(path)
        if there:
            self._moment()

    def discard(self, path: str) -> None:
        """Remove a reservation."""
        self._begin("discard", path)
        self._take(path)
        if self.kind == STORE:
            self._flush(path)
        self._moment()

    def remove_folder(self, folder: str, *, only_empty: bool = False) -> None:
        """Remove all below a folder; an empty one does not exist."""
        if not only_empty:
            self.remove([path for path in sorted(self.files) if path.startswith(f"{folder}/")])

    def _begin(self, method: str, path: str) -> None:
        if self.refuses(method, path):
            raise OSError(f"{self.url} refuses to {method} {path}")

    def _put(self, path: str, content: bytes) -> None:
        """Have a file, and its folder flushed."""
        self.files[path] = content
        self._flush(path)

    def _flush(self, path: str) -> None:
        """Have what was removed from the folder of a file stay removed."""
        folder = path.rpartition("/")[0]
        for other in [other for other in self.removed if other.rpartition("/")[0] == folder]:
            del self.removed[other]

    def _take(self, path: str) -> None:
        """Remove a file, which is not flushed."""
        self.removed[path] = self.files.pop(path)


class DiskReservation:
    """An empty file with room for an answer."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path

    def fill(self, final_path: str, content: bytes) -> None:
        """Write the content, and give the file its final name."""
        self._disk.fill(self._path, final_path, content)

    def discard(self) -> None:
        """Remove the file."""
        self._disk.discard(self._path)
