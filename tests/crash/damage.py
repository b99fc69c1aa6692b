"""What may happen to a machine between two runs, beside the kill."""

import random
import shutil
from pathlib import Path

TEARS = ("empty", "half", "zeros", "missing", "a plain file")
"""What a power cut makes of files that nobody flushed; the last one is for the directory itself."""


def tear(directory: Path, kind: str, draw: random.Random) -> None:
    """Damage half of the files of a directory, or put a plain file in its place."""
    if not directory.is_dir():
        return
    if kind == "a plain file":
        shutil.rmtree(directory)
        directory.write_text("not a directory")
        return
    for path in sorted(directory.rglob("*")):
        if path.is_file() and draw.random() < 0.5:
            content = path.read_bytes()
            if kind == "missing":
                path.unlink()
            elif kind == "zeros":
                path.write_bytes(bytes(len(content)))
            else:
                path.write_bytes(content[: len(content) // 2 if kind == "half" else 0])


class Warehouse:
    """A warehouse whose files go back in time.

    Args:
        folder: in which they are.
        pattern: of their names.
        copy: a folder for an older copy of them.
    """

    def __init__(self, folder: Path, pattern: str, copy: Path) -> None:
        self._folder = folder
        self._pattern = pattern
        self._copy = copy

    def keep_copy(self) -> None:
        """Copy the warehouse as it is now."""
        shutil.rmtree(self._copy, ignore_errors=True)
        self._copy.mkdir()
        self._copy_files(self._folder, self._copy)

    def put_back(self) -> None:
        """Put the copy in the place of the warehouse; without a copy, there is none then."""
        self.delete()
        self._copy_files(self._copy, self._folder)

    def delete(self) -> None:
        """Delete the warehouse."""
        for path in self._folder.glob(self._pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _copy_files(self, folder: Path, to: Path) -> None:
        for path in folder.glob(self._pattern):
            if path.is_dir():
                shutil.copytree(path, to / path.name)
            else:
                shutil.copy2(path, to / path.name)
