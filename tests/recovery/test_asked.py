"""Who is asked about again, and who is not; and what the journal makes of looked-up records."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

import sms_source
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.pull import Pull, now
from sms_source.recovery.asked import Asked
from sms_source.recovery.asked import now as asked_now
from sms_source.recovery.questions import Question, questions_about
from sms_source.recovery.warehouse import Doubt
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.helpers.journals import WEEK, read_all
from tests.recovery.conftest import Lose, Query, number_of, reply_of

DAY = 86_400


def question(person: int) -> Question:
    """Ask about one of many people."""
    return Question(REPLIES, "1400006666", number_of(person), 0, 1)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Provide an empty journal's folder."""
    return LocalStorage(tmp_path / "journal")


def test_a_recovery_that_was_killed_does_not_ask_again(storage: LocalStorage) -> None:
    """Unless there was another doubt since."""
    first = Asked(storage, "aaaaaaaa")
    first.note(question(1), asked_now())
    first.save()
    second = Asked(storage, "aaaaaaaa")
    doubt = int(time.time()) - 60
    assert second.is_resumed
    assert [second.is_done(question(person), doubt) for person in (1, 2)] == [True, False]
    assert not second.is_done(question(1), int(time.time()) + 60)


def test_a_recovery_that_has_ended_asks_again_until_a_day_after_the_doubt(storage: LocalStorage) -> None:
    """A record may show late; after a day, it is not expected to show any more."""
    first = Asked(storage, "aaaaaaaa")
    first.note(question(1), asked_now())
    first.save(is_finished=True)
    second = Asked(storage, "aaaaaaaa")
    assert not second.is_resumed
    assert not second.is_done(question(1), int(time.time()) - 60)
    assert second.is_done(question(1), int(time.time()) - 2 * DAY)
    assert not second.is_done(question(2), int(time.time()) - 2 * DAY)


def test_what_was_asked_since_a_moment_counts_for_that_alone(storage: LocalStorage) -> None:
    """A recovery that goes further back asks about everybody."""
    first = Asked(storage, "aaaaaaaa", since=int(time.time()) - DAY)
    first.note(question(1), asked_now())
    first.save()
    assert not Asked(storage, "aaaaaaaa").is_resumed
    first.save(is_finished=True)
    assert not Asked(storage, "aaaaaaaa").is_done(question(1), int(time.time()) - 2 * DAY)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_a_damaged_note_has_everybody_asked_about(storage: LocalStorage, damage: bytes) -> None:
    """Asking again costs time and nothing else."""
    storage.write("recovery.json", damage)
    asked = Asked(storage, "aaaaaaaa")
    assert not asked.is_resumed
    assert not asked.is_done(question(1), 0)


def test_looked_up_records_keep_their_ids_in_the_archive(tmp_path: Path) -> None:
    """So that a replay meets the same rows; one that can't be read is set aside, and is no pull in doubt."""
    body = b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": [{"ReplyContent": "T"}]}}'
    found = Pull("", "replies", "1400006666", "ap-guangzhou", 100, now(), now(), "r1")
    found = replace(
        found, channel="lookup", records=[{"ReplyContent": "T"}], body=body, record_ids=["lookup/x/1"]
    )
    with Journal(str(tmp_path / "journal")) as journal:
        drain = journal.open_drain()
        kept = [drain.add(found), drain.add(found)]
        assert list(journal.read(drain.drain_id)) == kept
        (path,) = (path for path in Path(journal.url).rglob("000002.*.lookup"))
        path.write_bytes(b"garbage")
        journal.commit([drain.drain_id], "1.5", WEEK)
        assert read_all(journal) == [replace(kept[0], load_id="1.5")]


@pytest.mark.long
def test_pseudonyms_are_recovered_once_and_leave_no_number(
    configured: SimulatorProcess, lose: Lose, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the look-up tells is compared with the pseudonyms that the table has, in texts too."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PSEUDONYM_KEY", "0123456789abcdef0123456789abcdef")
    texts = [f"call {number_of(1)}", "T", "call 021-1234-5678"]
    configured.enqueue(APP, [reply_of(1, text) for text in texts[:2]])
    sms_source.load()
    lose([reply_of(1, texts[2], ago=60)])
    for _ in range(2):
        summary = sms_source.recover(numbers=[number_of(1)])
        summary.raise_for_failure()
    assert summary.recovered.total() == 0
    rows = query("select phone_number, reply_content, reply_id from sms.replies")
    assert len(rows) == 3
    assert sorted(record_id.partition("/")[0] == "lookup" for _, _, record_id in rows) == [False, False, True]
    assert number_of(1)[1:] not in str(rows)
    assert {number for number, _, _ in rows} == {
        sms_source.pseudonym(number_of(1), "0123456789abcdef0123456789abcdef")
    }


def test_who_was_asked_about_in_the_second_of_the_doubt_is_not_asked_again() -> None:
    """A recovery right after the pull would begin anew when it goes on."""
    doubts = [Doubt("replies", APP, "ap-guangzhou", moment, 100) for moment in (100.25, 99.5)]
    ((question, newest),) = questions_about(doubts, {"replies": ["+8612000000001"]}, 0, 500.0)
    assert newest == 100.25
    assert question.end > 101
