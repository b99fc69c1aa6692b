"""What may happen to a machine between two runs, beside the kill."""

import random
import shutil
from pathlib import Path

from tests.crash.folders import Folders

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
    """A DuckDB file that goes back in time.

    Args:
        folders: of the job that loads into it.
        copy: where an older copy is.
        dataset: the schema.
    """

    def __init__(self, folders: Folders, copy: Path, dataset: str) -> None:
        self._files = folders.database_files()
        self._copy = copy
        self._dataset = dataset

    def keep_copy(self) -> None:
        """Copy the database as it is now."""
        shutil.rmtree(self._copy, ignore_errors=True)
        self._copy.mkdir()
        for path in self._files:
            if path.exists():
                shutil.copy2(path, self._copy / path.name)

    def put_back(self) -> None:
        """Put the copy in the place of the database; without a copy, there is none then."""
        self.delete()
        for path in self._files:
            if (self._copy / path.name).exists():
                shutil.copy2(self._copy / path.name, path)

    def delete(self) -> None:
        """Delete the database."""
        for path in self._files:
            path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Drop the schema, with all that is in it."""
        import duckdb

        if self._files[0].exists():
            with duckdb.connect(str(self._files[0])) as connection:
                connection.execute(f"drop schema if exists {self._dataset} cascade")
