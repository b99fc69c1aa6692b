"""One round: in which order what waits is loaded, when another drain begins, and what is left alone."""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sms_source import settings
from sms_source.errors import JournalError
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.writer import JournalDrain
from sms_source.loading.loader import Loader, resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.journals import WEEK, body_of, intend, keep_answer, read_all


@pytest.fixture
def folder(configured: SimulatorProcess, warehouse: Warehouse) -> str:
    """Provide the place of the job's journal, which nobody has used yet."""
    return str(warehouse.folder / "sms_journal")


def loader(**options: Any) -> Loader:
    """Return a loader of the job, as a new process would make it."""
    return Loader(resolve_options({"create_views": False, **options}))


@pytest.mark.long
def test_a_drain_that_is_being_written_is_left_to_another_round(folder: str, warehouse: Warehouse) -> None:
    """What is pushed goes on into it; what is loaded of it now would be archived, and the rest be missed."""
    with Journal(folder) as journal:
        drains = [journal.open_drain() for _ in range(2)]
        for drain, content in zip(drains, "ab", strict=True):
            keep_answer(drain, body_of(a_reply(content)))
    with loader() as job:
        job.round(being_written=[drains[1].drain_id]).raise_for_failure()
        assert warehouse.contents() == ["a"]
        assert job.waiting() == 1
        job.round().raise_for_failure()
        assert job.waiting() == 0
    assert warehouse.contents() == ["a", "b"]


def test_what_is_given_again_is_loaded_before_what_came_since(folder: str, warehouse: Warehouse) -> None:
    """A doubt that the warehouse lost must not take the place of the answer that came late to its pull."""
    with Journal(folder) as journal:
        drain = journal.open_drain()
        intent = intend(drain)
        intent.keep(intent.pull.doubted("Client.ReadTimeout: x"))
        journal.commit([drain.drain_id], "1.5", WEEK)  # a package that the warehouse does not have
        keep_answer(JournalDrain(journal.storage, journal.spill, drain.drain_id), body_of(a_reply("late")))
    with loader() as job:
        summary = job.round()
        summary.raise_for_failure()
    assert summary.missing_packages == 1
    assert warehouse.query("select pull_id, outcome from sms.pulls") == [(intent.pull.pull_id, "answered")]
    assert warehouse.contents() == ["late"]


def test_what_is_loaded_is_not_loaded_again_when_its_removal_ended_halfway(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run tells of no reply, the rows keep their load id, and the archive has each pull once."""
    configured.enqueue(APP, [a_reply(f"{number:02d}") for number in range(30)])
    remove = LocalStorage._remove

    def fail(storage: LocalStorage, path: str) -> None:
        if path.endswith(".answer") and "000002" in path:
            raise OSError("the store is away")
        remove(storage, path)

    with monkeypatch.context() as broken, loader(pull_limit=10) as job:
        broken.setattr(LocalStorage, "_remove", fail)
        with pytest.raises(JournalError, match="could not be archived"):
            job.round()
        assert job.waiting() == 1
    rows = warehouse.query("select reply_content, _dlt_load_id from sms.replies order by 1")
    with loader(pull_limit=10) as job:
        assert (job.round().total("replies"), job.waiting()) == (0, 0)
    assert warehouse.query("select reply_content, _dlt_load_id from sms.replies order by 1") == rows
    with Journal(str(warehouse.folder / "sms_journal")) as journal:
        assert len(read_all(journal)) == 3


@pytest.mark.long
def test_a_round_that_has_gone_on_long_enough_leaves_the_rest_to_the_next(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that is never empty keeps nobody from hearing what was loaded; the queue has what is left."""
    monkeypatch.setattr(settings, "PACKAGE_RECORDS", 200)
    configured.enqueue(APP, [a_reply(f"{number:03d}") for number in range(450)])
    with loader(pull_workers=1) as job:
        summary = job.round(longest=0)
        assert (summary.total("replies"), summary.failures) == (200, [])
        assert configured.stats().queued[f"{APP}/ap-guangzhou"] == 250
        assert job.round().total("replies") == 250
    assert warehouse.contents() == [f"{number:03d}" for number in range(450)]
    assert warehouse.query("select count(distinct _dlt_load_id) from sms.replies") == [(3,)]


def test_the_archive_is_tidied_once_a_day_also_when_nothing_comes(
    configured: SimulatorProcess, folder: str, warehouse: Warehouse
) -> None:
    """Or a job whose queues stay empty would keep what people wrote for ever."""
    configured.enqueue(APP, [a_reply("a")])
    second = 1 / 86_400
    with loader(journal_retention_days=second) as job:
        job.round().raise_for_failure()
    time.sleep(1.1)
    with Journal(folder) as journal:
        assert len(journal.archive.names()) == 1
        tidied_at = journal.identity.tidied_at
        assert tidied_at is not None
    for days, kept in ((0.9, 1), (1.1, 0)):
        with Journal(folder) as journal:
            journal.note(tidied_at=(datetime.fromisoformat(tidied_at) - timedelta(days)).isoformat())
        with loader(journal_retention_days=second) as job:
            assert job.round().total("requests") == 1
        with Journal(folder) as journal:
            assert len(journal.archive.names()) == kept
    assert warehouse.contents() == ["a"]


def test_the_newest_reply_stays_the_newest_when_older_ones_come(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Its age is what a monitor looks at; a late answer does not make it grow."""
    with loader() as job:
        for time in (1_700_000_000, 1_600_000_000):
            configured.enqueue(APP, [a_reply(ReplyTime=time)])
            assert job.round().newest_ever == "2023-11-14T22:13:20+00:00"


@pytest.mark.long
def test_a_copy_of_an_archive_notes_nothing_in_the_job_s_journal(
    folder: str, configured: SimulatorProcess
) -> None:
    """The job would take its own old rows for looked at today."""
    configured.enqueue(APP, [a_reply("a")])
    options = {"create_views": False, "tables_retention_days": 30}
    with Loader(resolve_options(options)) as job:
        job.round().raise_for_failure()
    before = Path(folder, "journal.json").read_text()
    with Loader(resolve_options(options), dataset_name="other") as copy:
        copy.round(replay=True).raise_for_failure()
    assert Path(folder, "journal.json").read_text() == before
