"""The journal: what it keeps, what it gives back, when it forgets."""

import json
import multiprocessing
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sms_source.api.answers import parse_answer
from sms_source.errors import ConfigurationError, JournalLockedError
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal, JournalDrain, Pull
from sms_source.journal.storage import LocalStorage

BODY = '{"Response": {"RequestId": "r1",  "PullSmsReplyStatusSet": [{"ReplyContent": "\\u9000订"}]}}'.encode()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty journal."""
    return Journal(str(tmp_path / "journal"))


def intend(drain: JournalDrain) -> Pull:
    """A pull that is about to be requested."""
    return drain.intend("1400006666", "ap-guangzhou", 100)


def keep_answer(drain: JournalDrain, body: bytes = BODY) -> Pull:
    """A pull whose answer is in the journal."""
    pull = intend(drain).answered(parse_answer(REPLIES, body), body)
    drain.answer(pull)
    return pull


def files(journal: Journal) -> list[Path]:
    """What the journal holds on the disk."""
    return sorted(p for p in Path(journal.url).rglob("*") if p.is_file() and p.name != "lock")


def test_an_intent_stands_before_the_request_with_room_for_the_answer(journal: Journal) -> None:
    """A process that dies now leaves the next one all that the ledger needs."""
    drain = journal.open_drain()
    intent = intend(drain)
    (file,) = files(journal)
    assert file.name.endswith(".intent")
    assert file.stat().st_size >= 1 << 20
    (found,) = journal.read(drain.drain_id)
    assert found == replace(intent, error="the process ended before the answer was in the journal")
    assert found.in_doubt


def test_an_answer_is_kept_byte_for_byte_behind_one_line(journal: Journal) -> None:
    """The archive is what Tencent sent, not what this connector made of it."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    envelope, _, body = file.read_bytes().partition(b"\n")
    assert body == BODY
    assert (
        json.loads(envelope).items()
        >= {
            "sms_sdk_app_id": "1400006666",
            "region": "ap-guangzhou",
            "requested_at": pull.requested_at.isoformat(),
            "answered_at": pull.answered_at.isoformat(),  # type: ignore[union-attr]
            "request_id": "r1",
        }.items()
    )
    assert list(journal.read(drain.drain_id)) == [pull]


def test_a_pull_in_doubt_keeps_its_reason_and_what_came(journal: Journal) -> None:
    """A person may want to read the half of an answer that arrived."""
    drain = journal.open_drain()
    pull = intend(drain).doubted("Client.TruncatedBody: x", "r9", b'{"Response": {"Pul')
    drain.doubt(pull)
    assert list(journal.read(drain.drain_id)) == [pull]


def test_a_pull_that_handed_nothing_out_leaves_nothing(journal: Journal) -> None:
    """A quiet queue does not fill the disk, nor the ledger."""
    drain = journal.open_drain()
    drain.discard(intend(drain))
    drain.close()
    assert files(journal) == []
    assert journal.drains() == []


def test_pulls_come_back_in_their_order(journal: Journal) -> None:
    """A replay is the run again."""
    drain = journal.open_drain()
    pulls = [keep_answer(drain) for _ in range(12)]
    assert list(journal.read(drain.drain_id)) == pulls


def test_a_whole_answer_that_was_not_renamed_is_an_answer(journal: Journal) -> None:
    """A process killed between writing and renaming has lost nothing."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    with file.open("ab") as stream:
        stream.write(bytes(5000))  # the room reserved for it
    file.rename(file.with_suffix(".intent"))
    assert list(journal.read(drain.drain_id)) == [pull]


@pytest.mark.parametrize("length", [0, 1, 100, 250, 300, 390])
def test_a_torn_intent_is_in_doubt(journal: Journal, length: int) -> None:
    """A process killed while writing leaves part of an answer, which nobody can trust."""
    drain = journal.open_drain()
    keep_answer(drain)
    (file,) = files(journal)
    content = file.read_bytes()[:length]
    file.rename(file.with_suffix(".intent")).write_bytes(content + bytes(1000))
    (found,) = journal.read(drain.drain_id)
    assert found.error == "the process ended before the answer was in the journal"


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"body_bytes": 5}\nabc', b"\xff\n\xff", b"[]\n"])
def test_a_garbled_answer_is_set_aside_and_reported(
    journal: Journal, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never fatal, never silently skipped, and the same row whenever it is read."""
    drain = journal.open_drain()
    keep_answer(drain)
    good = keep_answer(drain)
    file, _ = files(journal)
    file.write_bytes(damage)
    for _ in range(2):
        bad, other = journal.read(drain.drain_id)
        assert bad.error == "the journal's file of the answer can't be read"
        assert other == good
    assert "can't be read" in caplog.text
    assert [f.suffix for f in files(journal)] == [".unreadable", ".answer"]


def test_a_changed_body_is_found_out(journal: Journal) -> None:
    """One flipped bit is one answer that can't be trusted."""
    drain = journal.open_drain()
    keep_answer(drain)
    (file,) = files(journal)
    file.write_bytes(file.read_bytes().replace(b"RequestId", b"RequestIe"))
    (found,) = journal.read(drain.drain_id)
    assert found.in_doubt


def test_a_foreign_file_is_set_aside_and_reported(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody's notes in the wrong folder stop no run, and are not deleted."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    notes = files(journal)[0].with_name("notes.txt")
    notes.write_text("mine")
    assert list(journal.read(drain.drain_id)) == [pull]
    assert (Path(journal.url) / "unreadable" / drain.drain_id / "notes.txt").read_text() == "mine"
    assert "notes.txt is no pull" in caplog.text


def test_a_drain_is_uncommitted_until_it_is_committed(journal: Journal) -> None:
    """Only what no committed state names is given again."""
    first, second = journal.open_drain(), journal.open_drain()
    for drain in (first, second):
        keep_answer(drain)
    assert journal.uncommitted() == journal.drains() == sorted([first.drain_id, second.drain_id])
    journal.commit([first.drain_id, "20000101T000000000000Z-00000000"])
    assert journal.uncommitted() == [second.drain_id]
    assert len(journal.drains()) == 2


def test_retention_deletes_only_what_is_committed_and_old(journal: Journal) -> None:
    """The archive shrinks by age; what is not loaded yet stays for ever."""
    loaded, pending = journal.open_drain(), journal.open_drain()
    for drain in (loaded, pending):
        keep_answer(drain)
    journal.commit([loaded.drain_id])
    journal.expire(timedelta(days=1))
    assert len(journal.drains()) == 2
    journal.expire(timedelta(0))
    assert journal.drains() == [pending.drain_id]
    assert journal.storage.names("committed") == []


def test_a_deletion_that_was_interrupted_is_finished(journal: Journal) -> None:
    """A kill in the middle of a sweep leaves a committed drain, never a replay of a part."""
    drain = journal.open_drain()
    keep_answer(drain)
    keep_answer(drain)
    journal.commit([drain.drain_id])
    files(journal)[1].unlink()
    assert journal.uncommitted() == []
    journal.expire(timedelta(0))
    assert files(journal) == []


def test_what_could_not_be_read_outlives_the_retention(journal: Journal) -> None:
    """It may be the only copy of what people answered."""
    drain = journal.open_drain()
    keep_answer(drain)
    files(journal)[0].write_bytes(b"damaged")
    list(journal.read(drain.drain_id))
    journal.commit([drain.drain_id])
    journal.expire(timedelta(0))
    (file,) = files(journal)
    assert file.parent.parent.name == "unreadable"


def test_a_clock_that_jumps_back_costs_nothing(journal: Journal) -> None:
    """Ids order a listing; what is committed and what is kept does not hang on them."""
    drain = journal.open_drain()
    future = JournalDrain(journal.storage, "20991231T235959000000Z-0123abcd")
    for each in (drain, future):
        keep_answer(each)
    assert journal.uncommitted() == [drain.drain_id, future.drain_id]
    journal.commit([future.drain_id])
    journal.expire(timedelta(0))
    assert journal.uncommitted() == [drain.drain_id]


def test_only_its_owner_can_read_the_journal(journal: Journal) -> None:
    """It holds people's phone numbers and answers."""
    os.umask(0o022)
    with journal:
        keep_answer(journal.open_drain())
        journal.commit(journal.drains())
        journal.claim({"pipeline": "p"})
    for path in [Path(journal.url), *Path(journal.url).rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def hold(
    url: str, held: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event"
) -> None:
    """Holds the journal until told otherwise."""
    with Journal(url):
        held.set()
        done.wait(30)


def test_a_second_process_is_refused_at_once(journal: Journal) -> None:
    """Two processes that pull from one queue would take each other's drains for crashed ones."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(journal.url, held, done))
    process.start()
    assert held.wait(30)
    with pytest.raises(JournalLockedError, match="Another process is using the journal"), journal:
        pass
    done.set()
    process.join()
    with journal, Journal(journal.url):
        """The same process may enter twice, as the main job and its source do."""


def test_a_journal_feeds_one_pipeline(journal: Journal) -> None:
    """Another pipeline would take for loaded what was loaded elsewhere."""
    owner = {"pipeline": "a", "destination": "duckdb", "dataset": "sms"}
    journal.claim(owner)
    journal.claim(owner)
    with pytest.raises(ConfigurationError, match="belongs to pipeline 'a', destination 'duckdb'"):
        journal.claim({**owner, "destination": "postgres"})


def test_another_kind_of_url_is_a_configuration_error() -> None:
    """A typo in a scheme must not become a folder of that name."""
    with pytest.raises(ConfigurationError, match="journal_url 'gopher://x'"):
        Journal("gopher://x")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    """The way that fsspec and dlt write it."""
    assert Journal(f"file://{tmp_path}/journal").url == f"{tmp_path}/journal"


def test_room_that_can_not_be_had_is_given_back(tmp_path: Path) -> None:
    """A disk too full for an answer is not filled further by an intent."""
    storage = LocalStorage(tmp_path / "journal")
    with pytest.raises(OSError, match=r"large|space"):
        storage.reserve("drains/d/1.intent", 1 << 60)
    assert storage.names("drains/d") == []
