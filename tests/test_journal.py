"""The journal: what it keeps, what it gives back, when it forgets."""

import json
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sms_source.api.answers import parse_answer
from sms_source.errors import ConfigurationError, JournalError, JournalLockedError
from sms_source.feeds import REPLIES
from sms_source.journal.file_format import INTERRUPTED, UNREADABLE
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalReservation
from sms_source.journal.spill import Spill
from tests.helpers.journals import BODY, WEEK, files, intend, keep_answer, read_all


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Provide an empty journal."""
    return Journal(str(tmp_path / "journal"))


@pytest.fixture
def entered(journal: Journal) -> Iterator[Journal]:
    """Provide an empty journal, which this process holds."""
    with journal:
        yield journal


def test_an_intent_stands_before_the_request_with_room_for_the_answer(entered: Journal) -> None:
    """A process that dies now leaves the next one all that the ledger needs."""
    drain = entered.open_drain()
    intent = intend(drain)
    (file,) = files(entered)
    assert file.name.endswith(".intent")
    assert file.stat().st_size >= 1 << 20
    (found,) = entered.read(drain.drain_id)
    assert found == replace(intent.pull, error=INTERRUPTED)
    assert found.in_doubt


def test_an_answer_is_kept_byte_for_byte_behind_one_line(entered: Journal) -> None:
    """The archive is what Tencent sent, not what this connector made of it."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    (file,) = files(entered)
    envelope, _, body = file.read_bytes().partition(b"\n")
    assert body == BODY
    assert pull.answered_at is not None
    told = {"answered_at": pull.answered_at.isoformat(), "request_id": "r1", "error": None}
    assert json.loads(envelope).items() >= told.items()
    assert file.name == (
        f"000001.replies.1400006666.ap-guangzhou.100.{pull.requested_at:%Y%m%dT%H%M%S%fZ}.answer"
    )
    assert list(entered.read(drain.drain_id)) == [pull]


def test_a_pull_in_doubt_keeps_its_reason_and_what_came(entered: Journal) -> None:
    """A person may want to read the half of an answer that arrived."""
    drain = entered.open_drain()
    intent = intend(drain)
    pull = intent.pull.doubted("Client.TruncatedBody: x", "r9", b'{"Response": {"Pul')
    intent.keep(pull)
    assert list(entered.read(drain.drain_id)) == [pull]


def test_a_pull_that_handed_nothing_out_leaves_nothing(entered: Journal) -> None:
    """A quiet queue does not fill the disk, nor the ledger."""
    drain = entered.open_drain()
    intend(drain).discard()
    drain.close()
    assert files(entered) == []
    assert entered.unloaded() == []


def test_pulls_come_back_in_their_order(entered: Journal) -> None:
    """A replay is the run again."""
    drain = entered.open_drain()
    pulls = [keep_answer(drain) for _ in range(12)]
    assert list(entered.read(drain.drain_id)) == pulls


def test_a_whole_answer_that_was_not_renamed_is_an_answer(entered: Journal) -> None:
    """A process killed between writing and renaming has lost nothing."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    (file,) = files(entered)
    with file.open("ab") as stream:
        stream.write(bytes(5000))  # the room reserved for it
    file.rename(file.with_suffix(".intent"))
    assert list(entered.read(drain.drain_id)) == [pull]
    entered.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5")]


@pytest.mark.parametrize("length", [0, 1, 50, 120, 180, 220])
def test_a_torn_intent_is_in_doubt(entered: Journal, length: int) -> None:
    """A process killed while writing leaves part of an answer, which nobody can trust."""
    drain = entered.open_drain()
    keep_answer(drain)
    (file,) = files(entered)
    content = file.read_bytes()
    assert len(content) > length
    file.rename(file.with_suffix(".intent")).write_bytes(content[:length] + bytes(1000))
    (found,) = entered.read(drain.drain_id)
    assert found.error == INTERRUPTED


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"body_bytes": 5}\nabc', b"\xff\n\xff", b"[]\n"])
def test_a_garbled_answer_is_set_aside_and_reported(
    entered: Journal, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never fatal, never silently skipped, and the pull that it was of is in doubt."""
    drain = entered.open_drain()
    keep_answer(drain)
    good = keep_answer(drain)
    file, _ = files(entered)
    file.write_bytes(damage)
    bad, other = entered.read(drain.drain_id)
    assert bad.error == UNREADABLE
    assert other == good
    assert "is set aside in unreadable/" in caplog.text
    (aside,) = (path for path in files(entered) if "unreadable" in path.parts)
    assert aside.read_bytes() == damage


def test_a_changed_body_is_found_out(entered: Journal) -> None:
    """One flipped bit is one answer that can't be trusted."""
    drain = entered.open_drain()
    keep_answer(drain)
    (file,) = files(entered)
    file.write_bytes(file.read_bytes().replace(b"RequestId", b"RequestIe"))
    (found,) = entered.read(drain.drain_id)
    assert found.in_doubt


def test_a_valid_answer_beats_a_note_of_doubt_beside_it(entered: Journal) -> None:
    """A holder that slept may write its answer after its successor has noted the doubt."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    (file,) = files(entered)
    other = entered.open_drain()
    doubt = intend(other)
    doubt.keep(doubt.pull.doubted("Client.ReadTimeout: x"))
    (note,) = (path for path in files(entered) if path.name.endswith(".in_doubt"))
    note.rename(file.with_suffix(".in_doubt"))
    assert list(entered.read(drain.drain_id)) == [pull]
    entered.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5")]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "000001.replies.1400006666.ap-guangzhou.100.20260231T000000000000Z.answer",
        "000001.replies.1400006666.ap-guangzhou.100.99999999T999999999999Z.intent",
    ],
)
def test_a_foreign_file_is_set_aside_and_reported(
    entered: Journal, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Somebody's notes, or a date that there is not, stop no run, and are not deleted."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    files(entered)[0].with_name(name).write_text("mine")
    assert list(entered.read(drain.drain_id)) == [pull]
    assert (Path(entered.url) / "unreadable" / drain.drain_id / name).read_text() == "mine"
    assert f"{name} is set aside" in caplog.text


@pytest.mark.parametrize(
    "name", ["mine", "20260231T000000000000Z-00000000", "99999999T999999999999Z-0123abcd"]
)
def test_a_foreign_folder_among_the_drains_stops_nothing(entered: Journal, name: str) -> None:
    """Also one whose name looks like a drain's, of a day that there is not, with an answer in it."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    (answer,) = files(entered)
    folder = Path(entered.url) / "drains" / name
    folder.mkdir()
    (folder / answer.name).write_bytes(answer.read_bytes())
    assert entered.unloaded() == [drain.drain_id]
    entered.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5")]
    assert (Path(entered.url) / "unreadable" / name / answer.name).exists()


def test_a_file_with_the_name_of_a_drain_stops_nothing(entered: Journal) -> None:
    """What is not ours is set aside, whatever it is called."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    impostor = Path(entered.url) / "drains" / "20260101T000000000000Z-0123abcd"
    impostor.write_text("mine")
    items = entered.unloaded()
    assert [pull for item in items for pull in entered.read(item)] == [pull]
    entered.commit(items, "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5")]
    assert "mine" in [path.read_text() for path in files(entered) if path.name == impostor.name]


def test_a_link_in_a_drain_is_not_followed(entered: Journal, tmp_path: Path) -> None:
    """Nobody gets a file of this user's into the warehouse by a link."""
    drain = entered.open_drain()
    keep_answer(drain)
    (answer,) = files(entered)
    elsewhere = answer.rename(tmp_path / "elsewhere")
    answer.symlink_to(elsewhere)
    (found,) = entered.read(drain.drain_id)
    assert found.error == UNREADABLE
    assert elsewhere.exists()


def test_a_drain_is_unloaded_until_it_is_committed(entered: Journal) -> None:
    """Where a pull lies says what is known of it."""
    first, second = entered.open_drain(), entered.open_drain()
    pulls = {drain.drain_id: keep_answer(drain) for drain in (first, second)}
    assert entered.unloaded() == sorted(pulls)
    entered.commit([first.drain_id], "1.5", WEEK)
    assert entered.unloaded() == [second.drain_id]
    assert read_all(entered) == [replace(pulls[first.drain_id], load_id="1.5"), pulls[second.drain_id]]
    assert entered.identity.last_load == "1.5"


def test_a_retention_of_0_keeps_nothing_that_is_loaded(entered: Journal) -> None:
    """What is not loaded yet is kept however old it is."""
    loaded, pending = entered.open_drain(), entered.open_drain()
    keep_answer(loaded)
    pull = keep_answer(pending)
    entered.commit([loaded.drain_id], "1.5", timedelta(0))
    assert read_all(entered) == [pull]


def test_what_a_kill_left_of_a_committed_drain_is_finished_by_the_next_commit(entered: Journal) -> None:
    """Killed between bundle and folder, the drain is committed once more: nothing is there twice."""
    drain = entered.open_drain()
    pulls = [keep_answer(drain) for _ in range(3)]
    folder = Path(entered.url) / "drains" / drain.drain_id
    saved = {path.name: path.read_bytes() for path in folder.iterdir()}
    entered.commit([drain.drain_id], "1.5", WEEK)
    folder.mkdir()
    for name, content in saved.items():
        (folder / name).write_bytes(content)
    assert entered.unloaded() == [drain.drain_id]
    entered.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5") for pull in pulls]
    assert entered.unloaded() == []


def test_what_could_not_be_read_outlives_the_retention(entered: Journal) -> None:
    """It may be the only copy of what people answered."""
    drain = entered.open_drain()
    keep_answer(drain)
    files(entered)[0].write_bytes(b"damaged")
    list(entered.read(drain.drain_id))
    entered.commit([drain.drain_id], "1.5", timedelta(0))
    (file,) = files(entered)
    assert (file.parent.parent.name, file.read_bytes()) == ("unreadable", b"damaged")


def test_what_is_given_again_counts_as_not_loaded_until_it_is(entered: Journal) -> None:
    """A replay that is killed is finished by the next run; rows keep the id of their first load."""
    pulls = []
    for load_id in ("1.5", "2.5"):
        drain = entered.open_drain()
        pulls.append(replace(keep_answer(drain), load_id=load_id))
        entered.commit([drain.drain_id], load_id, WEEK)
    (lost,) = entered.give_again(["1.5"])
    assert entered.unloaded() == [lost]
    assert list(entered.read(lost)) == pulls[:1]
    entered.commit([lost], "3.5", WEEK)
    assert entered.unloaded() == []
    assert [name.load_id for name in entered.archive.names()] == ["3.5", "2.5"]
    assert read_all(entered) == pulls
    assert len(entered.give_again()) == 2


def test_a_fingerprint_tells_whether_anything_came_into_a_drain(entered: Journal) -> None:
    """What was committed must not hide an answer that came late."""
    drain = entered.open_drain()
    intent = intend(drain)
    before = entered.fingerprint(drain.drain_id)
    assert entered.fingerprint(drain.drain_id) == before
    intent.keep(intent.pull.doubted("Client.ReadTimeout: x"))
    in_doubt = entered.fingerprint(drain.drain_id)
    keep_answer(drain)
    assert len({before, in_doubt, entered.fingerprint(drain.drain_id)}) == 3


def test_a_round_lists_what_is_not_loaded_whatever_the_archive_holds(entered: Journal) -> None:
    """What a quiet run reads does not grow with what was ever loaded."""
    for number in range(5):
        drain = entered.open_drain()
        keep_answer(drain)
        entered.commit([drain.drain_id], f"{number}.5", WEEK)
    assert entered.unloaded() == []
    assert list((Path(entered.url) / "drains").iterdir()) == []


def hold(
    url: str, held: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event"
) -> None:
    """Hold the journal until told otherwise."""
    with Journal(url):
        held.set()
        done.wait(30)


def test_a_second_process_is_refused(journal: Journal) -> None:
    """Two processes that pull from one queue would take each other's drains for crashed ones."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(journal.url, held, done))
    process.start()
    assert held.wait(30)
    with pytest.raises(JournalLockedError, match=f"in use by process {process.pid} on "), journal:
        pass
    done.set()
    process.join()
    with journal:
        pass


def test_a_second_user_in_the_same_process_is_refused(journal: Journal) -> None:
    """Two threads that shared the lock would see each other's pulls as in doubt."""
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with Journal(journal.url):
                pass
        except JournalLockedError as error:
            errors.append(error)

    with journal:
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        with pytest.raises(JournalLockedError), Journal(journal.url):
            pass
    assert len(errors) == 1
    with Journal(journal.url):
        pass


def test_a_journal_that_is_not_entered_says_nothing_of_itself(journal: Journal) -> None:
    """A mistake in this package's own code, told where it is made."""
    with pytest.raises(RuntimeError, match="not entered"):
        journal.identity  # noqa: B018
    with pytest.raises(RuntimeError, match="not entered"):
        journal.spill  # noqa: B018


def test_an_answer_that_the_journal_refuses_is_in_the_data_directory_and_taken_in_later(
    entered: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is in memory alone only while no disk takes it."""
    drain = entered.open_drain()
    intent = intend(drain)
    pull = intent.pull.answered(parse_answer(REPLIES, BODY), BODY)
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise OSError("the store is away")

        broken.setattr(LocalReservation, "fill", refuse)
        with pytest.raises(JournalError, match=r"It is in .*spill instead"):
            intent.keep(pull)
    assert Spill(entered.identity.journal_id).is_in_use()
    entered.spill.take_into(entered.storage)
    assert list(entered.read(drain.drain_id)) == [pull]
    assert not entered.spill.is_in_use()


def test_another_kind_of_url_is_a_configuration_error() -> None:
    """A typo in a scheme must not become a folder of that name."""
    with pytest.raises(ConfigurationError, match="journal_url is 'gopher://x'"):
        Journal("gopher://x")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    """The way that fsspec and dlt write it."""
    assert Journal(f"file://{tmp_path}/journal").url == f"{tmp_path}/journal"
