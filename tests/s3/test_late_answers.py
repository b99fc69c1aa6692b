"""Answers that come into the journal late, from a process that was taken for dead: none is lost."""

from sms_source.api.answers import parse_answer
from sms_source.feeds import REPLIES
from sms_source.journal.file_format import encode, file_name
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from tests.helpers.journals import BODY, WEEK, intend, keep_answer, read_all

LOAD_ID, NEXT_LOAD_ID = "1700000000.1", "1700000001.1"


def come_late(journal: Journal, pull: Pull) -> Pull:
    """Have the answer of a pull come, as its process writes it."""
    answered = pull.answered(parse_answer(REPLIES, BODY), BODY)
    journal.storage.write(f"drains/{pull.drain_id}/{file_name(answered, 'answer')}", encode(answered))
    return answered


def test_a_valid_answer_beats_the_note_of_doubt_beside_it(journal_url: str) -> None:
    """Whichever was written first."""
    with Journal(journal_url) as journal:
        drain = journal.open_drain()
        intent = intend(drain)
        intent.keep(intent.pull.doubted("Client.ReadTimeout: x"))
        answered = come_late(journal, intent.pull)
        assert list(journal.read(drain.drain_id)) == [answered]


def test_a_drain_into_which_an_answer_came_since_it_was_read_is_not_archived(journal_url: str) -> None:
    """What was loaded of it lacks that answer: the next package loads it again."""
    with Journal(journal_url) as journal:
        drain, other = journal.open_drain(), journal.open_drain()
        kept, left, whole = keep_answer(drain), intend(drain).pull, keep_answer(other)
        loaded = [pull for item in journal.unloaded() for pull in journal.read(item)]
        assert [pull.in_doubt for pull in loaded] == [False, True, False]
        answered = come_late(journal, left)
        journal.commit([drain.drain_id, other.drain_id], LOAD_ID, WEEK)
        assert journal.unloaded() == [drain.drain_id]
        assert list(journal.read(drain.drain_id)) == [kept, answered]
        journal.commit([drain.drain_id], NEXT_LOAD_ID, WEEK)
        assert journal.unloaded() == []
        assert sorted(pull.pull_id for pull in read_all(journal) if not pull.in_doubt) == sorted(
            pull.pull_id for pull in (kept, answered, whole)
        )


def test_an_answer_that_comes_while_its_drain_is_archived_stays(journal_url: str) -> None:
    """Only what was listed is removed."""
    with Journal(journal_url) as journal:
        drain = journal.open_drain()
        keep_answer(drain)
        left = intend(drain).pull
        list(journal.read(drain.drain_id))
        write = journal.storage.write

        def write_and_come_late(path: str, content: bytes) -> None:
            write(path, content)
            if path.startswith("archive/"):
                come_late(journal, left)

        journal.storage.write = write_and_come_late  # type: ignore[method-assign]
        journal.commit([drain.drain_id], LOAD_ID, WEEK)
        journal.storage.write = write  # type: ignore[method-assign]
        assert journal.unloaded() == [drain.drain_id]
        assert [pull.pull_id for pull in journal.read(drain.drain_id)] == [left.pull_id]


def test_the_archive_has_the_late_answer_and_no_doubt_of_it(journal_url: str) -> None:
    """A replay gives each pull once, in whatever order the bundles come."""
    with Journal(journal_url) as journal:
        drain = journal.open_drain()
        kept, left, unknown = keep_answer(drain), intend(drain).pull, intend(drain).pull
        list(journal.read(drain.drain_id))
        journal.commit([drain.drain_id], LOAD_ID, WEEK)
        answered = come_late(journal, left)
        assert journal.unloaded() == [drain.drain_id]
        list(journal.read(drain.drain_id))
        journal.commit([drain.drain_id], NEXT_LOAD_ID, WEEK)
        found = {pull.pull_id: pull for pull in read_all(journal)}
        assert len(read_all(journal)) == 3
        assert not found[kept.pull_id].in_doubt
        assert found[answered.pull_id].records == answered.records
        assert found[unknown.pull_id].in_doubt


def test_a_bundle_of_nothing_but_a_doubt_that_is_answered_goes(journal_url: str) -> None:
    """It would hold nothing."""
    with Journal(journal_url) as journal:
        drain = journal.open_drain()
        left = intend(drain).pull
        list(journal.read(drain.drain_id))
        journal.commit([drain.drain_id], LOAD_ID, WEEK)
        come_late(journal, left)
        list(journal.read(drain.drain_id))
        journal.commit([drain.drain_id], NEXT_LOAD_ID, WEEK)
        assert [name.load_id for name in journal.archive.names()] == [NEXT_LOAD_ID]
