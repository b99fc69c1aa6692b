"""A damaged bundle: what can be read of it is, what can't is in doubt, and nothing of it stops a run."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sms_source.journal.archive import MERGED_AT
from sms_source.journal.bundle import Member, as_bundle, mended_bundle, read_bundle
from sms_source.journal.file_format import UNREADABLE
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.pull import Pull
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.journals import WEEK, body_of, keep_answer, read_all
from tests.model.disk import FOLDER, Disk

PLACE = "archive/20260101T000000000000Z-20260101T000000000000Z-0123abcd.0123abcd.0.1.5.zip"
NAME = "00000{}.replies.1400006666.ap-guangzhou.100.20260101T000000000000Z.answer"
MEMBERS = [
    Member("20260101T000000000000Z-0123abcd", NAME.format(number), b'{"a": %d}\nbody' % number, "1.5")
    for number in (1, 2, 3)
]


def flipped(content: bytes, place: int, bit: int = 0) -> bytes:
    """Return a content with one bit that is another."""
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def archived(journal: Journal) -> tuple[list[Pull], Path]:
    """Have three pulls in one bundle; return them as the archive gives them, and it."""
    drain = journal.open_drain()
    pulls = [replace(keep_answer(drain, body_of(a_reply(text))), load_id="1.5") for text in "abc"]
    journal.commit([drain.drain_id], "1.5", WEEK)
    (bundle,) = (Path(journal.url) / "archive").iterdir()
    return pulls, bundle


def damage(bundle: Path, text: bytes = b'"b"') -> bytes:
    """Flip a bit of an answer; return what the bundle holds then."""
    content = bundle.read_bytes()
    bundle.write_bytes(flipped(content, content.index(text) + 1))
    return bundle.read_bytes()


def kept(journal: Journal) -> list[bytes]:
    """Return the bundles that are kept for a person."""
    return [path.read_bytes() for path in (Path(journal.url) / "unreadable").rglob("*") if path.is_file()]


@pytest.mark.long
def test_whichever_bit_is_flipped_nothing_is_lost_silently() -> None:
    """Each of some thousand: a pull is read as it was or is in doubt, or else the damaged bundle is kept."""
    whole = as_bundle(MEMBERS)
    unreadable = 0
    for place in range(len(whole)):
        for bit in range(8):
            content = flipped(whole, place, bit)
            storage = Disk("memory://", FOLDER, {PLACE: content}, lambda: None, lambda path: None)
            try:
                found = mended_bundle(storage, PLACE)
            except ValueError:  # whoever reads it sets it aside
                unreadable += 1
                continue
            answers = {member.name: member.content for member in found if member.name.endswith(".answer")}
            assert set(answers.items()) <= {(member.name, member.content) for member in MEMBERS}
            if len(answers) < len(MEMBERS):
                assert storage.files[f"unreadable/{PLACE}"] == content
                assert list(read_bundle(storage.files[PLACE])) == found
            if place < whole.index(b"PK\x01\x02"):
                assert (len(found), len(answers) >= 2) == (3, True), (place, bit)
    assert unreadable < len(whole) * 8 / 10


@pytest.mark.parametrize("is_given_again", [False, True])
def test_an_answer_that_is_damaged_costs_none_beside_it(
    journal: Journal, caplog: pytest.LogCaptureFixture, *, is_given_again: bool
) -> None:
    """It is in doubt and told, and so it is the next time; the bundle as it was is kept once."""
    (first, second, third), bundle = archived(journal)
    content = damage(bundle)
    if is_given_again:
        journal.give_again()
    for _ in range(2):
        found = read_all(journal)
        assert [pull for pull in found if not pull.in_doubt] == [first, third]
        (doubt,) = (pull for pull in found if pull.in_doubt)
        assert (doubt.pull_id, doubt.error, doubt.load_id) == (second.pull_id, UNREADABLE, "1.5")
        assert kept(journal) == [content]
    assert caplog.text.count("is damaged, and kept in unreadable/") == 1


def test_a_merge_keeps_what_it_can_t_read(journal: Journal) -> None:
    """The bundle that the merge removes is kept, and the merged one says what is in doubt."""
    (first, second, third), bundle = archived(journal)
    content = damage(bundle)
    for number in range(2, MERGED_AT + 1):
        drain = journal.open_drain()
        keep_answer(drain)
        journal.commit([drain.drain_id], f"{number}.5", WEEK)
    assert len(journal.archive.names()) == 1
    found = {pull.pull_id: pull for pull in read_all(journal)}
    assert [found[pull.pull_id] for pull in (first, third)] == [first, third]
    assert found[second.pull_id].error == UNREADABLE
    assert kept(journal) == [content]


def test_an_answer_that_a_drain_still_has_ends_the_doubt(journal: Journal) -> None:
    """A kill left it there, and the archive's copy is damaged: it is loaded and archived again."""
    drain = journal.open_drain()
    pull = keep_answer(drain, body_of(a_reply("b")))
    (file,) = Path(journal.url).rglob("*.answer")
    content = file.read_bytes()
    journal.commit([drain.drain_id], "1.5", WEEK)
    (bundle,) = (Path(journal.url) / "archive").iterdir()
    damage(bundle)
    journal.storage.write(f"drains/{drain.drain_id}/{file.name}", content)
    journal.finish_commits(journal.unloaded())
    assert list(journal.read(drain.drain_id)) == [pull]
    journal.commit([drain.drain_id], "2.5", WEEK)
    assert read_all(journal) == [replace(pull, load_id="2.5")]


@pytest.mark.parametrize("year", ["1970", "2107", "2108", "9999"])
def test_a_bundle_holds_a_drain_of_any_year(year: str) -> None:
    """A clock that is wrong stops no commit, though ZIP has no year before 1980 or after 2107."""
    member = MEMBERS[0]._replace(drain_id=f"{year}0101T000000000000Z-0123abcd")
    assert list(read_bundle(as_bundle([member]))) == [member]


@pytest.mark.parametrize("end", [".zip.new", ".zip"])
def test_what_ends_amid_the_mending_loses_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Neither the bundle as it was nor what can be read of it; the next run goes on from there."""
    (first, _, third), bundle = archived(journal)
    content = damage(bundle)
    write = LocalStorage.write

    def fail(storage: LocalStorage, path: str, data: bytes) -> None:
        if path.endswith(end):
            raise OSError("no room")
        write(storage, path, data)

    with monkeypatch.context() as broken:
        broken.setattr(LocalStorage, "write", fail)
        with pytest.raises(OSError, match="no room"):
            read_all(journal)
    assert bundle.read_bytes() == content
    assert [pull for pull in read_all(journal) if not pull.in_doubt] == [first, third]
    assert content in kept(journal)


def test_what_was_pushed_and_is_damaged_is_no_pull_in_doubt(journal: Journal) -> None:
    """No request took anything out of a queue for it; the bundle is kept, and the rest of it is read."""
    (first, _, _), bundle = archived(journal)
    members = list(read_bundle(bundle.read_bytes()))
    names = [members[1].name.replace(".answer", ".callback"), members[2].name.replace(".answer", ".lookup")]
    changed = [m._replace(name=name) for m, name in zip(members[1:], names, strict=True)]
    content = as_bundle([members[0], changed[0], changed[1]._replace(content=b"damaged")])
    bundle.write_bytes(content)
    damaged = damage(bundle)
    assert read_all(journal) == [first]
    assert kept(journal) == [damaged]


def test_somebody_s_file_in_a_bundle_hides_no_pull(journal: Journal) -> None:
    """It is taken out, and the bundle with it is kept."""
    pulls, bundle = archived(journal)
    content = io.BytesIO(bundle.read_bytes())
    with zipfile.ZipFile(content, "a") as opened:
        opened.writestr("notes.txt", b"mine")
    bundle.write_bytes(content.getvalue())
    assert read_all(journal) == pulls
    assert kept(journal) == [content.getvalue()]


def test_a_warehouse_heals_from_an_archive_that_is_damaged(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three pulls two are loaded again, the third is in doubt, and the summary says so, once."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_LIMIT", "1")
    configured.enqueue(APP, [a_reply(text) for text in "abc"])
    assert job()[0] == 0
    (bundle,) = (warehouse.folder / "sms_journal" / "archive").iterdir()
    damage(bundle)
    warehouse.database.unlink()
    status, out, _ = job()
    assert status == 0
    assert "WARNING: 1 pull in doubt" in out
    assert warehouse.contents() == ["a", "c"]
    assert warehouse.query("select at_risk, error from sms.pulls where outcome = 'in_doubt'") == [
        (1, UNREADABLE)
    ]
    status, out, err = job()
    assert (status, err, out.startswith("No new replies")) == (0, "", True)
