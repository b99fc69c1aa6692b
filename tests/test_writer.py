"""What a drain writes into the journal: the intent before the request, then what came of it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sms_source.api.answers import parse_answer
from sms_source.errors import JournalError
from sms_source.feeds import REPLIES
from sms_source.journal.file_format import INTERRUPTED
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalReservation, LocalStorage
from sms_source.journal.pull import Pull, now
from sms_source.journal.spill import Spill
from tests.helpers.journals import BODY, files, intend, keep_answer


class Reservation(LocalReservation):
    """A file of a disk that may be broken."""

    def __init__(self, disk: "Disk", path: str, whole: LocalReservation) -> None:
        super().__init__(disk, path, whole._descriptor)
        self._disk = disk

    def fill(self, final_path: str, content: bytes) -> None:
        """Write, or fail."""
        self._disk.fail_if_broken()
        super().fill(final_path, content)

    def discard(self) -> None:
        """Remove the file, or fail."""
        self._disk.fail_if_broken()
        super().discard()


class Disk(LocalStorage):
    """A folder on a disk that takes nothing more once it is broken."""

    is_broken = False

    def fail_if_broken(self) -> None:
        """Raise what a broken disk has the system raise."""
        if self.is_broken:
            raise OSError("the disk is broken")

    def reserve(self, path: str, size: int) -> Reservation:
        """Reserve room, or fail."""
        self.fail_if_broken()
        return Reservation(self, path, super().reserve(path, size))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Provide a disk that works."""
    return Disk(tmp_path / "journal")


@pytest.fixture
def journal(disk: Disk) -> Iterator[Journal]:
    """Provide an empty journal on it, which this process holds."""
    with Journal(disk.url, storage=disk) as journal:
        yield journal


def test_an_intent_stands_before_the_request_with_room_for_the_answer(journal: Journal) -> None:
    """A process that dies now leaves the next one all that the ledger needs."""
    drain = journal.open_drain()
    intent = intend(drain)
    (file,) = files(journal)
    assert file.name.endswith(".intent")
    assert file.stat().st_size >= 1 << 20
    (found,) = journal.read(drain.drain_id)
    assert found == replace(intent.pull, error=INTERRUPTED)
    assert found.in_doubt


def test_an_answer_is_kept_byte_for_byte_behind_one_line(journal: Journal) -> None:
    """The archive is what Tencent sent, not what this connector made of it."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    (file,) = files(journal)
    envelope, _, body = file.read_bytes().partition(b"\n")
    assert body == BODY
    assert pull.answered_at is not None
    told = {"answered_at": pull.answered_at.isoformat(), "request_id": "r1", "error": None}
    assert json.loads(envelope).items() >= told.items()
    assert file.name == (
        f"000001.replies.1400006666.ap-guangzhou.100.{pull.requested_at:%Y%m%dT%H%M%S%fZ}.answer"
    )
    assert list(journal.read(drain.drain_id)) == [pull]


def test_a_pull_in_doubt_keeps_its_reason_and_what_came(journal: Journal) -> None:
    """A person may want to read the half of an answer that arrived."""
    drain = journal.open_drain()
    intent = intend(drain)
    pull = intent.pull.doubted("Client.TruncatedBody: x", "r9", b'{"Response": {"Pul')
    intent.keep(pull)
    assert list(journal.read(drain.drain_id)) == [pull]


def test_a_pull_that_handed_nothing_out_leaves_nothing(journal: Journal) -> None:
    """A quiet queue does not fill the disk, nor the ledger."""
    drain = journal.open_drain()
    intend(drain).discard()
    drain.close()
    assert files(journal) == []
    assert journal.unloaded() == []


def test_the_end_of_a_drain_leaves_what_it_holds(journal: Journal) -> None:
    """Only an empty folder goes: an answer that nobody has read yet is in it."""
    drain = journal.open_drain()
    pull = keep_answer(drain)
    drain.close()
    assert list(journal.read(drain.drain_id)) == [pull]


def test_pulls_of_several_threads_never_share_a_file(journal: Journal) -> None:
    """Each has a number of its own, and all of them are there."""
    drain = journal.open_drain()
    with ThreadPoolExecutor(4) as threads:
        pulls = list(threads.map(lambda _: keep_answer(drain), range(20)))
    expected = [f"{drain.drain_id}/{number:06d}" for number in range(1, 21)]
    assert sorted(pull.pull_id for pull in pulls) == expected
    assert [pull.pull_id for pull in journal.read(drain.drain_id)] == expected


@pytest.mark.parametrize("channel", ["callback", "lookup"])
def test_what_came_by_another_way_has_a_number_among_the_pulls(journal: Journal, channel: str) -> None:
    """It is in a drain as they are, and what is returned is what will be read."""
    drain = journal.open_drain()
    keep_answer(drain)
    moment = now()
    body = b'{"mobile": "1"}' if channel == "callback" else BODY
    came = Pull("", "replies", "1400006666", "-", 100, moment, moment, body=body, channel=channel)
    kept = drain.add(came)
    assert kept == replace(came, pull_id=f"{drain.drain_id}/000002")
    _, found = journal.read(drain.drain_id)
    assert (found.pull_id, found.channel, found.body) == (kept.pull_id, channel, body)
    assert len(found.records) == 1


def test_without_room_for_an_answer_no_request_is_intended(journal: Journal, disk: Disk) -> None:
    """The message says that nothing is lost, and what to do."""
    drain = journal.open_drain()
    disk.is_broken = True
    with pytest.raises(JournalError) as caught:
        intend(drain)
    assert "(the disk is broken). Nothing more was pulled. Free or enlarge its disk" in str(caught.value)
    disk.is_broken = False
    assert files(journal) == []
    assert intend(drain).pull.pull_id == f"{drain.drain_id}/000002"  # a number is never used twice


def test_an_answer_that_the_journal_refuses_is_in_the_data_directory_and_taken_in_later(
    journal: Journal, disk: Disk
) -> None:
    """So that it is in memory alone only while no disk takes it."""
    drain = journal.open_drain()
    intent = intend(drain)
    pull = intent.pull.answered(parse_answer(REPLIES, BODY), BODY)
    disk.is_broken = True
    with pytest.raises(JournalError, match=r"could not be written into the journal"):
        intent.keep(pull)
    disk.is_broken = False
    assert Spill(journal.identity.journal_id).is_in_use()
    journal.spill.take_into(journal.storage)
    assert list(journal.read(drain.drain_id)) == [pull]
    assert not journal.spill.is_in_use()


def test_an_intent_that_can_not_be_forgotten_is_told(journal: Journal, disk: Disk) -> None:
    """Its file would be a pull in doubt, so that whoever pulls has to know of it."""
    drain = journal.open_drain()
    intent = intend(drain)
    disk.is_broken = True
    with pytest.raises(JournalError, match="could not remove the file of a pull that handed nothing out"):
        intent.discard()
    (found,) = journal.read(drain.drain_id)
    assert found.in_doubt
