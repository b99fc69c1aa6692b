"""The journal: what it keeps, what it gives back, when it forgets."""

import errno
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
from sms_source.journal.bundle import Member, as_bundle, read_bundle
from sms_source.journal.file_format import encode, file_name
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalReservation, LocalStorage
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


def test_pulls_come_back_in_their_order(entered: Journal) -> None:
    """A replay is the run again."""
    drain = entered.open_drain()
    pulls = [keep_answer(drain) for _ in range(12)]
    assert list(entered.read(drain.drain_id)) == pulls


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


def contents(journal: Journal) -> dict[Path, bytes]:
    """Return what the files of drains hold."""
    return {path: path.read_bytes() for path in files(journal) if "drains" in path.parts}


def put(content: dict[Path, bytes]) -> None:
    """Have files in drains again, as a kill leaves them amid their removal."""
    for path, data in content.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_archived_already_is_removed_and_not_loaded_again(entered: Journal, others: int) -> None:
    """Killed amid the removal of drains that were loaded together: some are gone, of one some files are."""
    drains = [entered.open_drain() for _ in range(1 + others)]
    pulls = [replace(keep_answer(drain), load_id="1.5") for drain in drains for _ in range(3)]
    before = contents(entered)
    entered.commit(entered.unloaded(), "1.5", WEEK)
    put(dict(list(before.items())[-2:]))
    entered.finish_commits(entered.unloaded())
    assert entered.unloaded() == []
    assert read_all(entered) == pulls


def test_what_came_late_into_a_drain_that_is_archived_stays(entered: Journal) -> None:
    """Of a pull that is archived as in doubt, and of one that is not archived at all."""
    drain = entered.open_drain()
    keep_answer(drain)
    intent = intend(drain)
    archived = contents(entered)
    entered.commit([drain.drain_id], "1.5", WEEK)
    late = intent.pull.answered(parse_answer(REPLIES, BODY), BODY)
    new = replace(late, pull_id=f"{drain.drain_id}/000003")
    put(archived)
    for pull in (late, new):
        name = f"drains/{drain.drain_id}/{file_name(pull, 'answer')}"
        entered.storage.write(name, encode(pull))
    entered.finish_commits(entered.unloaded())
    assert list(entered.read(drain.drain_id)) == [late, new]
    assert len(files(entered)) == 1 + 3  # the bundle; and the intent beside its answer


@pytest.mark.parametrize("damage", [b"damaged", b""])
def test_what_the_archive_can_t_give_back_is_not_removed(entered: Journal, damage: bytes) -> None:
    """The rest of the drain may be the only copy of what people answered."""
    drain = entered.open_drain()
    pull = keep_answer(drain)
    before = contents(entered)
    entered.commit([drain.drain_id], "1.5", WEEK)
    (bundle,) = files(entered)
    (member,) = read_bundle(bundle.read_bytes())
    bundle.write_bytes(as_bundle([member._replace(content=damage)]))
    put(before)
    entered.finish_commits(entered.unloaded())
    assert list(entered.read(drain.drain_id)) == [pull]


def test_a_doubt_is_taken_out_of_the_archive_when_a_kill_came_before(entered: Journal) -> None:
    """Killed between archiving the answer that came late and taking out the doubt that it ends."""
    drain = entered.open_drain()
    intent = intend(drain)
    entered.commit([drain.drain_id], "1.5", WEEK)
    late = intent.pull.answered(parse_answer(REPLIES, BODY), BODY)
    name = file_name(late, "answer")
    member = Member(drain.drain_id, name, encode(late), "2.5")
    bundle = entered.archive.names()[0]._replace(suffix="00000000.00000000", load_id="2.5")
    entered.storage.write(f"archive/{bundle}", as_bundle([member]))
    entered.storage.write(f"drains/{drain.drain_id}/{name}", encode(late))
    entered.finish_commits(entered.unloaded())
    assert read_all(entered) == [replace(late, load_id="2.5")]


def test_a_store_that_fails_amid_the_removal_is_no_reason_to_load_again(
    entered: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process that follows goes on, and finds the rest of what it has loaded."""
    drain = entered.open_drain()
    pulls = [replace(keep_answer(drain), load_id="1.5") for _ in range(3)]
    list(entered.read(drain.drain_id))
    remove = LocalStorage._remove

    def fail(storage: LocalStorage, path: str) -> None:
        if "000002" in path:
            raise OSError(errno.EIO, "Input/output error")
        remove(storage, path)

    with monkeypatch.context() as broken:
        broken.setattr(LocalStorage, "_remove", fail)
        with pytest.raises(JournalError, match="could not be archived"):
            entered.commit([drain.drain_id], "1.5", WEEK)
        with pytest.raises(JournalError, match="could not be archived"):
            entered.finish_commits(entered.unloaded())
    entered.finish_commits(entered.unloaded())
    assert entered.unloaded() == []
    assert read_all(entered) == pulls
    assert "came late" not in caplog.text


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


def test_what_is_loaded_or_was_nothing_is_not_remembered(entered: Journal) -> None:
    """A process that goes on for months holds one journal."""
    for number in range(3):
        loaded, nothing = entered.open_drain(), entered.open_drain()
        keep_answer(loaded)
        items = [*entered.give_again(), loaded.drain_id]
        for item in [*items, nothing.drain_id]:
            list(entered.read(item))
            entered.fingerprint(item)
        entered.commit(items, f"{number}.5", WEEK)
        entered.discard_empty([nothing.drain_id])
    assert (entered._seen, entered._read) == ({}, set())


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


def test_another_kind_of_url_is_a_configuration_error() -> None:
    """A typo in a scheme must not become a folder of that name."""
    with pytest.raises(ConfigurationError, match="journal_url is 'gopher://x'"):
        Journal("gopher://x")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    """The way that fsspec and dlt write it."""
    assert Journal(f"file://{tmp_path}/journal").url == f"{tmp_path}/journal"


def test_an_answer_that_no_disk_took_and_that_is_loaded_is_in_the_archive(
    entered: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has its pull as answered: a replay must not say that it is in doubt."""
    drain = entered.open_drain()
    intent = intend(drain)
    pull = intent.pull.answered(parse_answer(REPLIES, BODY), BODY)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no disk takes an answer")

    with monkeypatch.context() as broken:
        broken.setattr(LocalReservation, "fill", refuse)
        write = LocalStorage.write
        broken.setattr(
            LocalStorage, "write", lambda *place: refuse() if place[1].endswith(".answer") else write(*place)
        )
        with pytest.raises(JournalError, match="could not be written into the journal"):
            intent.keep(pull)
        entered.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(entered) == [replace(pull, load_id="1.5")]


def test_a_failing_disk_makes_no_doubt_of_an_answer(
    entered: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may read it another time; as a doubt it would be archived, and the answer never looked for again."""
    drain = entered.open_drain()
    pull = keep_answer(drain)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStorage, "read", fail)
        with pytest.raises(JournalError, match=r"could not read drains/.*Input/output error"):
            list(entered.read(drain.drain_id))
        with pytest.raises(JournalError, match="could not read drains/"):
            entered.commit([drain.drain_id], "1.5", WEEK)
    assert list(entered.read(drain.drain_id)) == [pull]
