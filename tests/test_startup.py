"""The start of a process that does nothing but this."""

import subprocess
import sys

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import MAIN_JOB


def test_the_job_does_not_load_pandas(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """DuckDB would, for the values that dlt binds: 40 MB and 0.3 s, and no value is one of pandas'."""
    configured.enqueue(APP, [a_reply("hello")])
    command = [sys.executable, "-X", "importtime", str(MAIN_JOB)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert warehouse.contents() == ["hello"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "pyarrow" in imported
    assert not {name for name in imported if name.startswith("pandas.")}
