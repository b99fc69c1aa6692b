"""What the journal holds, read: of each pull the file that counts, and what can't be read is set aside."""

from dataclasses import replace
from pathlib import Path

import pytest

from sms_source.feeds import REPLIES
from sms_source.journal.bundle import Member, as_bundle
from sms_source.journal.file_format import INTERRUPTED, UNREADABLE
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull, now
from sms_source.journal.reader import FOLDER, Reader, fingerprint
from tests.helpers.journals import WEEK, files, intend, keep_answer, read_all


@pytest.fixture
def reader(journal: Journal) -> Reader:
    """Provide what reads an empty journal."""
    return Reader(journal.storage)


def brought(channel: str, body: bytes) -> Pull:
    """Return what came by another way than a pull."""
    moment = now()
    return Pull("", REPLIES.name, "1400006666", "-", 100, moment, moment, body=body, channel=channel)


def set_aside(journal: Journal) -> list[str]:
    """Return the names of what was set aside."""
    return [path.name for path in files(journal) if "unreadable" in path.parts]


# ------------------------------------------------------------------------------------- the file that counts


def test_a_whole_answer_that_was_not_renamed_is_an_answer(journal: Journal) -> None:
    """A process killed between writing and renaming has lost nothing."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    with file.open("ab") as stream:
        stream.write(bytes(5000))  # the room reserved for it
    file.rename(file.with_suffix(".intent"))
    assert list(journal.read(drain.drain_id)) == [pull]
    journal.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(journal) == [replace(pull, load_id="1.5")]


@pytest.mark.parametrize("length", [0, 1, 50, 120, 180, 220])
def test_a_torn_intent_is_in_doubt(journal: Journal, length: int) -> None:
    """A process killed while writing leaves part of an answer, which nobody can trust."""
    drain = journal.open_drain()
    keep_answer(drain)
    (file,) = files(journal)
    content = file.read_bytes()
    assert len(content) > length
    file.rename(file.with_suffix(".intent")).write_bytes(content[:length] + bytes(1000))
    (found,) = journal.read(drain.drain_id)
    assert found.error == INTERRUPTED


def test_a_valid_answer_beats_a_note_of_doubt_beside_it(journal: Journal) -> None:
    """A holder that slept may write its answer after its successor has noted the doubt."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    other = journal.open_drain()
    doubt = intend(other)
    doubt.keep(doubt.pull.doubted("Client.ReadTimeout: x"))
    (note,) = (path for path in files(journal) if path.name.endswith(".in_doubt"))
    note.rename(file.with_suffix(".in_doubt"))
    assert list(journal.read(drain.drain_id)) == [pull]
    journal.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(journal) == [replace(pull, load_id="1.5")]


def test_a_note_of_doubt_counts_when_the_answer_beside_it_is_damaged(journal: Journal) -> None:
    """It still says why the outcome is unknown, which the damaged file does not."""
    drain = journal.open_drain()
    intent = intend(drain)
    doubted = intent.pull.doubted("Client.ReadTimeout: x")
    intent.keep(doubted)
    (note,) = files(journal)
    note.with_suffix(".answer").write_bytes(b"damaged")
    assert list(journal.read(drain.drain_id)) == [doubted]
    assert set_aside(journal) == [note.with_suffix(".answer").name]


def test_a_file_that_goes_while_it_is_read_leaves_a_pull_in_doubt(journal: Journal, reader: Reader) -> None:
    """The request may have gone out; and as the file did not count, what comes in its place shows."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    found = reader.files(drain.drain_id)
    before = fingerprint(drain.drain_id, found)
    files(journal)[0].unlink()
    ((member, in_doubt),) = reader.drain(drain.drain_id, found)
    assert (in_doubt.pull_id, in_doubt.error) == (pull.pull_id, INTERRUPTED)
    assert member.name.endswith(".in_doubt")
    assert found == {"000001": []}
    assert fingerprint(drain.drain_id, found) != before


def test_what_counts_less_does_not_change_what_a_drain_is_known_by(journal: Journal, reader: Reader) -> None:
    """A note of doubt beside the answer that was loaded brings nothing that has to be loaded again."""
    drain = journal.open_drain()
    keep_answer(drain)
    (file,) = files(journal)
    before = fingerprint(drain.drain_id, reader.files(drain.drain_id))
    file.with_suffix(".in_doubt").write_bytes(b"")
    assert fingerprint(drain.drain_id, reader.files(drain.drain_id)) == before
    file.unlink()
    assert fingerprint(drain.drain_id, reader.files(drain.drain_id)) != before


# ---------------------------------------------------------------------------------------- what can't be read


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"body_bytes": 5}\nabc', b"\xff\n\xff", b"[]\n"])
def test_a_garbled_answer_is_set_aside_and_reported(
    journal: Journal, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never fatal, never silently skipped, and the pull that it was of is in doubt."""
    drain = journal.open_drain()
    keep_answer(drain)
    good = keep_answer(drain)
    file, _ = files(journal)
    file.write_bytes(damage)
    bad, other = journal.read(drain.drain_id)
    assert bad.error == UNREADABLE
    assert other == good
    assert "is set aside in unreadable/" in caplog.text
    (aside,) = (path for path in files(journal) if "unreadable" in path.parts)
    assert aside.read_bytes() == damage


def test_a_changed_body_is_found_out(journal: Journal) -> None:
    """One flipped bit is one answer that can't be trusted."""
    drain = journal.open_drain()
    keep_answer(drain)
    (file,) = files(journal)
    file.write_bytes(file.read_bytes().replace(b"RequestId", b"RequestIe"))
    (found,) = journal.read(drain.drain_id)
    assert found.in_doubt


@pytest.mark.parametrize("channel", ["callback", "lookup"])
def test_what_was_pushed_or_looked_up_and_is_damaged_is_no_pull_in_doubt(
    journal: Journal, channel: str
) -> None:
    """No request took anything out of a queue for it, so the ledger has no loss to bound."""
    drain = journal.open_drain()
    drain.add(brought(channel, b"[]"))
    good = keep_answer(drain)
    damaged, _ = files(journal)
    damaged.write_bytes(b"damaged")
    assert list(journal.read(drain.drain_id)) == [good]
    assert set_aside(journal) == [damaged.name]
    journal.commit([drain.drain_id], "1.5", WEEK)
    assert read_all(journal) == [replace(good, load_id="1.5")]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "000001.replies.1400006666.ap-guangzhou.100.20260231T000000000000Z.answer",
        "000001.replies.1400006666.ap-guangzhou.100.99999999T999999999999Z.intent",
    ],
)
def test_a_foreign_file_is_set_aside_and_reported(
    journal: Journal, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Somebody's notes, or a date that there is not, stop no run, and are not deleted."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    files(journal)[0].with_name(name).write_text("mine")
    assert list(journal.read(drain.drain_id)) == [pull]
    assert (Path(journal.url) / "unreadable" / drain.drain_id / name).read_text() == "mine"
    assert f"{name} is set aside" in caplog.text


def test_a_draft_that_a_kill_left_is_deleted(journal: Journal) -> None:
    """It is not whole, and nobody was told that it is kept."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    file.with_name(f"{file.name.replace('000001', '000002')}.new").write_text("half an answer")
    assert list(journal.read(drain.drain_id)) == [pull]
    assert files(journal) == [file]


def test_a_link_in_a_drain_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    """Nobody gets a file of this user's into the warehouse by a link."""
    drain = journal.open_drain()
    keep_answer(drain)
    (answer,) = files(journal)
    elsewhere = answer.rename(tmp_path / "elsewhere")
    answer.symlink_to(elsewhere)
    (found,) = journal.read(drain.drain_id)
    assert found.error == UNREADABLE
    assert elsewhere.exists()


def test_a_damaged_file_in_a_bundle_costs_none_beside_it(
    journal: Journal, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The bundle is whole, so it stays where it is; the pull whose file is not is in doubt, and is told."""
    drain = journal.open_drain()
    pulls = [keep_answer(drain) for _ in range(2)]
    contents = {path.name: path.read_bytes() for path in files(journal)}
    damaged = min(contents)
    contents[damaged] = b"damaged"
    members = [Member(drain.drain_id, name, content, "1.5") for name, content in sorted(contents.items())]
    journal.storage.write(f"{FOLDER}/a-bundle", as_bundle(members))
    found = list(reader.bundle(f"{FOLDER}/a-bundle"))
    assert [member for member, _ in found] == members
    (bad, good) = (pull for _, pull in found)
    assert (bad.pull_id, bad.error, bad.records) == (pulls[0].pull_id, UNREADABLE, [])
    assert good == pulls[1]
    assert damaged in caplog.text
    assert set_aside(journal) == []


def test_a_file_of_brackets_is_set_aside(journal: Journal) -> None:
    """Nested deeper than a parser goes, it is no reason to end a run either."""
    drain = journal.open_drain()
    keep_answer(drain)
    files(journal)[0].write_bytes(b"[" * 100_000 + b"\n")
    (found,) = journal.read(drain.drain_id)
    assert found.error == UNREADABLE
