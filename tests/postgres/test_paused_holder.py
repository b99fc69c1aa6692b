"""A holder of a journal in an object store that is paused in the middle of a load into PostgreSQL."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sms_source.journal import lease
from sms_source.loading import alone
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply
from tests.helpers.jobs import wait_until
from tests.postgres.conftest import PostgresWarehouse

SHORT_LEASE_JOB = Path(__file__).parent.parent / "s3" / "short_lease_job.py"
POSTGRES = ("--destination", "postgres")


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lease of this process end soon, too, and not a pull's time."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "60")


@pytest.fixture
def paused(
    configured: SimulatorProcess, journal_url: str, postgres: PostgresWarehouse, job: Job
) -> subprocess.Popen[str]:
    """Provide a job that has staged 300 replies, waits for a lock at its merge, and is stopped there."""
    assert journal_url
    configured.enqueue(APP, [a_reply("a")])
    assert job(*POSTGRES)[0] == 0
    configured.enqueue(APP, [a_reply("b")] * 300)
    with postgres.session() as holder:
        holder.execute("lock table sms.replies in share mode")
        paused = subprocess.Popen(
            [sys.executable, str(SHORT_LEASE_JOB), *POSTGRES],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(lambda: postgres.waiting() == 1 or paused.poll() is not None)
        paused.send_signal(signal.SIGSTOP)
    return paused


def test_its_successor_waits_until_it_has_ended(
    paused: subprocess.Popen[str], configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job
) -> None:
    """Both would merge the same rows, beside each other, from the same staging tables."""
    configured.enqueue(APP, [a_reply("c")] * 200)
    goes_on = subprocess.Popen(["sh", "-c", f"sleep 8; kill -CONT {paused.pid}"])
    status, _, err = job(*POSTGRES)
    assert goes_on.wait() == 0
    assert status == 0, err
    out, _ = paused.communicate()
    assert paused.returncode == 1
    assert "another one may have taken it" in out
    for arguments in ((), ("--replay",)):
        assert job(*POSTGRES, *arguments)[0] == 0
        assert postgres.contents() == ["a", *"b" * 300, *"c" * 200]


def test_its_successor_does_not_wait_for_ever(
    paused: subprocess.Popen[str],
    configured: SimulatorProcess,
    postgres: PostgresWarehouse,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says who is in the way, and the run after the paused process has ended loads what there is."""
    monkeypatch.setattr(alone, "WAIT_SECONDS", 0.5)
    configured.enqueue(APP, [a_reply("c")] * 200)
    status, _, err = job(*POSTGRES)
    assert status == 1
    assert "is still loading what it holds" in err
    paused.kill()
    paused.communicate()
    assert job(*POSTGRES)[0] == 0
    assert postgres.contents() == ["a", *"b" * 300, *"c" * 200]
