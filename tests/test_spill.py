"""Answers that the journal refused: in files beside it, or in memory, and on into the journal."""

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.spill import Spill, data_directory

DRAIN = "20261124T132000000000Z-0123abcd"
PATH = f"drains/{DRAIN}/000001.replies.1400006666.ap-guangzhou.100.20261124T132000000000Z.answer"
OTHER = PATH.replace("000001", "000002")


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    """Nothing was refused yet."""
    return Spill("01234567", root=tmp_path / "spill")


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Provide the journal's storage, which takes files again."""
    return LocalStorage(tmp_path / "journal")


def refuse(spill: Spill) -> None:
    """Have a file stand where the spill's folder would be: not even root can write there."""
    spill.root.parent.mkdir(parents=True, exist_ok=True)
    spill.root.write_text("")


def test_an_answer_goes_into_a_file_that_only_its_owner_reads(
    spill: Spill, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is for now, the log says."""
    spill.keep(PATH, b"answer")
    assert f"An answer is in {spill.root} until the journal takes it." in caplog.text
    kept = spill.root / PATH
    assert kept.read_bytes() == b"answer"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert spill.root.stat().st_mode & 0o777 == 0o700


def test_the_next_run_takes_it_into_the_journal(spill: Spill, storage: LocalStorage) -> None:
    """And leaves nothing behind; a second time changes nothing."""
    spill.keep(PATH, b"answer")
    assert spill.is_in_use()
    for _ in range(2):
        Spill("01234567", root=spill.root).take_into(storage)
        assert storage.read(PATH) == b"answer"
        assert not spill.is_in_use()


def test_what_no_disk_takes_is_tried_again(
    spill: Spill, storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in memory until the journal takes it, and the log says so."""
    refuse(spill)
    spill.keep(PATH, b"answer")
    assert "in this process's memory alone" in caplog.text
    assert spill.in_memory(DRAIN) == {PATH.rpartition("/")[2]: b"answer"}
    assert not spill.is_in_use()
    assert spill.save_again(storage) == 0
    assert storage.read(PATH) == b"answer"


def test_what_still_has_no_place_is_counted(spill: Spill, tmp_path: Path) -> None:
    """So that a run that must end can tell how much ends with it."""
    refuse(spill)
    spill.keep(PATH, b"answer")
    (tmp_path / "file").write_text("")
    assert spill.save_again(LocalStorage(tmp_path / "file")) == 1


def test_what_is_loaded_is_forgotten(spill: Spill) -> None:
    """In memory: the rows are in the warehouse, and the archive has the answer."""
    refuse(spill)
    spill.keep(PATH, b"answer")
    spill.forget(DRAIN)
    assert spill.in_memory(DRAIN) == {}


def test_an_answer_in_a_file_is_forgotten_once_the_journal_has_it(
    spill: Spill, storage: LocalStorage
) -> None:
    """Also one of a drain whose other answers are loaded: it may be nowhere else."""
    spill.keep(PATH, b"answer")
    spill.forget(DRAIN)
    spill.take_into(storage)
    assert storage.read(PATH) == b"answer"
    assert not spill.is_in_use()


def test_an_answer_that_comes_while_others_are_taken_in_is_there_for_the_next_time(
    spill: Spill, tmp_path: Path
) -> None:
    """The journal may be a slow store, which its worker does not wait for."""

    class SlowStorage(LocalStorage):
        def write(self, path: str, content: bytes) -> None:
            worker = threading.Thread(target=spill.keep, args=(OTHER, b"another"), daemon=True)
            worker.start()
            worker.join(10)
            super().write(path, content)

    spill.keep(PATH, b"answer")
    spill.take_into(SlowStorage(tmp_path / "journal"))
    assert (spill.root / OTHER).read_bytes() == b"another"
    storage = LocalStorage(tmp_path / "journal")
    spill.take_into(storage)
    assert [storage.read(path) for path in (PATH, OTHER)] == [b"answer", b"another"]
    assert not spill.is_in_use()


def test_an_answer_that_is_being_written_is_not_taken_for_what_a_kill_left(
    spill: Spill, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its draft is in the folder while another thread takes in what is there, and becomes the answer."""
    has_draft = threading.Event()
    worker = threading.Thread(target=spill.keep, args=(OTHER, b"another"))
    names, rename = spill._files.names, os.replace

    def list_with_a_draft(folder: str) -> list[str]:
        if folder.endswith(DRAIN):
            worker.start()
            assert has_draft.wait(10)
        return names(folder)

    def rename_slowly(draft: str, path: str) -> None:
        if path.endswith(OTHER):
            has_draft.set()
            time.sleep(0.2)
        rename(draft, path)

    spill.keep(PATH, b"answer")
    with monkeypatch.context() as slow:
        slow.setattr(spill._files, "names", list_with_a_draft)
        slow.setattr(os, "replace", rename_slowly)
        spill.take_into(storage)
        worker.join()
    assert spill.in_memory(DRAIN) == {}
    assert (spill.root / OTHER).read_bytes() == b"another"


def test_a_damaged_file_is_set_aside(
    spill: Spill, storage: LocalStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person can look at it; the others go into the journal."""
    spill.keep(PATH, b"damaged")
    spill.keep(OTHER, b"answer")
    read = spill._files.read

    def fail(path: str) -> bytes:
        if path == PATH:
            raise ValueError("the file was changed")
        return read(path)

    monkeypatch.setattr(spill._files, "read", fail)
    with caplog.at_level(logging.ERROR):
        spill.take_into(storage)
    assert "set aside in unreadable/" in caplog.text
    assert (spill.root / "unreadable" / PATH.partition("/")[2]).read_bytes() == b"damaged"
    assert storage.read(OTHER) == b"answer"


def test_it_is_beside_what_a_run_throws_away(own_folders: Path) -> None:
    """dlt's data directory stays; the working directory in it is disposable."""
    assert data_directory() == own_folders.parent / "dlt" / "sms_source"
