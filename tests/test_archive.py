"""The archive: bundles that any tool can read, of which there are few however many drains there were."""

import io
import zipfile
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sms_source.journal import archive
from sms_source.journal.archive import MERGED_AT, BundleName, is_bundle
from sms_source.journal.bundle import Member, as_bundle, read_bundle
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from sms_source.journal.writer import JournalDrain
from tests.helpers.journals import BODY, WEEK, intend, keep_answer, read_all


def bundles(journal: Journal) -> list[Path]:
    """Return the files of the archive."""
    return sorted((Path(journal.url) / "archive").glob("*"))


def load(journal: Journal, load_id: str, started_at: datetime | None = None) -> Pull:
    """Have a pull loaded by a package of its own; return it as the archive gives it."""
    drain = journal.open_drain()
    if started_at:
        drain = JournalDrain(journal.storage, journal.spill, f"{started_at:%Y%m%dT%H%M%S%fZ}-0123abcd")
    pull = keep_answer(drain)
    journal.commit([drain.drain_id], load_id, WEEK)
    return replace(pull, load_id=load_id)


def load_id_of(moment: datetime) -> str:
    """Return dlt's id of a load of a moment."""
    return str(moment.timestamp())


def test_any_tool_reads_a_bundle(journal: Journal) -> None:
    """Years later, without this program: an uncompressed ZIP file, each answer byte for byte."""
    pull = load(journal, "1.5")
    (bundle,) = bundles(journal)
    with zipfile.ZipFile(bundle) as opened:
        (member,) = opened.infolist()
        assert member.compress_type == zipfile.ZIP_STORED
        assert member.filename.startswith(f"{pull.drain_id}/000001.replies.")
        assert opened.read(member).endswith(b"\n" + BODY)
    assert BODY in bundle.read_bytes()


def test_a_bundle_s_name_says_which_load_proves_it(journal: Journal) -> None:
    """So that a warehouse is asked without a bundle being read."""
    load(journal, "1700000000.25")
    (name,) = journal.archive.names()
    assert name.load_id == "1700000000.25"
    assert BundleName.parse(str(name)) == name
    assert is_bundle(str(name))


@pytest.mark.parametrize("name", ["", "x.zip", "20260231T000000000000Z", "a-b-c.89abcdef.0.1.zip"])
def test_what_is_no_bundle_is_none(name: str) -> None:
    """Somebody's own archive beside them is left alone."""
    assert not is_bundle(name)
    with pytest.raises(ValueError, match="is no bundle"):
        BundleName.parse(name)


def test_two_parts_of_one_drain_that_one_package_loads_both_stay(journal: Journal) -> None:
    """A commit was killed amid removing the drain's files; then the warehouse went back in time."""
    drain = journal.open_drain()
    pulls = [keep_answer(drain) for _ in range(3)]
    journal.commit([drain.drain_id], "1.5", WEEK)
    (bundle,) = bundles(journal)
    (left,) = [member for member in read_bundle(bundle.read_bytes()) if member.name.startswith("000002")]
    journal.give_again()
    journal.storage.write(f"drains/{drain.drain_id}/{left.name}", left.content)
    journal.commit(journal.unloaded(), "2.5", WEEK)
    assert {pull.pull_id for pull in read_all(journal)} == {pull.pull_id for pull in pulls}


def test_many_small_drains_become_few_bundles(journal: Journal) -> None:
    """Of 3 times as many as are merged, 3 stay and what is left over; each pull is there once."""
    pulls = [load(journal, f"{number}.5") for number in range(3 * MERGED_AT + 2)]
    assert len(bundles(journal)) == 3 + 2
    assert sorted(read_all(journal), key=lambda pull: pull.pull_id) == pulls


def test_a_merge_that_was_killed_leaves_each_pull_once_in_the_end(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between writing the large bundle and removing the small ones, both are there."""
    pulls = [load(journal, f"{number}.5") for number in range(MERGED_AT - 1)]
    with monkeypatch.context() as killed:

        def end(*_: object) -> None:
            raise KeyboardInterrupt

        killed.setattr(archive.Archive, "_write_as", end)
        with pytest.raises(KeyboardInterrupt):
            load(journal, "98.5")
    pulls.append(replace(keep_answer(journal.open_drain()), load_id="99.5"))
    journal.commit(journal.unloaded(), "99.5", WEEK)
    found = {pull.pull_id for pull in read_all(journal)}
    assert {pull.pull_id for pull in pulls} <= found


def test_a_large_bundle_is_not_written_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging costs no more than the small ones' own size."""
    monkeypatch.setattr(archive, "BUNDLE_BYTES", 1_000)
    for number in range(MERGED_AT + 1):
        drain = journal.open_drain()
        for _ in range(3):
            keep_answer(drain)
        journal.commit([drain.drain_id], f"{number}.5", WEEK)
    assert len(bundles(journal)) == MERGED_AT + 1
    assert {name.level for name in journal.archive.names()} == {archive.FINAL_LEVEL}


def test_the_retention_deletes_what_is_old(journal: Journal) -> None:
    """What was loaded longer ago goes; what is not loaded stays however old."""
    long_ago = datetime.now(timezone.utc) - timedelta(days=8)
    load(journal, load_id_of(long_ago), long_ago)
    new = load(journal, load_id_of(datetime.now(timezone.utc)))
    assert read_all(journal) == [new]
    late = JournalDrain(journal.storage, journal.spill, f"{long_ago:%Y%m%dT%H%M%S%fZ}-4567abcd")
    pull = keep_answer(late)
    assert pull in read_all(journal)


def test_what_waited_for_long_is_kept_from_its_load_on(journal: Journal) -> None:
    """The destination was away for longer than the retention: the warehouse can heal all the same."""
    now = datetime.now(timezone.utc)
    late = load(journal, load_id_of(now), now - timedelta(days=8))
    assert read_all(journal) == [late]
    load(journal, load_id_of(now), now - timedelta(days=9))
    journal.archive.tidy(timedelta(0))
    assert journal.archive.names() == []


def test_a_merge_makes_nothing_stay_longer(journal: Journal) -> None:
    """Loads of different days are in different bundles, each with the id of its own day's last load."""
    now = datetime.now(timezone.utc)
    for number in range(MERGED_AT):
        moment = now - timedelta(days=6 - number // 6)
        load(journal, load_id_of(moment), now - timedelta(days=6))
    names = journal.archive.names()
    assert len(names) < MERGED_AT
    loads = {load_id_of(now - timedelta(days=days)) for days in range(1, 7)}
    assert {name.load_id for name in names} == loads
    journal.archive.tidy(timedelta(days=3.5))
    assert len(read_all(journal)) == MERGED_AT - 3 * 6


def test_drains_of_different_days_are_in_different_bundles(journal: Journal) -> None:
    """A bundle is deleted whole, so it must not hold what is much younger."""
    now = datetime.now(timezone.utc)
    days = [
        JournalDrain(journal.storage, journal.spill, f"{now - timedelta(days=n):%Y%m%dT%H%M%S%fZ}-0123abcd")
        for n in (6, 3, 0)
    ]
    for drain in days:
        keep_answer(drain)
    journal.commit([drain.drain_id for drain in days], "1.5", WEEK)
    assert len(bundles(journal)) == 3


def test_a_clock_that_jumps_ahead_or_back_costs_nothing(journal: Journal) -> None:
    """Ids order a listing; what is loaded and what is kept does not hang on them."""
    future = load(journal, "1.5", datetime(2099, 12, 31, tzinfo=timezone.utc))
    now = load(journal, "2.5")
    assert {pull.pull_id for pull in read_all(journal)} == {future.pull_id, now.pull_id}


@pytest.mark.parametrize("damage", [b"", b"garbage", b"PK\x03\x04"])
def test_a_damaged_bundle_is_set_aside_and_stops_nothing(
    journal: Journal, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept for a person; what else is there is given again."""
    load(journal, "1.5")
    good = load(journal, "2.5")
    bundles(journal)[0].write_bytes(damage)
    journal.give_again()
    items = journal.unloaded()
    assert [pull for item in items for pull in journal.read(item)] == [good]
    journal.commit(items, "3.5", WEEK)
    assert "is set aside" in caplog.text
    assert [path.read_bytes() for path in Path(journal.url).rglob("unreadable/**/*.zip")] == [damage]


@pytest.mark.parametrize(
    "member",
    [
        "20260231T000000000000Z-0123abcd/000001.replies.1.x.1.20260101T000000000000Z.answer",
        "../../escaped/000001.replies.1.x.1.20260101T000000000000Z.answer",
        "notes.txt",
    ],
)
def test_a_bundle_with_what_is_no_pull_stops_nothing(journal: Journal, member: str) -> None:
    """Somebody has made a ZIP file of that name: an impossible date, a path, notes."""
    load(journal, "1.5")
    (bundle,) = bundles(journal)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        written.writestr(member, b"{}\n")
    bundle.write_bytes(content.getvalue())
    pulls = [load(journal, f"{number}.5") for number in range(2, MERGED_AT + 2)]
    assert {pull.pull_id for pull in read_all(journal)} >= {pull.pull_id for pull in pulls}


def test_members_come_back_as_they_were_given() -> None:
    """Drain, name, content and the load that brought each first."""
    name = "000001.replies.1400006666.ap-guangzhou.100.20260101T000000000000Z.answer"
    members = [
        Member("20260101T000000000000Z-0123abcd", name, b"x" * size, load_id)
        for size, load_id in ((0, ""), (1, "1.5"), (70_000, "2.5"))
    ]
    assert list(read_bundle(as_bundle(members[:1]))) == members[:1]
    for member in members:
        assert list(read_bundle(as_bundle([member]))) == [member]


def test_what_came_late_of_a_pull_takes_out_the_doubt_that_was_archived(journal: Journal) -> None:
    """A valid answer beats a note of doubt wherever that is: a replay must not bring the doubt back."""
    drain = journal.open_drain()
    intent = intend(drain)
    intent.keep(intent.pull.doubted("Client.ReadTimeout: x"))
    journal.commit([drain.drain_id], "1.5", WEEK)
    again = JournalDrain(journal.storage, journal.spill, drain.drain_id)
    pull = keep_answer(again)
    assert pull.pull_id == intent.pull.pull_id
    journal.commit([drain.drain_id], "2.5", WEEK)
    assert read_all(journal) == [replace(pull, load_id="2.5")]
