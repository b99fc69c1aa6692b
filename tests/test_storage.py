"""A folder on a disk as the journal's place: private, flushed, and never through somebody else's link."""

import errno
import os
import stat
from pathlib import Path

import pytest

from sms_source.errors import JournalError
from sms_source.journal.local_storage import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Provide an empty place."""
    return LocalStorage(tmp_path / "journal")


def have_closing_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each file be closed, and the system say that it failed, as a disk across a network does."""
    close = os.close

    def fail(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", fail)


def test_room_that_can_not_be_had_is_given_back(storage: LocalStorage) -> None:
    """A disk too full for an answer is not filled further by an intent."""
    with pytest.raises(OSError, match=r"large|space"):
        storage.reserve("drains/d/1.intent", 1 << 60)
    assert storage.names("drains/d") == []


def test_a_reservation_becomes_the_answer_in_one_step(storage: LocalStorage) -> None:
    """Under its first name until it is whole, without the room that it did not need."""
    reservation = storage.reserve("d/1.intent", 1 << 20)
    assert (storage.root / "d/1.intent").stat().st_size == 1 << 20
    reservation.fill("d/1.answer", b"content")
    assert storage.names("d") == ["1.answer"]
    assert storage.read("d/1.answer") == b"content"
    storage.reserve("d/2.intent", 10).discard()
    assert storage.names("d") == ["1.answer"]


def test_a_file_that_can_not_be_closed_is_removed_all_the_same(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was to stay in it; its number may be another file's by now, and is not used again."""
    reservation = storage.reserve("d/1.intent", 10)
    have_closing_fail(monkeypatch)
    reservation.discard()
    with pytest.raises(OSError, match="Input/output error"):
        storage.reserve("d/2.intent", 1 << 60)
    assert storage.names("d") == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        reservation.fill("d/1.answer", b"content")


def test_a_place_that_is_taken_is_not_reserved_again(storage: LocalStorage) -> None:
    """Two pulls never share a file."""
    storage.reserve("d/1.intent", 10)
    with pytest.raises(FileExistsError):
        storage.reserve("d/1.intent", 10)


def test_a_draft_that_is_a_link_is_replaced_and_not_followed(storage: LocalStorage, tmp_path: Path) -> None:
    """Whoever could put it there would have this user overwrite a file of its own."""
    target = tmp_path / "precious"
    target.write_text("mine")
    storage.write("journal.json", b"1")
    (storage.root / "journal.json.new").symlink_to(target)
    storage.write("journal.json", b"2")
    assert storage.read("journal.json") == b"2"
    assert target.read_text() == "mine"


def test_a_file_that_is_a_link_is_not_read(storage: LocalStorage, tmp_path: Path) -> None:
    """Nor does a file elsewhere get into the warehouse by one."""
    (tmp_path / "secret").write_text("secret")
    storage.write("a", b"")
    (storage.root / "a").unlink()
    (storage.root / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="symbolic links"):
        storage.read("a")


def test_its_folders_and_files_are_its_owner_s_alone(storage: LocalStorage) -> None:
    """Whatever the mask."""
    before = os.umask(0o000)
    try:
        storage.acquire()
        storage.write("journal.json", b"{}")
        storage.reserve("drains/d/1.intent", 10).fill("drains/d/1.answer", b"x")
        storage.move("drains/d/1.answer", "unreadable/d/1.answer")
        storage.release()
    finally:
        os.umask(before)
    for path in [storage.root, *storage.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_is_open_to_others_is_closed(storage: LocalStorage) -> None:
    """Somebody has made it by hand."""
    storage.root.mkdir()
    storage.root.chmod(0o777)
    storage.acquire()
    storage.release()
    assert stat.S_IMODE(storage.root.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(storage: LocalStorage) -> None:
    """Who owns it can change what is in it."""
    storage.root.mkdir()
    os.chown(storage.root, 12_345, -1)
    with pytest.raises(JournalError, match=r"another user's folder \(uid 12345, this is 0\)"):
        storage.acquire()


def test_what_is_not_there_is_no_error_where_nothing_is_lost(storage: LocalStorage) -> None:
    """Listing and removing may be done again after a kill."""
    assert storage.names("drains") == []
    storage.remove(["drains/d/1.intent"])
    storage.remove_folder("drains/d")
    storage.remove_folder("drains/d", only_empty=True)
    with pytest.raises(FileNotFoundError):
        storage.read("journal.json")


def test_only_an_empty_folder_is_removed_where_that_is_asked_for(storage: LocalStorage) -> None:
    """A drain in which an answer came after all stays."""
    storage.write("d/1", b"x")
    storage.remove_folder("d", only_empty=True)
    assert storage.names("d") == ["1"]
    storage.remove_folder("d")
    assert storage.names("d") == []


def test_what_is_set_aside_replaces_nothing_that_was(storage: LocalStorage) -> None:
    """A file server makes its folder again each time; a person may want to see each."""
    for number in range(3):
        storage.write("drains/notes", str(number).encode())
        storage.set_aside("drains/notes", "notes")
    assert [storage.read(f"unreadable/{name}") for name in ("notes", "notes~2", "notes~3")] == [
        b"0",
        b"1",
        b"2",
    ]
    (storage.root / "unreadable/a").write_text("a file where the folder of the next would be")
    storage.write("drains/a/b", b"3")
    storage.set_aside("drains/a/b", "a/b")
    assert storage.read("unreadable/b~2") == b"3"
