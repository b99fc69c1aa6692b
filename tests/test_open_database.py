"""When a DuckDB file is open in the job, and when others can read it."""

import subprocess
import sys
from contextlib import suppress

import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source import load
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import start_job, wait_until

READ = "import duckdb; duckdb.connect('sms_replies.duckdb', read_only=True).execute('from sms.replies')"


@pytest.mark.long
def test_the_file_can_be_read_while_answers_are_waited_for(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain may go on for an hour, and the API may be slow."""
    load()
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", "1")
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "60")
    configured.enqueue(APP, [a_reply("1") for _ in range(1_000)])
    configured.configure(latency=2)
    job = start_job()
    wait_until(lambda: configured.stats().handed_out >= 500)

    def can_read() -> bool:
        with suppress(duckdb.IOException):
            return bool(warehouse.query("select count(*) from sms.pulls"))
        return False

    wait_until(can_read)
    assert configured.stats().handed_out < 1_000
    configured.configure(latency=0)
    _, errors = job.communicate()
    assert job.returncode == 0, errors
    assert len(warehouse.contents()) == 1_000


def test_the_file_can_be_read_after_a_load(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """By another process, also when the load failed."""
    configured.enqueue(APP, [a_reply("1")])
    load()
    subprocess.run([sys.executable, "-c", READ], check=True)
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("alter table sms.pulls drop column feed")
    configured.enqueue(APP, [a_reply("2")])
    with pytest.raises(PipelineStepFailed):
        load()
    subprocess.run([sys.executable, "-c", READ], check=True)
