"""A history of runs in a process of its own: what the recording of it says, and what strace saw.

    strace … python -m tests.model.system_calls FOLDER LOG

Goes through the history in FOLDER, which is empty, and writes into LOG what `tests.model.recorded.Calls`
records of it: a line of JSON for each call that changes something below the folder, or flushes it.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.model.image import Image
from tests.model.local import RECORDED, LocalWorld
from tests.model.recorded import Calls, recording
from tests.model.stand_ins import in_place

Call = tuple[str, ...]
"""Its name, and the paths and sizes that it is about."""

TRACED = (
    "openat,write,pwrite64,writev,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,rename,"
    "renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
"""All with which files and folders are changed or flushed."""

NOT_JOURNAL = ("lock", "holder.json", "holder.json.new")
"""Files by which users of a folder meet; no run reads them after a crash."""

_LINE = re.compile(r"(?:\d+ +)?(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_PATH = re.compile(r'"([^"]*)"|\d+<([^>]*)>')


class CallLog:
    """What `Calls` tells a disk, a line each."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._paths: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.calls.append((name, *map(str, arguments)))

        return note

    def create(self, path: str) -> int:
        """Note a new file; return its number."""
        self.calls.append(("create", path))
        self._paths.append(path)
        return len(self._paths) - 1

    def write(self, number: int, _offset: int, content: bytes) -> None:
        """Note how much was written."""
        self.calls.append(("write", self._paths[number], str(len(content))))

    def resize(self, number: int, size: int) -> None:
        """Note a file's new size."""
        self.calls.append(("resize", self._paths[number], str(size)))

    def flush(self, what: int | str) -> None:
        """Note what is flushed: a file, or a folder."""
        self.calls.append(("flush", self._paths[what] if isinstance(what, int) else what))


def record(folder: Path) -> list[Call]:
    """Go through the history in an empty folder; return what is recorded."""
    log = CallLog()
    calls: Any = Calls(folder, log, lambda: None)  # type: ignore[arg-type]
    logging.disable(logging.CRITICAL)
    with in_place(), recording(calls):
        LocalWorld(Image(), folder).go_through(RECORDED)
    return [call for call in log.calls if Path(call[1]).name not in NOT_JOURNAL]


def traced(folder: Path, trace: str) -> list[Call]:
    """Return what strace saw of what changes something below a folder, in the words of the recording."""
    calls: list[Call] = []
    for line in trace.splitlines():
        if (found := _LINE.match(line)) and not found["result"].startswith("-"):
            paths = [Path(quoted or named) for quoted, named in _PATH.findall(found["arguments"])]
            inside = [str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder)]
            if inside and Path(inside[0]).name not in NOT_JOURNAL:
                calls += _in_words(found["name"], inside, found["arguments"], found["result"])
    return [tuple("" if part == "." else part for part in call) for call in calls]


def _in_words(name: str, paths: list[str], arguments: str, result: str) -> Iterator[Call]:
    if name == "openat":
        if "O_CREAT" in arguments:
            yield "create", paths[0]
    elif name == "write":
        yield "write", paths[0], result
    elif name == "ftruncate":
        yield "resize", paths[0], arguments.rpartition(" ")[2]
    elif name == "fallocate":
        offset, size = map(int, arguments.split(", ")[-2:])
        yield "resize", paths[0], str(offset + size)
    elif name == "fsync":
        yield "flush", paths[0]
    elif name in ("unlink", "rmdir"):
        yield "remove", paths[0]
    else:
        yield {"mkdir": "make_folder"}.get(name, name), *paths


if __name__ == "__main__":
    Path(sys.argv[2]).write_text("".join(json.dumps(call) + "\n" for call in record(Path(sys.argv[1]))))
