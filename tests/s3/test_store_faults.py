"""A store that fails: no pull goes out whose answer has nowhere to go; nothing is lost or doubled."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sms_source.journal import lease
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.jobs import start_job, wait_until
from tests.s3.conftest import S3Server
from tests.s3.proxy import Fault, Proxy

REPLIES = [f"{number:05d}" for number in range(4_000)]
FAULTS: list[Fault] = ["unavailable", "cut", "refused"]


@pytest.fixture(autouse=True)
def replies_wait(configured_with_s3: SimulatorProcess) -> None:
    """More replies than a run can have in flight."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REPLIES])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store's client give up, and a dead holder's lease end, sooner than they would."""
    options = '{"config_kwargs": {"retries": {"max_attempts": 0}}}'
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL__KWARGS", options)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 5.0)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "60")


def is_intent(method: str, path: str) -> bool:
    """Return whether a pull is announced."""
    return method == "PUT" and path.endswith(".intent")


def is_answer(method: str, path: str) -> bool:
    """Return whether an answer is kept."""
    return method == "PUT" and path.endswith(".answer")


def is_read_of_an_answer(method: str, path: str) -> bool:
    """Return the reading of what came of a pull."""
    return method == "GET" and path.endswith(".answer")


def is_any(method: str, path: str) -> bool:
    """Whatever is asked of the store."""
    return True


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_pull_goes_out_that_the_store_has_not_taken(
    fault: Fault, configured: SimulatorProcess, proxy: Proxy, job: Job, warehouse: Warehouse
) -> None:
    """From its first pull on, the store fails: the queue keeps all, and the next run has it."""
    proxy.fail(fault, is_intent)
    status, _, err = job()
    assert status == 1
    # A store that is gone can't take in either what was loaded before.
    assert ("could not be archived in" if fault == "refused" else "Nothing more was pulled") in err
    assert configured.stats().pulls == 0

    proxy.heal()
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_between_pulls_stops_them(
    fault: Fault, configured: SimulatorProcess, proxy: Proxy, job: Job, warehouse: Warehouse
) -> None:
    """Each pull that the API saw was announced in the store; what they brought is loaded, once."""
    configured.configure(latency=0.05)
    proxy.fail(fault, is_intent, after=20)
    status, _, err = job()
    assert status == 1
    # A store that is gone can't take in either what was loaded before.
    assert ("could not be archived in" if fault == "refused" else "Nothing more was pulled") in err
    assert 0 < configured.stats().pulls <= 20
    assert len(warehouse.contents()) == configured.stats().handed_out

    proxy.heal()
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_the_store_does_not_take_is_loaded_from_memory(
    fault: Fault, configured: SimulatorProcess, proxy: Proxy, job: Job, warehouse: Warehouse
) -> None:
    """It is here and nowhere else; and whether the store has it after all, it is there once."""
    configured.configure(latency=0.05)
    proxy.fail(fault, is_answer, after=5)
    status, _, err = job()
    assert status == 1
    assert "What was loaded could not be archived in the journal" in err
    assert "/spill and in the journal s3://" in err
    assert len(warehouse.contents()) == configured.stats().handed_out > 500

    proxy.heal()
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES


@pytest.fixture
def warehouse_is_away(
    configured_with_s3: SimulatorProcess, warehouse: Warehouse, job: Job
) -> Iterator[Callable[[], object]]:
    """Somebody holds the database open, which the job knows to be whole, until they are told to end."""
    assert job()[0] == 0
    hold = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(warehouse.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    yield holder.communicate
    holder.kill()
    holder.communicate()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_answers_that_have_neither_store_nor_warehouse_are_kept_beside(
    fault: Fault,
    configured: SimulatorProcess,
    proxy: Proxy,
    job: Job,
    warehouse: Warehouse,
    warehouse_is_away: Callable[[], object],
    tmp_path: Path,
) -> None:
    """In files of this machine, which the next run takes into the journal: the message says so, and where."""
    later = [f"later {text}" for text in REPLIES]
    configured.enqueue(APP, [a_reply(text) for text in later])
    configured.configure(latency=0.05)
    proxy.fail(fault, is_answer, after=0)
    status, _, err = job()
    assert status == 1
    kept = list(tmp_path.rglob("spill/drains/*/*.answer"))
    assert len(kept) > 0
    assert str(kept[0].parents[2]) in err

    proxy.heal()
    warehouse_is_away()
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES + later
    assert warehouse.query("select count(*) from sms.pulls where outcome = 'in_doubt'") == [(0,)]
    assert list(tmp_path.rglob("spill/drains/*/*")) == []


@pytest.mark.parametrize("fault", ["unavailable", "cut"])
def test_a_fault_that_passes_is_not_noticed(
    fault: Fault, configured: SimulatorProcess, proxy: Proxy, job: Job, warehouse: Warehouse
) -> None:
    """The store's client asks again: to write the same object twice is to write it once."""
    for meant in (is_any, is_intent, is_answer):
        proxy.fail(fault, meant, after=3, times=2)
        status, _, err = job()
        assert status == 0, err
        configured.enqueue(APP, [a_reply("later") for _ in range(600)])
    assert warehouse.contents() == REPLIES + ["later"] * 1_200
    assert warehouse.query("select count(*) from sms.pulls where outcome = 'in_doubt'") == [(0,)]


def test_a_slow_store_makes_a_slow_run(
    configured: SimulatorProcess, proxy: Proxy, job: Job, warehouse: Warehouse
) -> None:
    """A pull waits for the store's word, twice; nothing else changes."""
    proxy.delay = 0.1
    assert job()[0] == 0
    assert warehouse.contents() == REPLIES
    assert warehouse.query("select count(*) from sms.pulls where outcome = 'in_doubt'") == [(0,)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_can_not_be_read_now_is_no_doubt(
    fault: Fault,
    configured: SimulatorProcess,
    proxy: Proxy,
    job: Job,
    warehouse: Warehouse,
    s3: S3Server,
    journal_url: str,
) -> None:
    """What a killed run left is read when the store is well again; no row says that it may be lost."""
    configured.configure(latency=0.05)
    running = start_job()
    wait_until(lambda: configured.stats().pulls > 5)
    running.kill()
    running.wait()
    handed_out = configured.stats().handed_out
    proxy.fail(fault, is_read_of_an_answer)
    status, _, err = job()
    assert status == 1
    assert "could not read drains/" in err

    proxy.heal()
    assert job()[0] == 0
    assert handed_out > 0
    in_flight = warehouse.query("select sum(at_risk) from sms.pulls where outcome = 'in_doubt'")[0][0] or 0
    assert len(REPLIES) - in_flight <= len(warehouse.contents()) <= len(REPLIES)
    assert not s3.files().find(f"{journal_url}/unreadable")


def test_somebody_s_objects_among_the_drains_stop_no_run(
    s3: S3Server, journal_url: str, job: Job, warehouse: Warehouse
) -> None:
    """They are set aside, also when they are there again."""
    for number in range(3):
        s3.files().pipe(f"{journal_url}/drains/mine/notes.txt", str(number).encode())
        status, _, err = job()
        assert status == 0, err
    assert warehouse.contents() == REPLIES
    aside = s3.files().find(f"{journal_url}/unreadable")
    assert sorted(s3.files().cat(path) for path in aside) == [b"0", b"1", b"2"]
