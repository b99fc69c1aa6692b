"""The journal in an object store: the same promise, with a real client against a real server."""

from datetime import timedelta
from pathlib import Path

import pytest

from sms_source.journal import archive
from sms_source.journal.journal import Journal
from sms_source.journal.object_storage import ObjectStorage
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.journals import WEEK, intend, keep_answer, read_all
from tests.s3.conftest import KEY_ID, SECRET_KEY, S3Server
from tests.s3.proxy import Proxy

REPLIES = [f"{number:05d}" for number in range(3_000)]


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_a_drain_is_kept_read_archived_and_deleted(kind: str, journal_url: str, short_lease: None) -> None:
    """The journal's life is the same as on a disk, in S3 as in whatever else fsspec reaches."""
    with Journal(journal_url if kind == "s3" else journal_url.replace("s3://", "memory://")) as journal:
        drain = journal.open_drain()
        kept = keep_answer(drain)
        intent = intend(drain)
        doubted = intent.pull.doubted("Client.ReadTimeout: x")
        intent.keep(doubted)
        left = intend(drain)
        intend(drain).discard()
        found = list(journal.read(drain.drain_id))
        assert found[:2] == [kept, doubted]
        assert (found[2].pull_id, found[2].in_doubt, len(found)) == (left.pull.pull_id, True, 3)
        assert journal.unloaded() == [drain.drain_id]

        journal.commit([drain.drain_id], "1700000000.1", WEEK)
        assert (journal.unloaded(), journal.storage.names("drains")) == ([], [])
        assert [pull.pull_id for pull in read_all(journal)] == [pull.pull_id for pull in found]
        journal.archive.tidy(timedelta(0))
        assert journal.storage.names("archive") == []


def test_thousands_of_objects_are_listed_read_and_removed_together(
    proxy: Proxy, journal_url: str, s3: S3Server
) -> None:
    """A store lists a thousand names in a request, and removes as many."""
    paths = [f"drains/x/{number:04d}" for number in range(1_010)]
    s3.files().pipe({f"{journal_url}/{path}": path.encode() for path in paths})
    storage = ObjectStorage(journal_url)
    assert [f"drains/x/{name}" for name in storage.names("drains/x")] == paths
    assert list(storage.read_many(paths[:150])) == [path.encode() for path in paths[:150]]

    proxy.taken.clear()
    storage.remove(paths[:1_005])
    assert [method for method, _ in proxy.taken] == ["POST"] * 2
    storage.remove_folder("drains/x")
    storage.remove([])
    assert storage.names("drains/x") == []


def test_what_is_not_there_is_told_each_by_itself(journal_url: str) -> None:
    """Of files that are read together, one may be gone by then; and to remove it is no failure."""
    storage = ObjectStorage(journal_url)
    storage.write("a", b"1")
    first, second = storage.read_many(["a", "b"])
    assert first == b"1"
    assert isinstance(second, FileNotFoundError)
    storage.remove(["b"])
    storage.remove(["a", "b"])
    assert storage.names("") == []


def test_small_bundles_are_merged(journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive has some objects, not one a drain, and all pulls are in it."""
    monkeypatch.setattr(archive, "MERGED_AT", 4)
    with Journal(journal_url) as journal:
        kept = []
        for number in range(18):
            drain = journal.open_drain()
            kept.append(keep_answer(drain))
            journal.commit([drain.drain_id], f"1700000000.{number:03d}", WEEK)
        assert len(journal.archive.names()) <= 6
        assert sorted(pull.pull_id for pull in read_all(journal)) == [pull.pull_id for pull in kept]


def test_the_main_job_runs_with_its_journal_in_the_store(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, job: Job, s3: S3Server, journal_url: str
) -> None:
    """Everything lands, once, and is in the archive when the run ends."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REPLIES])
    assert job()[0] == 0
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES
    names = [path.partition(journal_url.removeprefix("s3://"))[2] for path in s3.files().find(journal_url)]
    assert [name for name in names if not name.startswith("/archive/")] == ["/journal.json", "/lease"]


def test_a_replay_from_the_store_doubles_nothing(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The bundles are given again, and are in the archive when it ends."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REPLIES])
    assert job()[0] == 0
    for _ in range(2):
        assert job("--replay")[0] == 0
        assert warehouse.contents() == REPLIES
        assert warehouse.query("select count(*), count(distinct pull_id) from sms.pulls") == [(30, 30)]


def test_a_database_that_is_gone_is_made_again_from_the_store(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """As on a runner that keeps nothing."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REPLIES])
    assert job()[0] == 0
    warehouse.database.unlink()
    configured_with_s3.enqueue(APP, [a_reply("later")])
    assert job()[0] == 0
    assert warehouse.contents() == [*REPLIES, "later"]


def test_a_store_that_can_not_be_reached_lets_no_pull_out(
    configured_with_s3: SimulatorProcess, job: Job
) -> None:
    """No pull goes out whose answer has nowhere to go."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCES__SMS_SOURCE__JOURNAL__CREDENTIALS__ENDPOINT_URL", server.url)
        server.stop()
        status, _, err = job()
    assert status == 1
    assert "Traceback" not in err
    assert configured_with_s3.stats().pulls == 0


def files_with(secret: str, folder: Path) -> list[str]:
    """Names of the files that hold a text."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "trace.pickle" for path in paths)
    return [path.name for path in paths if secret.encode() in path.read_bytes()]


def test_the_stores_credentials_are_in_no_file_and_no_output(
    configured_with_s3: SimulatorProcess, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in dlt's trace, not in what a run prints, whether it ends well or not."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REPLIES])
    told = [*job("--verbose", "--log-format", "json")]
    assert told[0] == 0
    for secret in (KEY_ID, SECRET_KEY):
        assert files_with(secret, tmp_path) == []
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", "s3://no-such-bucket/x")
    told += job("--verbose")
    assert told[3] == 1
    assert KEY_ID not in str(told)
    assert SECRET_KEY not in str(told)


def test_the_stores_credentials_are_not_in_the_trace_of_a_pipeline_of_ones_own(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, tmp_path: Path
) -> None:
    """There, dlt resolves them while it extracts."""
    configured_with_s3.enqueue(APP, [a_reply()])
    warehouse.run()
    for secret in (KEY_ID, SECRET_KEY):
        assert files_with(secret, tmp_path) == []
