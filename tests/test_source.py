"""The source in somebody's own pipeline: what lands, once, whatever happened before."""

import gc
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source import empty_working_directory, settings, sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Warehouse, a_reply
from tests.helpers.replies import ALL_FIELDS, as_rows, canonical, everything_people_write


def test_every_field_of_every_reply_lands_once(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """5,000 replies of two applications, then nothing, then late ones: all there, once, unchanged."""
    expected = []
    for number, app_id in enumerate((APP, OTHER_APP)):
        records = everything_people_write(2_500, number)
        configured.enqueue(app_id, records)
        expected += as_rows(app_id, records)
    both = {"sms_sdk_app_ids": [APP, OTHER_APP]}
    first = warehouse.run(**both)
    assert canonical(warehouse.query(ALL_FIELDS)) == canonical(expected)
    assert first.replies == {APP: 2_500, OTHER_APP: 2_500}

    assert warehouse.run(**both).pulls == {}
    assert warehouse.query("select count(*) from sms.replies") == [(5_000,)]

    late = [a_reply("late", ReplyTime=1), a_reply("late", ReplyTime=1_600_000_000)]
    configured.enqueue(APP, late)
    warehouse.run(**both)
    assert canonical(warehouse.query(ALL_FIELDS)) == canonical(expected + as_rows(APP, late))


def test_the_tables_exist_after_the_first_load_of_an_empty_queue(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """A query written on the first day works before the first reply, with the types it will have."""
    report = warehouse.run()
    assert (report.drained, report.requests) == (True, 1)
    types: dict[str, str] = dict(
        warehouse.query(
            "select table_name || '.' || column_name, data_type from information_schema.columns "
            "where table_schema = 'sms' and table_name not like '\\_dlt%' escape '\\'"
        )
    )
    stamp, text = "TIMESTAMP WITH TIME ZONE", "VARCHAR"
    expected = {
        "replies": {
            **dict.fromkeys(("reply_id", "pull_id", "channel", "sms_sdk_app_id", "region"), text),
            **dict.fromkeys(("phone_number", "country_code", "subscriber_number", "sign_name"), text),
            **dict.fromkeys(("extend_code", "reply_content", "keyword", "request_id"), text),
            **dict.fromkeys(("reply_time", "pulled_at"), stamp),
        },
        "pulls": {
            **dict.fromkeys(("pull_id", "feed", "sms_sdk_app_id", "region", "request_id"), text),
            **dict.fromkeys(("outcome", "error"), text),
            **dict.fromkeys(("requested_at", "answered_at"), stamp),
            **dict.fromkeys(("records", "at_risk"), "BIGINT"),
        },
        "rejected_records": {
            **dict.fromkeys(("feed", "pull_id", "request_id", "sms_sdk_app_id", "reason", "record"), text),
            "position": "BIGINT",
            "pulled_at": stamp,
        },
    }
    assert types == {
        f"{table}.{column}": kind
        for table, columns in expected.items()
        for column, kind in {**columns, "_dlt_load_id": text}.items()
    }


def test_a_run_with_nothing_new_makes_no_load_package(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The run that happens most costs the destination nothing."""
    warehouse.run()
    assert warehouse.pipeline().run(sms_source()).loads_ids == []


@pytest.mark.long
def test_the_cursor_moves_forward_and_drops_nothing(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """dlt's state carries the newest ReplyTime; equal and older ones are loaded all the same."""
    for times in ([50, 100, 100], [100, 7], [60]):
        configured.enqueue(APP, [a_reply(ReplyTime=time) for time in times])
        warehouse.run()
    assert warehouse.query("select count(*) from sms.replies") == [(6,)]
    state = warehouse.pipeline().state["sources"]["sms_source"]["resources"]["replies"]["incremental"][
        "ReplyTime"
    ]
    assert state["last_value"] == datetime.fromtimestamp(100, timezone.utc)
    assert state["unique_hashes"] == []


@pytest.mark.parametrize("shape", ["list", "null", "absent"])
def test_an_empty_set_in_any_shape_ends_the_drain(
    configured: SimulatorProcess, warehouse: Warehouse, shape: str
) -> None:
    """Only an empty set says that a queue is empty, and nobody knows in which of three ways."""
    configured.configure(empty_set=shape)
    configured.enqueue(APP, [a_reply()])
    assert warehouse.run().drained
    assert configured.stats().pulls == 2


def test_a_short_page_does_not_end_the_drain(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """Whether one means that the queue is empty, nobody has written down."""
    configured.configure(page_size=3)
    configured.enqueue(APP, [a_reply() for _ in range(10)])
    assert warehouse.run().replies == {APP: 10}


def test_a_bad_record_and_an_unknown_field_among_good_ones(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The good ones are loaded, the new field is a column, the bad one is set aside verbatim."""
    configured.enqueue(
        APP, [a_reply("a"), b'{"ReplyTime": "x",  "PhoneNumber": "+1"}', a_reply("b", NewField=1)]
    )
    report = warehouse.run()
    assert warehouse.query("select reply_content, new_field from sms.replies order by 1") == [
        ("a", None),
        ("b", "1"),
    ]
    assert warehouse.query("select position, reason, record from sms.rejected_records") == [
        (1, "ReplyTime is a string, not an integer", '{"ReplyTime": "x",  "PhoneNumber": "+1"}')
    ]
    assert warehouse.query("select records, outcome from sms.pulls") == [(3, "answered")]
    assert report.rejected == 1


def test_answers_that_share_a_request_id_share_no_row(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The API promises unique ids; were it to break the promise, no reply would be overwritten."""
    configured.configure(page_size=2)
    configured.enqueue(APP, [a_reply(str(n)) for n in range(6)])
    configured.fail_next("duplicate_request_id", after=1)
    configured.fail_next("no_request_id")
    warehouse.run()
    assert warehouse.contents() == ["0", "1", "2", "3", "4", "5"]


def test_an_extraction_that_raises_half_way_loses_nothing(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """dlt throws the yielded pages away; the journal has them."""
    configured.enqueue(APP, [a_reply(f"{n:04d}") for n in range(450)])
    source = sms_source()

    def fails(table: Any) -> Any:
        raise RuntimeError("somebody's own map")

    source.resources["replies"].add_map(fails)
    with pytest.raises(PipelineStepFailed):
        warehouse.pipeline().run(source)
    assert configured.stats().queued.get(f"{APP}/ap-guangzhou", 0) == 0
    warehouse.run()
    assert warehouse.contents() == [f"{n:04d}" for n in range(450)]


@pytest.mark.long
def test_a_reader_that_stops_early_leaves_the_drain_to_the_next_run(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`add_limit` and `next` pop answers that they never load."""
    warehouse.run()
    monkeypatch.setattr(settings, "TABLE_RECORDS", 50)
    configured.enqueue(APP, [a_reply(f"{n:04d}") for n in range(250)])
    source = sms_source()
    source.resources["drain"].add_limit(1)
    warehouse.pipeline().run(source)
    assert len(warehouse.contents()) < 250
    rows = iter(sms_source())
    next(rows)
    del rows  # until then, it holds the journal
    gc.collect()
    warehouse.run()
    assert warehouse.contents() == [f"{n:04d}" for n in range(250)]


@pytest.mark.long
def test_a_load_that_fails_is_loaded_by_the_next_run(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """A database that another process holds open makes the load fail; the package waits."""
    warehouse.run()
    configured.enqueue(APP, [a_reply("a")])
    pipeline = warehouse.pipeline()
    pipeline.extract(sms_source())
    pipeline.normalize()
    shutil.move(warehouse.database, warehouse.database.with_suffix(".away"))
    warehouse.database.mkdir()
    with pytest.raises(PipelineStepFailed):
        pipeline.load()
    warehouse.database.rmdir()
    shutil.move(warehouse.database.with_suffix(".away"), warehouse.database)
    warehouse.pipeline().run()
    configured.enqueue(APP, [a_reply("b")])
    warehouse.run()
    assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_wiped_working_directory_doubles_and_loses_nothing(
    configured: SimulatorProcess, warehouse: Warehouse, tmp_path: Path
) -> None:
    """An ephemeral runner starts from the state that the destination has."""
    for content in "abc":
        configured.enqueue(APP, [a_reply(content)])
        if content == "c":
            pipeline = warehouse.pipeline()
            pipeline.extract(sms_source())  # extracted, and never loaded from here
        else:
            warehouse.run()
        shutil.rmtree(tmp_path / "dlt")
    warehouse.run()
    assert warehouse.contents() == ["a", "b", "c"]


@pytest.mark.long
@pytest.mark.parametrize("step", ["extract", "normalize"])
@pytest.mark.parametrize("ran_before", [True, False])
def test_pending_packages_that_are_emptied_are_loaded_from_the_journal(
    configured: SimulatorProcess, warehouse: Warehouse, step: str, *, ran_before: bool
) -> None:
    """The documented recovery after a kill, also before the dataset exists."""
    if ran_before:
        warehouse.run()
    configured.enqueue(APP, [a_reply("a")])
    pipeline = warehouse.pipeline()
    pipeline.extract(sms_source())
    if step == "normalize":
        pipeline.normalize()
    empty_working_directory("sms_replies")
    warehouse.run()
    assert warehouse.contents() == ["a"]


@pytest.mark.long
def test_a_drain_is_archived_by_the_run_after_its_load(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The state that dlt commits with the rows is the acknowledgement."""
    journal = warehouse.folder / "sms_journal"
    for bundles in (0, 1, 2):
        configured.enqueue(APP, [a_reply()])
        warehouse.run()
        assert len(list(journal.glob("archive/*"))) == bundles
        assert len(list(journal.glob("drains/*"))) == 1
    warehouse.run(journal_retention_days=0)
    assert list(journal.glob("drains/*")) == []
    assert list(journal.glob("archive/*")) == []


@pytest.mark.long
def test_a_replay_loads_the_archive_into_another_warehouse(
    configured: SimulatorProcess, warehouse: Warehouse, tmp_path: Path
) -> None:
    """The archive is the only way to load a one-shot queue's past again."""
    configured.enqueue(APP, [a_reply(content) for content in "ab"])
    warehouse.run()
    other = dlt.pipeline(
        "other", destination=dlt.destinations.duckdb(str(tmp_path / "other.db")), dataset_name="o"
    )
    for _ in range(2):
        other.run(sms_source(replay=True))
    with duckdb.connect(str(tmp_path / "other.db")) as connection:
        assert connection.execute("select reply_content from o.replies order by 1").fetchall() == [
            ("a",),
            ("b",),
        ]
    with pytest.raises(PipelineStepFailed, match="belongs to pipeline 'sms_replies'"):
        other.run(sms_source())
    warehouse.run(replay=True)
    assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_replay_of_nothing_makes_the_tables_too(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """All three exist after the first load, whatever it was."""
    warehouse.run(replay=True)
    assert warehouse.contents() == []
    configured.enqueue(APP, [a_reply("a")])
    warehouse.run()
    assert warehouse.contents() == ["a"]


@pytest.mark.long
def test_two_sources_made_before_either_runs_do_not_meet(
    configured: SimulatorProcess, own_folders: Path
) -> None:
    """Each pulls from its own queues, and keeps a cursor of its own."""
    sources = {
        app_id: sms_source(sms_sdk_app_ids=app_id, journal_url=str(own_folders / f"journal_{app_id}"))
        for app_id in (APP, OTHER_APP)
    }
    for number, (app_id, source) in enumerate(sources.items()):
        configured.enqueue(app_id, [a_reply(app_id, ReplyTime=1_700_000_000 - number)])
        destination = dlt.destinations.duckdb(str(own_folders / f"{app_id}.duckdb"))
        pipeline = dlt.pipeline(f"of_{app_id}", destination=destination, dataset_name="sms")
        pipeline.run(source)
        with duckdb.connect(str(own_folders / f"{app_id}.duckdb")) as connection:
            found = connection.execute("select reply_content from sms.replies").fetchall()
        assert found == [(app_id,)]
        state = pipeline.state["sources"]["sms_source"]["resources"]["replies"]["incremental"]
        newest = datetime.fromtimestamp(1_700_000_000 - number, timezone.utc)
        assert state["ReplyTime"]["last_value"] == newest


@pytest.mark.parametrize(("workers", "in_flight"), [(1, {1}), (8, set(range(2, 9)))])
def test_a_long_queue_is_drained_by_several_pulls_at_once(
    configured: SimulatorProcess, warehouse: Warehouse, workers: int, in_flight: set[int]
) -> None:
    """Over a network up to `pull_workers` are in flight, and each that is sees the empty queue at its end."""
    configured.configure(latency=0.05)
    configured.enqueue(APP, [a_reply() for _ in range(4_000)])
    report = warehouse.run(pull_workers=workers)
    assert report.requests - 40 in in_flight


def test_an_error_after_the_first_answers_loads_them_first(
    configured: SimulatorProcess, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """A resource never raises while it holds what nothing else has."""
    configured.enqueue(APP, [a_reply() for _ in range(500)])
    configured.fail_next("api_error", code="UnauthorizedOperation.ServiceSuspendDueToArrears", after=2)
    warehouse.pipeline().run(sms_source(pull_workers=1))
    assert warehouse.query("select count(*) from sms.replies") == [(200,)]
    assert "ServiceSuspendDueToArrears" in caplog.text


def test_an_error_with_nothing_to_load_is_raised(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """A wrong key must not look like an empty queue."""
    configured.fail_next("api_error", code="AuthFailure.SecretIdNotFound")
    with pytest.raises(PipelineStepFailed, match="SecretIdNotFound"):
        warehouse.run()


def test_one_refused_application_does_not_stop_the_other(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The drain of that application ends; what the other handed out is loaded."""
    configured.enqueue(APP, [a_reply("a")])
    report = warehouse.run(sms_sdk_app_ids=["1499999999", APP])
    assert warehouse.contents() == ["a"]
    assert [failure.code for failure in report.failures] == [  # type: ignore[attr-defined]
        "InvalidParameterValue.SdkAppIdNotExist"
    ]
    assert not report.drained


def test_a_pull_in_doubt_is_a_row_of_the_ledger_and_the_drain_goes_on(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Its time and its bound can be known of it; what arrived whole of its answer is loaded."""
    configured.enqueue(APP, [a_reply() for _ in range(250)])
    configured.fail_next("truncate", after=1)
    report = warehouse.run(pull_workers=1)
    ledger = (
        "select outcome, records, at_risk, split_part(error, ':', 1) from sms.pulls order by requested_at"
    )
    assert warehouse.query(ledger) == [
        ("answered", 100, 0, None),
        ("in_doubt", 50, 50, "Client.TruncatedBody"),
        ("answered", 50, 0, None),
    ]
    assert (report.in_doubt, report.at_risk, report.drained) == (1, 50, True)


def test_a_queue_that_stays_in_doubt_ends_after_five_pulls(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Each further pull might lose a hundred replies more."""
    configured.fail_next("api_error", code="InternalError", times=50)
    report = warehouse.run()
    assert (report.requests, report.in_doubt, len(report.failures)) == (5, 5, 1)


def test_a_queue_that_stays_refused_for_its_rate_ends_after_eight_pulls(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by it, and nothing goes into the ledger."""
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.02)
    configured.fail_next("api_error", code="RequestLimitExceeded", times=8)
    with pytest.raises(PipelineStepFailed, match="RequestLimitExceeded"):
        warehouse.run()
    assert configured.stats().pulls == 8
    assert warehouse.run().pulls == {}


def test_what_was_not_executed_is_pulled_again(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """A few refusals for the rate are no more than a pause."""
    configured.enqueue(APP, [a_reply("a")])
    configured.fail_next("api_error", code="RequestLimitExceeded", times=3)
    report = warehouse.run()
    assert (report.rate_limited, report.drained, warehouse.contents()) == (3, True, ["a"])
    assert warehouse.query("select count(*) from sms.pulls") == [(1,)]


@pytest.mark.long
def test_the_queue_is_drained_package_by_package(
    configured: SimulatorProcess,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Packages are bounded, so that memory, disk and the first rows do not hang on the backlog."""
    monkeypatch.setattr(settings, "PACKAGE_RECORDS", 400)
    configured.enqueue(APP, [a_reply(f"{n:04d}") for n in range(1000)])
    reports = []
    for _ in range(3):
        caplog.clear()
        reports.append(warehouse.run())
        assert ("The queues are not drained: run" in caplog.text) == (not reports[-1].drained)
    assert [report.drained for report in reports] == [False, False, True]
    assert all(report.replies[APP] <= 400 for report in reports)
    assert warehouse.contents() == [f"{n:04d}" for n in range(1000)]


def test_a_rate_above_the_quota_is_allowed_with_a_warning(
    configured: SimulatorProcess, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Some accounts have a raised quota; others should know why requests are refused."""
    assert warehouse.run(pulls_per_second=250).drained
    assert "pulls_per_second is 250; the API refuses more than 100" in caplog.text
