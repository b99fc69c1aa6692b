"""The journal in an object store: the same promise, with a real client against a real server."""

from datetime import timedelta

import pytest

from sms_source.api.answers import parse_answer
from sms_source.errors import JournalLockedError
from sms_source.feeds import REPLIES
from sms_source.journal import object_storage
from sms_source.journal.journal import Journal
from sms_source.journal.object_storage import ObjectStorage
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.crash.harness import Options
from tests.crash.test_crash import SEED, assert_promise_is_kept
from tests.s3.conftest import S3Server

BODY = b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": [{"a": 1}]}}'


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of this process ends soon, so that a test need not wait for it."""
    monkeypatch.setattr(object_storage, "LEASE_SECONDS", 1.5)


def test_a_drain_is_kept_read_committed_and_expired(journal_url: str) -> None:
    """The journal's life is the same as on a disk."""
    journal = Journal(journal_url)
    drain = journal.open_drain()
    kept = drain.intend(APP, "ap-guangzhou", 100).answered(parse_answer(REPLIES, BODY), BODY)
    drain.answer(kept)
    doubted = drain.intend(APP, "ap-guangzhou", 100).doubted("Client.ReadTimeout: x")
    drain.doubt(doubted)
    left = drain.intend(APP, "ap-guangzhou", 100)
    drain.discard(drain.intend(APP, "ap-guangzhou", 100))
    found = list(journal.read(drain.drain_id))
    assert found[:2] == [kept, doubted]
    assert (found[2].pull_id, found[2].in_doubt, len(found)) == (left.pull_id, True, 3)
    assert journal.uncommitted() == [drain.drain_id]
    journal.commit([drain.drain_id])
    assert journal.uncommitted() == []
    journal.expire(timedelta(0))
    assert (journal.drains(), journal.storage.names("committed")) == ([], [])


def test_thousands_of_objects_are_listed_and_removed_whole(journal_url: str, s3: S3Server) -> None:
    """A store lists a thousand names at a time, and removes as many."""
    s3.files().pipe({f"{journal_url}/committed/{number:04d}": b"" for number in range(1_100)})
    storage = Journal(journal_url).storage
    assert len(storage.names("committed")) == 1_100
    storage.remove_folder("committed")
    assert storage.names("committed") == []


def test_a_process_may_enter_twice(journal_url: str) -> None:
    """As the main job and its source do."""
    with Journal(journal_url), Journal(journal_url):
        pass


def test_a_living_holder_is_respected_and_a_dead_one_is_not(short_lease: None, journal_url: str) -> None:
    """A killed run can't give its lease back; a living one renews it."""
    other = Journal(journal_url, storage=ObjectStorage(journal_url))
    with Journal(journal_url), pytest.raises(JournalLockedError, match="Another process is using"):
        other.__enter__()
    with other:
        pass
    other.storage.write("lease", b"of a dead process")
    with other:
        pass


def test_a_holder_that_was_taken_for_dead_pulls_no_more(short_lease: None, journal_url: str) -> None:
    """It slept, and another process has the journal now: that one's lease stays."""
    journal = Journal(journal_url)
    with journal:
        journal.storage.write("lease", b"of another process")
        drain = journal.open_drain()
        with pytest.raises(OSError, match="another process may have the journal"):  # noqa: PT012
            while True:
                drain.discard(drain.intend(APP, "ap-guangzhou", 100))
    assert journal.storage.read("lease") == b"of another process"


def test_the_main_job_runs_with_its_journal_in_the_store(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Everything lands, once, and the drain is committed by the next run."""
    configured_with_s3.enqueue(APP, [a_reply(f"{n:05d}") for n in range(3_000)])
    assert job()[0] == 0
    assert job()[0] == 0
    assert warehouse.contents() == [f"{n:05d}" for n in range(3_000)]


def test_a_store_that_can_not_be_reached_lets_no_pull_out(
    configured_with_s3: SimulatorProcess, s3: S3Server, job: Job
) -> None:
    """No pull goes out whose answer has nowhere to go."""
    s3.stop()
    status, _, err = job()
    assert status == 1
    assert "Traceback" not in err
    assert configured_with_s3.stats().pulls == 0


@pytest.mark.timeout(600)
def test_kills_of_the_job_lose_and_double_nothing(journal_url: str) -> None:
    """SIGKILL at random moments, on runners that keep nothing: what the store has is loaded, once."""
    options = Options(
        kills=8, seed=SEED, wipe_working_directory=True, exec_share=0.05, journal_url=journal_url
    )
    assert_promise_is_kept(options)
