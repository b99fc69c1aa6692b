"""The model's world on a real disk, with the product's `LocalStorage`."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sms_source.journal.local_storage import LocalReservation, LocalStorage
from tests.model.explore import Arrive, Run, Step
from tests.model.image import BROKEN, LOST, Image, Plan
from tests.model.world import World

RECORDED: list[Step] = [
    Arrive(5),
    Run(Plan(drain_pulls=2, nested=True)),
    Run(Plan(outcomes=(LOST,))),
    Arrive(3),
    Run(Plan(outcomes=(BROKEN,), refuses=frozenset({6}))),
    Run(Plan(replay=True)),
    Arrive(1),
    Run(),
]
"""A history whose system calls are recorded."""


class WatchedStorage(LocalStorage):
    """A storage that tells the world what is durable."""

    def __init__(self, root: Path, durable: Callable[[str], None]) -> None:
        super().__init__(root)
        self.reserved = ""
        self._durable = durable

    def reserve(self, path: str, size: int) -> LocalReservation:
        """Create an empty file with room."""
        reservation = super().reserve(path, size)
        self.reserved = path
        return reservation

    def write(self, path: str, content: bytes) -> None:
        """Write a whole file."""
        super().write(path, content)
        self._durable(path)

    def move(self, path: str, new_path: str) -> None:
        """Give a file another path."""
        super().move(path, new_path)
        self._durable(new_path)


class LocalWorld(World):
    """A world whose journal and spill are folders.

    Args:
        image: what is known from outside; its files are in the folder already.
        folder: in which they are.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        super().__init__(image)
        self.journal: Any = WatchedStorage(folder / "journal", self._durable)
        self.spill: Any = WatchedStorage(folder / "spill", self._durable)
        self._folder = folder

    def go_through(self, history: Iterable[Step]) -> None:
        """Have replies arrive, and run; nothing crashes."""
        for step in history:
            if isinstance(step, Arrive):
                self.queue += tuple(f"text {self.ticks} {n}" for n in range(step.count))
            elif isinstance(step, Run):
                self.run(step.plan)

    def image(self, *_brought_back: Any) -> Image:
        """Return what is there now, but for the lock and its holder."""
        journal, spill = _files(self._folder / "journal"), _files(self._folder / "spill")
        return replace(self.outside(), journal=journal, spill=spill)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "holder.json")
    }


def write_tree(folder: Path, tree: dict[str, bytes | None]) -> None:
    """Write what a crash left: files, and None for a folder."""
    folder.mkdir(mode=0o700)
    for path, content in sorted(tree.items()):
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(content)


class Unflushed:
    """In the place of the module `os`: flushes and reserves nothing, as nobody cuts the power."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        """Do nothing."""

    def posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        """Do nothing."""
