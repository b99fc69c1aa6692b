"""Whatever somebody has put into the journal's folder: it is set aside, and no run is stopped by it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.journals import WEEK, keep_answer

DRAIN = "20260101T000000000000Z-0123abcd"
PULL = "000001.replies.1400006666.ap-guangzhou.100.20260101T000000000000Z"
BUNDLE = "20260101T000000000000Z-20260101T000000000000Z-0123abcd.0123abcd.0.1.5.zip"


def folder(path: Path) -> None:
    """Make a folder with a file in it."""
    path.mkdir(parents=True)
    (path / "mine").write_text("mine")


def file(path: Path) -> None:
    """Make a file with notes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


def link(path: Path) -> None:
    """Make a link to a file that is nobody's business."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/etc/hostname")


def pipe(path: Path) -> None:
    """Make a pipe that nobody writes into: whoever reads it waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def run(path: Path) -> list[str]:
    """Do what a run does to a journal: pull, then read and archive all that waits; return the pulls."""
    with Journal(str(path)) as journal:
        drain = journal.open_drain()
        pull = keep_answer(drain)
        items = journal.unloaded()
        read = [each.pull_id for item in items for each in journal.read(item) if not each.in_doubt]
        assert pull.pull_id in read
        journal.commit(items, str(time.time()), WEEK)
        return read


@pytest.mark.parametrize("put", [folder, file, link, pipe])
@pytest.mark.parametrize(
    "place",
    [
        "drains",
        "drains/@eaDir",
        f"drains/{DRAIN}",
        f"drains/{DRAIN}/notes",
        f"drains/{DRAIN}/{PULL}.answer",
        f"drains/{DRAIN}/{PULL}.answer.new",
        f"drains/{DRAIN}/{PULL}.intent",
        f"drains/{BUNDLE}",
        "archive",
        f"archive/{BUNDLE}",
        f"archive/{BUNDLE}.new",
        "journal.json",
        "journal.json.new",
        "unreadable",
        "notes",
    ],
)
def test_what_is_not_the_journal_s_stops_no_run(
    tmp_path: Path, place: str, put: Callable[[Path], None]
) -> None:
    """Not the first time, and not when somebody, such as a file server, puts it there again."""
    path = tmp_path / "journal"
    for _ in range(4):
        if not os.path.lexists(path / place):
            path.mkdir(mode=0o700, exist_ok=True)
            put(path / place)
        assert len(run(path)) == 1
    with Journal(str(path)) as journal:
        journal.give_again()
        items = journal.unloaded()
        assert len([pull for item in items for pull in journal.read(item) if not pull.in_doubt]) >= 1
        journal.commit(items, str(time.time()), WEEK)


def test_a_name_drives_no_terminal_and_forges_no_line(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The names of files are other people's words, too."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    file(warehouse.folder / "sms_journal" / "drains" / "\x1b[2J\nERROR: forged")
    status, _, err = job()
    assert status == 0
    assert "\x1b" not in err
    assert not any(line.startswith("ERROR: forged") for line in err.splitlines())
