"""A holder that was paused and goes on loads nothing beside its successor, and its answers are not lost."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sms_source.journal import lease
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Rows, Warehouse, a_reply
from tests.helpers.jobs import wait_until
from tests.s3.proxy import Proxy

SHORT_LEASE_JOB = Path(__file__).with_name("short_lease_job.py")
FIRST = [f"{number:05d}" for number in range(100)]
REST = [f"{number:05d}" for number in range(100, 450)]


class PausedJob:
    """The main job in a process of its own, to be stopped and continued."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SHORT_LEASE_JOB)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pause(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> tuple[int, str]:
        """Continue it; return its exit status and what it printed."""
        self._process.send_signal(signal.SIGCONT)
        out, _ = self._process.communicate()
        return self._process.returncode, out


@pytest.fixture
def short_lease(configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lease of this process end soon, too, and not a pull's time."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "60")


def ledger(warehouse: Warehouse) -> Rows:
    """Return what became of the pulls: outcome, pulls, records."""
    return warehouse.query("select outcome, count(*), sum(records) from sms.pulls group by 1 order by 1")


@pytest.mark.usefixtures("short_lease")
def test_an_answer_that_comes_when_its_drain_is_archived_as_in_doubt_is_loaded(
    configured_with_s3: SimulatorProcess, job: Job, warehouse: Warehouse
) -> None:
    """By the next round, with its row of the ledger; the process that was paused loads nothing itself."""
    assert job()[0] == 0  # from here on, a process makes no pipeline before its first answer
    configured_with_s3.enqueue(APP, [a_reply(text) for text in FIRST])
    configured_with_s3.configure(latency=3)
    paused = PausedJob()
    wait_until(lambda: configured_with_s3.stats().handed_out == len(FIRST))
    paused.pause()

    configured_with_s3.configure(latency=0)
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REST])
    status, out, err = job()
    assert status == 0, err
    assert warehouse.contents() == REST
    assert ledger(warehouse) == [("answered", 4, 350), ("in_doubt", 1, 0)]

    status, out = paused.go_on()
    assert status == 1
    assert "another one may have taken it" in out
    assert warehouse.contents() == REST

    for arguments in ((), (), ("--replay",)):
        assert job(*arguments)[0] == 0
        assert warehouse.contents() == FIRST + REST
        assert ledger(warehouse) == [("answered", 5, 450)]


@pytest.mark.usefixtures("short_lease")
def test_a_process_that_was_paused_while_it_archived_takes_nothing_away(
    configured_with_s3: SimulatorProcess, job: Job, warehouse: Warehouse, proxy: Proxy
) -> None:
    """Its successor has found its rows loaded, and has archived them; both bundles are one."""
    configured_with_s3.enqueue(APP, [a_reply(text) for text in FIRST])
    paused: list[PausedJob] = []
    is_paused = threading.Event()

    def pause_at_bundle(method: str, path: str) -> bool:
        if method == "PUT" and "/archive/" in path and not is_paused.is_set():
            paused[0].pause()
            is_paused.set()
        return False

    proxy.fail("unavailable", pause_at_bundle)
    paused.append(PausedJob())
    is_paused.wait()
    configured_with_s3.enqueue(APP, [a_reply(text) for text in REST])
    status, _, err = job()
    assert status == 0, err
    assert warehouse.contents() == FIRST + REST

    paused[0].go_on()
    for arguments in ((), ("--replay",), ()):
        assert job(*arguments)[0] == 0
        assert warehouse.contents() == FIRST + REST
        assert ledger(warehouse) == [("answered", 5, 450)]
