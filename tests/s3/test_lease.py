"""The lease of a journal in a store: one holder at a time, by conditional writes."""

import json
import os
import threading
import time
from contextlib import suppress

import pytest

from sms_source.errors import JournalLockedError
from sms_source.journal import lease
from sms_source.journal.journal import Journal
from sms_source.journal.object_storage import ObjectStorage
from tests.helpers.journals import intend
from tests.s3.conftest import S3Server
from tests.s3.proxy import Proxy

pytestmark = pytest.mark.usefixtures("short_lease")


def is_lease(method: str, path: str) -> bool:
    """Return a write of the lease."""
    return method == "PUT" and path.endswith("/lease")


def test_the_lease_is_taken_renewed_and_given_back_on_condition(proxy: Proxy, journal_url: str) -> None:
    """If nothing is there, then only as the version that was read: no write of it has no condition."""
    storage = ObjectStorage(journal_url)
    for _ in range(2):
        storage.acquire()
        storage.check_held()
        storage.release()
    conditions = [condition for _, path, condition in proxy.conditional if path.endswith("/lease")]
    assert conditions[0] == "If-None-Match: *"
    assert len(conditions) >= 6
    assert all(condition.startswith("If-Match: ") for condition in conditions[1:])
    assert len(conditions) == sum(is_lease(*request) for request in proxy.taken)


def take_at_once(journal_url: str, count: int) -> list[ObjectStorage]:
    """Have some threads take it; return those that were not refused."""
    taken: list[ObjectStorage] = []

    def take() -> None:
        storage = ObjectStorage(journal_url)
        with suppress(JournalLockedError):
            storage.acquire()
            taken.append(storage)

    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


@pytest.mark.parametrize("left", [None, b'{"released": true}', b'{"holder": "a dead process"}'])
def test_of_many_who_want_it_at_once_one_gets_it(left: bytes | None, proxy: Proxy, journal_url: str) -> None:
    """Whether it was never taken, was given back, or is a dead process's."""
    if left:
        ObjectStorage(journal_url).write(lease.FILE, left)
    (holder,) = take_at_once(journal_url, 12)
    holder.check_held()
    holder.release()


def test_the_message_names_the_holder(journal_url: str) -> None:
    """Process, machine, since when: who is told to wait can find it."""
    with Journal(journal_url), pytest.raises(JournalLockedError) as caught:
        Journal(journal_url).__enter__()
    assert f"in use by process {os.getpid()} on {os.uname().nodename}, since 20" in str(caught.value)


def test_a_second_user_in_the_process_is_refused(journal_url: str) -> None:
    """Of the same journal, and of the same object: two would take each other's pulls for cut off."""
    with Journal(journal_url) as journal:
        for second in (Journal(journal_url), journal):
            with pytest.raises(JournalLockedError, match="is in use by process"):
                second.__enter__()
        journal.storage.check_held()


def test_who_waits_gets_it_when_its_holder_ends(journal_url: str) -> None:
    """A manual run beside `--follow` waits for a pause between rounds."""
    first, second = ObjectStorage(journal_url), ObjectStorage(journal_url)
    first.acquire()
    renewed = threading.Event()

    def end() -> None:
        renewed.wait()
        first.release()

    ending = threading.Thread(target=end)
    ending.start()
    threading.Timer(2 * lease.LEASE_SECONDS, renewed.set).start()
    second.acquire(wait_seconds=60)
    ending.join()
    second.check_held()
    second.release()


@pytest.mark.parametrize("content", [b'{"holder": "dead", "released": false}', b"of another version"])
def test_a_dead_holders_lease_is_taken_over(content: bytes, journal_url: str, s3: S3Server) -> None:
    """Whatever it has left in it."""
    s3.files().pipe_file(f"{journal_url}/lease", content)
    with Journal(journal_url) as journal:
        journal.storage.check_held()


def test_a_lease_that_another_has_taken_stays_the_others(journal_url: str) -> None:
    """The one that was taken for dead pulls nothing, loads nothing, and gives nothing back."""
    storage = ObjectStorage(journal_url)
    storage.acquire()
    storage.write(lease.FILE, b'{"holder": "another"}')
    with pytest.raises(JournalLockedError, match="another one may have taken it"):
        storage.check_held()
    with pytest.raises(JournalLockedError, match="another one may have taken it"):
        storage.reserve("drains/x", 1)
    storage.release()
    assert json.loads(storage.read(lease.FILE)) == {"holder": "another"}


def test_a_holder_whose_renewals_fail_stops_before_another_can_have_it(
    proxy: Proxy, journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody else can have it, it goes on without the store's word; then no more."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 6.0)
    monkeypatch.setenv(
        "SOURCES__SMS_SOURCE__JOURNAL__KWARGS", '{"config_kwargs": {"retries": {"max_attempts": 0}}}'
    )
    with Journal(journal_url) as journal:
        proxy.fail("unavailable", is_lease)
        journal.storage.check_held()
        drain = journal.open_drain()
        with pytest.raises(JournalLockedError, match="cut off from the journal"):  # noqa: PT012
            while True:
                intend(drain).discard()
        with pytest.raises(JournalLockedError, match="cut off from the journal"):
            journal.storage.check_held()
        proxy.heal()
        journal.storage.check_held()  # nobody has taken it: it is this one's again


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_write_whose_answer_is_lost_is_known_as_ones_own(lost: int, proxy: Proxy, journal_url: str) -> None:
    """The client asks again, and the store then refuses: for what it has is what the first request wrote."""
    proxy.fail("cut", is_lease, after=lost, times=1)
    storage = ObjectStorage(journal_url)
    storage.acquire()
    for _ in range(3):
        storage.check_held()
    storage.release()
    other = ObjectStorage(journal_url)
    other.acquire()
    other.release()


@pytest.mark.parametrize("renewals", [0, 1])
def test_a_write_whose_answer_was_lost_is_no_renewal_of_now(
    renewals: int, proxy: Proxy, journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher has counted since then: the lease is written again, or given back after all."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 60.0)  # its thread does not renew it meanwhile
    monkeypatch.setenv(
        "SOURCES__SMS_SOURCE__JOURNAL__KWARGS", '{"config_kwargs": {"retries": {"max_attempts": 0}}}'
    )
    storage = ObjectStorage(journal_url)
    storage.acquire()
    taken = json.loads(storage.read(lease.FILE))
    proxy.fail("cut", is_lease)
    storage.check_held()
    proxy.heal()
    lost = json.loads(storage.read(lease.FILE))
    assert lost["write"] == taken["write"] + 1
    for _ in range(renewals):
        storage.check_held()
        assert json.loads(storage.read(lease.FILE))["write"] > lost["write"]
    storage.release()
    assert json.loads(storage.read(lease.FILE))["released"]


def test_a_write_that_the_store_does_not_take_for_now_is_no_renewal(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 answers 409 while another conditional write is under way, and has the version from before."""

    def refuse(*_: object) -> str:
        raise FileExistsError("another conditional write is under way")

    storage = ObjectStorage(journal_url)
    storage.acquire()
    with monkeypatch.context() as busy:
        busy.setattr("sms_source.journal.cells.S3Cell.replace", refuse)
        storage.check_held()
        time.sleep(lease.LEASE_SECONDS)
        with pytest.raises(JournalLockedError, match="cut off from the journal"):
            storage.check_held()
    storage.check_held()
    storage.release()


@pytest.mark.parametrize("conditions", ["ignored", "refused"])
def test_a_store_without_conditional_writes_gets_a_lease_and_a_warning(
    conditions: str, proxy: Proxy, journal_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Found out by trying. One that begins beside it is refused, and one that was taken for dead is told."""
    proxy.conditions = conditions  # type: ignore[assignment]
    holder = ObjectStorage(journal_url)
    holder.acquire()
    assert "has no conditional writes" in caplog.text
    with pytest.raises(JournalLockedError, match="is in use by process"):
        ObjectStorage(journal_url).acquire()
    holder.check_held()
    holder.write(lease.FILE, b'{"holder": "another"}')
    with pytest.raises(JournalLockedError, match="another one may have taken it"):
        holder.check_held()
    holder.release()


def test_of_two_that_take_it_at_once_without_conditions_one_stays(proxy: Proxy, journal_url: str) -> None:
    """Each looks again before it goes on; the one that wrote last has it."""
    proxy.conditions = "ignored"
    taken = take_at_once(journal_url, 4)
    held = []
    for storage in taken:
        with suppress(JournalLockedError):
            storage.check_held()
            held.append(storage)
    assert len(held) == 1
    for storage in taken:
        storage.release()


def test_a_bucket_that_is_not_there_is_told(s3: S3Server, journal_url: str) -> None:
    """It is no lease that somebody has."""
    with pytest.raises(OSError, match="bucket"):
        ObjectStorage("s3://no-such-bucket/x").acquire()
