"""The operations page is read when something is wrong, so what it shows is run."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from sms_source.journal.identity import Owner
from sms_source.loading.summary import Summary
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.environment import ROOT
from tests.helpers.pages import blocks, text_of

PAGE = text_of("docs/operations.md")


def test_its_summary_has_the_fields_of_the_page() -> None:
    """A monitor is configured by them."""
    summary = Summary(Owner("sms_replies", "duckdb", "sms"))
    consoles = [block.splitlines() for block in blocks(PAGE, "console")]
    ((shown,),) = ([line for line in lines if line[0] == "{"] for lines in consoles)
    assert set(json.loads(shown)) == {"time", "event", *summary.as_dict()}


@pytest.mark.long
def test_its_queries_run_and_the_state_that_they_leave_suffices(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, tmp_path: Path
) -> None:
    """Without its working directory, dlt takes up the newest state of the destination."""
    for content in "abc":
        configured.enqueue(APP, [a_reply(content)])
        assert job()[0] == 0
    with duckdb.connect(str(warehouse.database)) as connection:
        for query in (block for block in blocks(PAGE, "sql") if "ducklake_" not in block):
            connection.execute(query.replace("100", "1"))
        assert connection.execute("select count(*) from sms._dlt_pipeline_state").fetchall() == [(2,)]
    shutil.rmtree(tmp_path / "dlt")
    status, out, err = job()
    assert (status, err) == (0, "")
    assert out.startswith("No new replies")
    assert warehouse.contents() == ["a", "b", "c"]


def test_its_paths_are_there() -> None:
    """A link into nothing helps nobody."""
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
