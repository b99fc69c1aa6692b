"""A job that is killed leaves nothing in clear, wherever it was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import MAIN_JOB
from tests.privacy.keys import KEY
from tests.privacy.scan import found

DATABASE = ("sms_replies.duckdb", "sms_replies.duckdb.wal")
TEXTS = [f"my answer is number {n}, 我的回答" for n in range(1000)]


def number(n: int) -> str:
    """Return a person's number."""
    return f"+86139{n:08d}"


@pytest.fixture
def keyed(configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> SimulatorProcess:
    """Provide a job that is configured to protect what it loads, and a thousand answers of as many people."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_ENCRYPTION_KEY", KEY)
    configured.enqueue(APP, [a_reply(text, PhoneNumber=number(n)) for n, text in enumerate(TEXTS)])
    return configured


def kill_when(is_there: Callable[[], bool]) -> None:
    """Run the job in a process of its own, and kill it at once when something is there."""
    command = [sys.executable, str(MAIN_JOB)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not is_there():
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
        process.wait()


def rows_in_memory(tmp_path: Path) -> list[Path]:
    """Return the files in memory that dlt has for packages."""
    links = [path for path in tmp_path.glob("dlt/pipelines/*") if path.is_symlink()]
    files = [file for link in links for file in link.resolve().rglob("*_jobs/*")]
    return [file for file in files if file.is_file()]


@pytest.mark.long
@pytest.mark.parametrize("aim", ["answer", "extracted", "normalized", "loading"])
def test_a_kill_leaves_nothing_in_clear(
    keyed: SimulatorProcess, warehouse: Warehouse, tmp_path: Path, aim: str
) -> None:
    """Nor do the answers that were being written, or dlt's packages; the next run loads all that had come."""
    globs = {
        "answer": (warehouse.folder, "sms_journal/drains/*/*.answer"),
        "extracted": (tmp_path, "dlt/pipelines/*/normalize/extracted/*/new_jobs/*.parquet"),
        "normalized": (tmp_path, "dlt/pipelines/*/load/normalized/*/new_jobs/*.parquet"),
        "loading": (tmp_path, "dlt/pipelines/*/load/normalized/*/completed_jobs/*"),
    }
    folder, pattern = globs[aim]
    kill_when(lambda: any(folder.glob(pattern)))
    memory = rows_in_memory(tmp_path)
    assert aim == "answer" or memory, "the kill came too late to show anything"
    assert all(oct(file.stat().st_mode & 0o777) == "0o600" for file in memory)
    assert found(tmp_path, [*TEXTS[:3], number(0), number(7)[3:]], without=DATABASE) == set()
    assert subprocess.run([sys.executable, str(MAIN_JOB)], capture_output=True, check=True)
    loaded = warehouse.contents()
    ((lost,),) = warehouse.query("select coalesce(sum(at_risk), 0) from sms.pulls_in_doubt")
    assert set(loaded) <= set(TEXTS)
    assert len(set(loaded)) == len(loaded) >= len(TEXTS) - lost
    assert not any(file.exists() for file in memory), "the next run deletes what a kill left in memory"
    assert found(tmp_path, [*TEXTS[:3], number(0), number(7)[3:]], without=DATABASE) == set()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


@pytest.mark.long
def test_without_a_key_the_rows_of_a_kill_are_gone_after_the_next_run(
    keyed: SimulatorProcess, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then only the user can read them."""
    monkeypatch.delenv("SOURCES__SMS_SOURCE__JOURNAL_ENCRYPTION_KEY")
    os.umask(0o022)
    kill_when(lambda: any(tmp_path.glob("dlt/pipelines/*/load/normalized/*/new_jobs/*.parquet")))
    working = tmp_path / "dlt" / "pipelines" / "sms_replies"
    files = list(working.rglob("*.parquet"))
    assert files
    assert {oct(path.stat().st_mode & 0o777) for path in [*files, working]} == {"0o600", "0o700"}
    subprocess.run([sys.executable, str(MAIN_JOB)], capture_output=True, check=True)
    assert not [path for path in working.rglob("*") if path.is_file() and path.parent.name.endswith("_jobs")]
