"""load(): the whole promise in a process that does other things as well."""

import gc
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.pipeline.exceptions import PipelineStepFailed

import sms_source
from sms_source import settings
from sms_source.loading.loader import Loader, resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Warehouse, a_reply


def contents(database: Path, dataset: str = "sms") -> list[str]:
    """Return what people wrote, from a DuckDB file."""
    with duckdb.connect(str(database), read_only=True) as connection:
        query = f"select reply_content from {dataset}.replies order by 1"
        return [content for (content,) in connection.execute(query).fetchall()]


def active_pipeline() -> Any:
    """Return dlt's active pipeline; None when there is none."""
    context = Container()[PipelineContext]
    return context.pipeline() if context.is_active() else None


def test_it_loads_and_returns_a_summary(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """One call, with the options of dlt's configuration and those that are given."""
    configured.enqueue(APP, [a_reply("a"), a_reply("b")])
    summary = sms_source.load(pull_limit=1, pull_workers=1)
    summary.raise_for_failure()
    assert (summary.total("replies"), summary.total("pulls")) == (2, 2)
    assert warehouse.contents() == ["a", "b"]
    assert sms_source.load().total("pulls") == 0


def test_two_loads_in_a_process_do_not_meet(configured: SimulatorProcess, own_folders: Path) -> None:
    """Two applications, journals, databases and pipelines, in turns; each goes on where it was."""
    jobs = {
        app_id: {
            "destination": dlt.destinations.duckdb(str(own_folders / f"{app_id}.duckdb")),
            "pipeline_name": f"of_{app_id}",
            "journal_url": str(own_folders / f"journal_{app_id}"),
            "sms_sdk_app_ids": [app_id],
        }
        for app_id in (APP, OTHER_APP)
    }
    for content in "abc":
        for app_id, arguments in jobs.items():
            configured.enqueue(app_id, [a_reply(content + app_id)])
            sms_source.load(**arguments).raise_for_failure()  # type: ignore[arg-type]
    for app_id in jobs:
        assert contents(own_folders / f"{app_id}.duckdb") == [content + app_id for content in "abc"]


@pytest.mark.long
def test_two_journals_into_one_dataset_of_one_pipeline_s_name(
    configured: SimulatorProcess, own_folders: Path
) -> None:
    """Their states in the destination must not hide each other's drains."""
    for content in "abc":
        for app_id in (APP, OTHER_APP):
            configured.enqueue(app_id, [a_reply(content + app_id)])
            sms_source.load(
                sms_sdk_app_ids=app_id, journal_url=str(own_folders / f"journal_{app_id}")
            ).raise_for_failure()
    expected = sorted(content + app_id for content in "abc" for app_id in (APP, OTHER_APP))
    assert contents(own_folders / "sms_replies.duckdb") == expected


@pytest.mark.long
def test_another_active_pipeline_confuses_nothing_and_stays_active(
    configured: SimulatorProcess, warehouse: Warehouse, own_folders: Path
) -> None:
    """dlt's global is somebody else's; its own data is untouched."""
    other = dlt.pipeline(
        "other", destination=dlt.destinations.duckdb(str(own_folders / "other.duckdb")), dataset_name="o"
    )
    other.run([{"a": 1}], table_name="things")
    for content in "ab":
        configured.enqueue(APP, [a_reply(content)])
        sms_source.load().raise_for_failure()
        assert active_pipeline() is other
        other.run([{"a": 2}], table_name="things")
    assert warehouse.contents() == ["a", "b"]
    with duckdb.connect(str(own_folders / "other.duckdb")) as connection:
        assert connection.execute("select count(*) from o.things").fetchall() == [(3,)]


@pytest.mark.long
def test_another_source_beside_it_in_the_dataset(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """Another pipeline loads another source into the same dataset, in turns."""
    other = dlt.pipeline(
        "other", destination=dlt.destinations.duckdb(str(warehouse.database)), dataset_name="sms"
    )
    for content in "ab":
        configured.enqueue(APP, [a_reply(content)])
        sms_source.load().raise_for_failure()
        other.run(dlt.resource([{"a": content}], name="sends"))
    assert warehouse.contents() == ["a", "b"]
    assert warehouse.query("select a from sms.sends order by 1") == [("a",), ("b",)]


def process_state() -> dict[str, Any]:
    """Return what a library should leave as it finds it."""
    loggers = {name: logging.getLogger(name) for name in ("", "dlt", "sms_source", "urllib3")}
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "loggers": {
            name: (logger.level, list(logger.handlers), list(logger.filters), logger.propagate)
            for name, logger in loggers.items()
        },
        "umask": umask,
        "collector": (gc.isenabled(), gc.get_freeze_count()),
        "directory": Path.cwd(),
        "pipeline": active_pipeline(),
        "threads": {thread.name for thread in threading.enumerate() if thread.name.startswith("pull-")},
    }


@pytest.fixture
def no_active_pipeline() -> None:
    """As in a process that has not used dlt yet."""
    Container()[PipelineContext].deactivate()


@pytest.mark.usefixtures("no_active_pipeline")
def test_dlt_and_the_process_are_left_as_they_were_found(configured: SimulatorProcess) -> None:
    """Settings, loggers, signals, mask, collector, active pipeline: also when it fails."""
    logging.getLogger("dlt")
    before = process_state()
    configured.enqueue(APP, [a_reply("a")])
    sms_source.load().raise_for_failure()
    assert process_state() == before
    configured.fail_next("api_error", code="AuthFailure.SecretIdNotFound")
    with pytest.raises(sms_source.RefusedError):
        sms_source.load().raise_for_failure()
    assert process_state() == before
    with pytest.raises(sms_source.ConfigurationError):
        sms_source.load(dataset_name="other")
    assert process_state() == before


def test_dlt_s_own_settings_do_not_hold_for_it(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that would lose rows: a pipeline in dev_mode, a refresh, no state from the destination."""
    monkeypatch.setenv("PIPELINES__SMS_REPLIES__DEV_MODE", "true")
    monkeypatch.setenv("PIPELINES__SMS_REPLIES__REFRESH", "drop_sources")
    monkeypatch.setenv("PIPELINES__SMS_REPLIES__RESTORE_FROM_DESTINATION", "false")
    monkeypatch.setenv("PIPELINES__SMS_REPLIES__DATASET_NAME", "elsewhere")
    for content in "ab":
        configured.enqueue(APP, [a_reply(content)])
        sms_source.load().raise_for_failure()
    assert warehouse.contents() == ["a", "b"]


def test_a_stop_ends_pulling_and_what_was_pulled_is_loaded(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Set before the first pull, nothing is pulled."""
    configured.enqueue(APP, [a_reply("a")])
    stop = threading.Event()
    stop.set()
    assert sms_source.load(stop=stop).total("requests") == 0
    assert configured.stats().handed_out == 0
    sms_source.load().raise_for_failure()
    assert warehouse.contents() == ["a"]


@pytest.mark.long
def test_a_load_that_fails_says_where_what_was_pulled_is(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The error carries it, for whoever reports it."""
    sms_source.load().raise_for_failure()
    configured.enqueue(APP, [a_reply("a")])
    warehouse.database.rename(warehouse.database.with_suffix(".away"))
    warehouse.database.mkdir()
    with pytest.raises(Exception, match=r".") as caught:
        sms_source.load()
    assert f"safe in the journal {warehouse.folder / 'sms_journal'}" in caught.value.whereabouts  # type: ignore[attr-defined]
    warehouse.database.rmdir()
    warehouse.database.with_suffix(".away").rename(warehouse.database)
    sms_source.load().raise_for_failure()
    assert warehouse.contents() == ["a"]


@pytest.mark.long
def test_a_round_after_one_that_failed_begins_anew(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What dlt had begun is of no use, and is not looked at."""
    with Loader(resolve_options({})) as loader:
        configured.enqueue(APP, [a_reply("a")])
        with monkeypatch.context() as broken:
            broken.setattr(dlt.Pipeline, "load", lambda *_, **__: 1 / 0)
            with pytest.raises((PipelineStepFailed, ZeroDivisionError)):
                loader.round()
        configured.enqueue(APP, [a_reply("b")])
        loader.round().raise_for_failure()
    assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_trickle_is_loaded_while_it_goes_on(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that are never empty must not keep a package open: here, each of them is one."""
    configured.configure(page_size=2)
    monkeypatch.setattr(settings, "TRICKLE_SECONDS", 0.0)
    configured.enqueue(APP, [a_reply(str(number)) for number in range(8)])
    sms_source.load(pull_workers=1).raise_for_failure()
    assert warehouse.query("select count(*), count(distinct _dlt_load_id) from sms.replies") == [(8, 4)]


@pytest.mark.long
def test_a_request_id_that_comes_twice_costs_no_row(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """In two drains; and a replay does not delete the half of them."""
    configured.fail_next("duplicate_request_id", after=1, times=2)  # the empty answer, and the next drain's
    for part in range(2):
        configured.enqueue(APP, [a_reply(f"{part}{number}") for number in range(5)])
        sms_source.load().raise_for_failure()
    expected = [f"{part}{number}" for part in range(2) for number in range(5)]
    assert warehouse.contents() == expected
    assert warehouse.query("select count(distinct request_id) from sms.replies") == [(1,)]
    assert sms_source.load(replay=True).new_rows == {"replies": 0}
    assert warehouse.contents() == expected


@pytest.mark.long
@pytest.mark.parametrize(
    "statement",
    [
        "update sms.replies set pulled_at = null",
        "update sms.replies set pulled_at = date_trunc('day', pulled_at)",
        "alter table sms.replies drop column pulled_at",
    ],
)
def test_a_replay_doubles_nothing_whatever_became_of_a_column(
    configured: SimulatorProcess, warehouse: Warehouse, statement: str
) -> None:
    """What the merge looks for must not hang on what somebody may have changed."""
    configured.enqueue(APP, [a_reply(str(number)) for number in range(5)])
    sms_source.load().raise_for_failure()
    with duckdb.connect(str(warehouse.database)) as connection:
        for (view,) in connection.execute(
            "select view_name from duckdb_views() where schema_name = 'sms' and not internal"
        ).fetchall():
            connection.execute(f"drop view if exists sms.{view} cascade")
        connection.execute(statement)
    sms_source.load(replay=True).raise_for_failure()
    assert warehouse.contents() == [str(number) for number in range(5)]


@pytest.mark.long
def test_a_replay_says_what_was_new(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """Rows that were there are counted as loaded, not as new."""
    configured.enqueue(APP, [a_reply(content) for content in "abc"])
    sms_source.load().raise_for_failure()
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("delete from sms.replies where reply_content <> 'b'")
    summary = sms_source.load(replay=True)
    assert (summary.total("replies"), summary.new_rows) == (3, {"replies": 2})
    assert any(line.startswith("  new rows      2 in replies;") for line in summary.lines())
    assert warehouse.contents() == ["a", "b", "c"]


@pytest.mark.usefixtures("no_active_pipeline")
def test_two_loads_in_two_threads_both_load_and_leave_the_process_as_it_was(
    configured: SimulatorProcess, own_folders: Path
) -> None:
    """dlt's active pipeline and the mask of new files are the process's: one load waits for the other."""
    errors: list[BaseException] = []

    def load(app_id: str) -> None:
        try:
            sms_source.load(
                dlt.destinations.duckdb(str(own_folders / f"{app_id}.duckdb")),  # type: ignore[arg-type]
                pipeline_name=f"of_{app_id}",
                journal_url=str(own_folders / f"journal_{app_id}"),
                sms_sdk_app_ids=app_id,
            ).raise_for_failure()
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    umask = os.umask(0o022)
    try:
        threads = []
        for app_id in (APP, OTHER_APP):
            configured.enqueue(app_id, [a_reply(app_id)] * 300)
            threads.append(threading.Thread(target=load, args=(app_id,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(umask)
    assert errors == []
    assert active_pipeline() is None
    for app_id in (APP, OTHER_APP):
        assert contents(own_folders / f"{app_id}.duckdb") == [app_id] * 300
