"""What a changed option does to the tables and the views, though nothing waits in the queues."""

import subprocess
import sys
from typing import Any

import pytest

import sms_source
from sms_source.cli import main
from sms_source.loading.loader import Loader, resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Rows, Warehouse, a_reply


def relations(warehouse: Warehouse) -> set[str]:
    """Return the names of the dataset's tables and views."""
    query = "select table_name from information_schema.tables where table_schema = 'sms'"
    return {name for (name,) in warehouse.query(query)}


def packages(warehouse: Warehouse) -> Rows:
    """Return what dlt notes of its packages."""
    return warehouse.query("select load_id from sms._dlt_loads order by 1")


@pytest.mark.long
def test_views_that_are_wanted_now_are_made(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    """The report's advice, to load once with create_views = true, helps though no reply has come since."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CREATE_VIEWS", "false")
    configured.enqueue(APP, [a_reply("STOP")])
    assert job()[0] == 0
    assert main(["report"]) == 2
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CREATE_VIEWS", "true")
    assert job()[0] == 0
    assert warehouse.query("select keyword from sms.opt_outs") == [("STOP",)]
    assert main(["report"]) == 0


@pytest.mark.long
def test_views_follow_their_options(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """A word of one's own opts people out from the next round on, and the hours are of the new time zone."""
    configured.enqueue(APP, [a_reply("basta")])
    sms_source.load()
    assert warehouse.query("select hour from sms.reply_hours") == [(11,)]
    sms_source.load(opt_out_words=["basta"], views_time_zone="Asia/Shanghai")
    assert warehouse.query("select keyword from sms.opt_outs") == [("BASTA",)]
    assert warehouse.query("select hour from sms.reply_hours") == [(19,)]
    assert len(packages(warehouse)) == 1


@pytest.mark.long
def test_a_feed_that_is_drained_now_has_its_table_and_views(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """With no row yet in it, its queries answer all the same; what is there stays."""
    configured.enqueue(APP, [a_reply("a")])
    sms_source.load()
    assert not relations(warehouse) & {"receipts", "deliveries"}
    with Loader(resolve_options({"pull_feeds": ["replies", "receipts"]})) as loader:
        for _ in range(2):
            loader.round().raise_for_failure()
    assert relations(warehouse) >= {"receipts", "deliveries", "replies", "opt_outs"}
    assert warehouse.contents() == ["a"]
    assert len(packages(warehouse)) == 2


@pytest.mark.long
def test_what_was_made_for_an_option_is_made_once(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """The quiet round after it leaves the database alone."""
    configured.enqueue(APP, [a_reply("a")])
    sms_source.load()
    changes: dict[str, Any] = {"opt_out_words": ["basta"], "pull_feeds": ["replies", "receipts"]}
    sms_source.load(**changes)
    left = warehouse.database.stat().st_mtime_ns
    for _ in range(2):
        sms_source.load(**changes)
    assert warehouse.database.stat().st_mtime_ns == left


@pytest.mark.long
def test_a_quiet_round_does_without_what_is_slow_to_import(configured: SimulatorProcess) -> None:
    """Whether an option has changed is told without Arrow, the views' code or a database."""
    sms_source.load()
    program = (
        "import sys, sms_source; sms_source.load();"
        "print(sorted({'pyarrow', 'duckdb', 'sms_source.views'}.intersection(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
