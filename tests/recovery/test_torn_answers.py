"""What a killed process got down of an answer: whole records are rows, the rest stays in doubt."""

import json
from pathlib import Path

import duckdb
import pytest

import sms_source
from sms_source.journal.file_format import INTERRUPTED
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from sms_source.simulator import SimulatorProcess
from tests.conftest import a_reply
from tests.helpers.journals import WEEK, files, intend, keep_answer, read_all

RECORDS = [a_reply(f"reply {number}, 退订") for number in range(3)]
BODY = json.dumps(
    {"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": RECORDS}}, ensure_ascii=False
).encode()
ROOM = bytes(5000)
"""What the reserved room holds: zeros."""


def tear(journal: Journal, written: int, rest: bytes = ROOM) -> Pull:
    """Leave an intent into which so many bytes of the answer's body were written."""
    drain = journal.open_drain()
    pull = keep_answer(drain, BODY)
    (file,) = (file for file in files(journal) if drain.drain_id in str(file))
    envelope, _, body = file.read_bytes().partition(b"\n")
    file.rename(file.with_suffix(".intent")).write_bytes(envelope + b"\n" + body[:written] + rest)
    return pull


def whole_in(body: bytes) -> int:
    """Count the records that are whole in the beginning of the body."""
    ends = [BODY.index(json.dumps(record, ensure_ascii=False).encode()) for record in RECORDS]
    return sum(
        end + len(json.dumps(record, ensure_ascii=False).encode()) <= len(body)
        for end, record in zip(ends, RECORDS, strict=True)
    )


def test_records_that_were_written_whole_are_kept_wherever_the_kill_came(tmp_path: Path) -> None:
    """At each byte: the records are those that are whole, and the pull stays in doubt."""
    with Journal(str(tmp_path / "journal")) as journal:
        for written in range(0, len(BODY), 7):
            answered = tear(journal, written)
            (found,) = journal.read(answered.drain_id)
            count = whole_in(BODY[:written])
            assert found.records == RECORDS[:count]
            assert (found.error, found.request_id, found.answered_at) == (
                INTERRUPTED,
                "r1",
                answered.answered_at,
            )
            assert found.at_risk == 100 - count
            journal.storage.remove_folder(f"drains/{answered.drain_id}")


def test_a_block_that_a_power_cut_left_unwritten_ends_what_is_kept(tmp_path: Path) -> None:
    """What stands behind a hole is not taken for what follows the beginning."""
    with Journal(str(tmp_path / "journal")) as journal:
        answered = tear(journal, 300, bytes(50) + BODY[350:] + ROOM)
        (found,) = journal.read(answered.drain_id)
        assert found.records == RECORDS[: whole_in(BODY[:300])]
        assert found.in_doubt


def test_a_half_written_note_of_doubt_keeps_its_reason(tmp_path: Path) -> None:
    """The reason stands in the envelope, which is whole."""
    with Journal(str(tmp_path / "journal")) as journal:
        drain = journal.open_drain()
        intent = intend(drain)
        intent.keep(intent.pull.doubted("Client.TruncatedBody: x", "r9", BODY[:-20], RECORDS[:2]))
        (file,) = files(journal)
        content = file.read_bytes()[:-100]
        file.rename(file.with_suffix(".intent")).write_bytes(content + ROOM)
        (found,) = journal.read(drain.drain_id)
        assert (found.error, found.request_id) == ("Client.TruncatedBody: x", "r9")
        assert found.records == RECORDS[:2]


def test_the_archive_gives_a_torn_answer_back_as_it_was_loaded(tmp_path: Path) -> None:
    """So that a replay meets the same rows."""
    with Journal(str(tmp_path / "journal")) as journal:
        answered = tear(journal, len(BODY) - 200)
        (before,) = journal.read(answered.drain_id)
        journal.commit([answered.drain_id], "1.5", WEEK)
        (after,) = read_all(journal)
        assert (after.records, after.error, after.pull_id) == (before.records, before.error, before.pull_id)
        assert after.load_id == "1.5"


@pytest.mark.long
@pytest.mark.parametrize("records", [0, 2])
def test_whole_records_of_a_torn_answer_are_rows_and_stay_so_in_a_replay(
    configured: SimulatorProcess, own_folders: Path, records: int
) -> None:
    """They are loaded once, under the ids of their places, and the ledger says what is still at risk."""
    with Journal("sms_journal") as journal:
        written = BODY.index(json.dumps(RECORDS[records], ensure_ascii=False).encode())
        answered = tear(journal, written)
    for replay in (False, True):
        sms_source.load(replay=replay)
        with duckdb.connect("sms_replies.duckdb", read_only=True) as connection:
            rows = connection.sql("select reply_id, reply_content from sms.replies order by 1").fetchall()
            ledger = connection.sql("select outcome, records, at_risk from sms.pulls").fetchall()
        assert rows == [
            (f"{answered.pull_id}/{place}", RECORDS[place]["ReplyContent"]) for place in range(records)
        ]
        assert ledger == [("in_doubt", records, 100 - records)]
