"""What dlt lets somebody do to a source: it works, or it is refused before the first pull."""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source import settings, sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import Warehouse, a_reply
from tests.helpers.jobs import options_for

Change = Callable[[DltSource], Any]

TEXTS = [f"{number:03d}" for number in range(250)]
IN_2030 = datetime(2030, 1, 1, tzinfo=timezone.utc)
NUMBERS = itertools.count(1_400_000_000)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorProcess]:
    """One simulator for all tests here; each has an application of its own."""
    with SimulatorProcess(app_ids=[str(1_400_000_000 + number) for number in range(200)]) as simulator:
        simulator.configure(rate_limit=0)
        yield simulator


@pytest.fixture
def app_id(server: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide an application with more replies than a table holds, and a record that does not fit."""
    app_id = str(next(NUMBERS))
    monkeypatch.setattr(settings, "TABLE_RECORDS", 100)
    for name, value in options_for(server, app_id).items():
        monkeypatch.setenv(name, value)
    server.enqueue(app_id, [*(a_reply(text) for text in TEXTS), {"bad": 1}])
    return app_id


def changed(change: Callable[[Any], Any], name: str = "replies") -> Change:
    """Return what changes one resource of a source."""

    def apply(source: DltSource) -> DltSource:
        change(source.resources[name])
        return source

    return apply


def hinted(name: str = "replies", **hints: Any) -> Change:
    """Return what gives a resource hints."""
    return changed(lambda resource: resource.apply_hints(**hints), name)


def without(name: str) -> Change:
    """Return what takes a resource out of the selection."""
    return changed(lambda resource: setattr(resource, "selected", False), name)


def with_attribute(name: str, value: Any) -> Change:
    """Return what sets an attribute of a source."""

    def apply(source: DltSource) -> DltSource:
        setattr(source, name, value)
        return source

    return apply


def as_it_is(source: DltSource) -> DltSource:
    """Change nothing."""
    return source


def enriched(table: pa.Table) -> pa.Table:
    """Add a column, as somebody's own map may."""
    return table.append_column("campaign", pa.array(["spring"] * table.num_rows))


def nothing(table: pa.Table) -> Iterator[pa.Table]:
    """Yield none of the rows."""
    yield from ()


def cursor(column: str) -> Any:
    """Return an incremental of somebody's own, which would filter."""
    return dlt.sources.incremental(column, initial_value=IN_2030)


def assert_all_is_there(warehouse: Warehouse) -> None:
    """Each reply, the record that does not fit and the ledger: once."""
    assert warehouse.contents() == TEXTS
    assert warehouse.query("select count(*) from sms.rejected_records") == [(1,)]
    assert warehouse.query("select sum(records) from sms.pulls") == [(251,)]


WORKS: dict[str, tuple[Change, dict[str, Any]]] = {
    "a list of its resources": (lambda source: list(source.selected_resources.values()), {}),
    "add_limit on the source": (lambda source: source.add_limit(1), {}),
    "add_limit on a table": (changed(lambda replies: replies.add_limit(1)), {}),
    "add_map": (changed(lambda replies: replies.add_map(enriched)), {}),
    "add_map with meta": (changed(lambda replies: replies.add_map(lambda table, meta: table)), {}),
    "add_metrics": (changed(lambda replies: replies.add_metrics(lambda *_: None)), {}),
    "parallelize": (lambda source: source.parallelize(), {}),
    "columns": (as_it_is, {"columns": {"campaign": {"data_type": "text"}}}),
    "another type": (as_it_is, {"columns": {"reply_time": {"data_type": "text"}}}),
    "unique and dedup_sort": (hinted(columns={"reply_time": {"unique": True, "dedup_sort": "desc"}}), {}),
    "an incremental of one's own on a table of records": (hinted(incremental=cursor("ReplyTime")), {}),
    "another file format": (as_it_is, {"loader_file_format": "insert_values"}),
    "max_table_nesting": (with_attribute("max_table_nesting", 0), {}),
    "beside another source": (lambda source: [source, dlt.resource([{"a": 1}], name="other")], {}),
    "twice in a run": (lambda source: [source, sms_source()], {}),
    "another name": (lambda _: sms_source.with_args(name="mine")(), {}),
    "a contract that evolves": (as_it_is, {"schema_contract": "evolve"}),
}


@pytest.mark.long
@pytest.mark.parametrize("idiom", WORKS)
def test_it_works(app_id: str, warehouse: Warehouse, idiom: str) -> None:
    """All rows land once, in one run."""
    change, arguments = WORKS[idiom]
    warehouse.pipeline().run(change(sms_source()), **arguments)
    assert_all_is_there(warehouse)


LIMITED: dict[str, Change] = {
    "a number": changed(lambda drain: drain.add_limit(1), "drain"),
    "none": changed(lambda drain: drain.add_limit(0), "drain"),
    "a time": changed(lambda drain: drain.add_limit(max_time=0.000_001), "drain"),
    "rows": changed(lambda drain: drain.add_limit(60, count_rows=True), "drain"),
    "in parallel": changed(lambda drain: drain.parallelize().add_limit(1), "drain"),
}


@pytest.mark.long
@pytest.mark.parametrize("limit", LIMITED)
def test_a_limit_on_the_drain_leaves_the_rest_to_the_next_run(
    app_id: str, warehouse: Warehouse, limit: str
) -> None:
    """What was pulled and not loaded is in the journal, and counts as not loaded."""
    warehouse.pipeline().run(LIMITED[limit](sms_source()))
    warehouse.run()
    assert_all_is_there(warehouse)


REFUSED: dict[str, tuple[Change, dict[str, Any], str]] = {
    "with_resources('pulls')": (lambda source: source.with_resources("pulls"), {}, "are not selected"),
    "with_resources('replies')": (lambda source: source.with_resources("replies"), {}, "are not selected"),
    "selected = False": (without("rejected_records"), {}, "rejected_records are not selected"),
    "a resource alone": (lambda source: source.replies, {}, "are not selected"),
    "with_name": (lambda source: source.replies.with_name("mine"), {}, "are not selected"),
    "all of its resources": (lambda source: source.with_resources(*source.resources), {}, "is no table"),
    "add_filter": (
        changed(lambda replies: replies.add_filter(lambda _: True)),
        {},
        "A step of replies, FilterItem",
    ),
    "add_filter on the drain": (
        changed(lambda drain: drain.add_filter(lambda _: True), "drain"),
        {},
        "A step of drain, FilterItem",
    ),
    "add_map on the drain": (
        changed(lambda drain: drain.add_map(lambda table: table), "drain"),
        {},
        "A step of drain, MapItem",
    ),
    "add_yield_map": (changed(lambda replies: replies.add_yield_map(nothing)), {}, "YieldMapItem"),
    "add_step": (changed(lambda replies: replies.add_step(enriched)), {}, "A step of replies"),
    "select_tables": (changed(lambda replies: replies.select_tables("x")), {}, "FilterItem"),
    "an incremental on the ledger": (
        hinted("pulls", incremental=cursor("requested_at")),
        {},
        "A step of pulls, Incremental",
    ),
    "a column that is not nullable": (
        as_it_is,
        {"columns": {"phone_number": {"nullable": False}}},
        "phone_number of replies are not nullable",
    ),
    "table_name": (as_it_is, {"table_name": "mine"}, "is named 'mine'"),
    "write_disposition append": (as_it_is, {"write_disposition": "append"}, "is 'append'"),
    "write_disposition replace": (as_it_is, {"write_disposition": "replace"}, "is 'replace'"),
    "write_disposition skip": (as_it_is, {"write_disposition": "skip"}, "is 'skip'"),
    "upsert": (
        as_it_is,
        {"write_disposition": {"disposition": "merge", "strategy": "upsert"}},
        "dlt would merge there by 'upsert'",
    ),
    "scd2": (
        hinted(write_disposition={"disposition": "merge", "strategy": "scd2"}),
        {},
        "dlt would merge there by 'scd2'",
    ),
    "primary_key": (as_it_is, {"primary_key": "phone_number"}, "primary_key of replies is phone_number"),
    "merge_key": (hinted(merge_key="phone_number"), {}, "The merge_key phone_number of replies"),
    "hard_delete": (hinted(columns={"reply_content": {"hard_delete": True}}), {}, "The hard_delete"),
    "schema_contract of the run": (as_it_is, {"schema_contract": "freeze"}, "The schema_contract 'freeze'"),
    "schema_contract of the source": (
        with_attribute("schema_contract", {"columns": "discard_value"}),
        {},
        "The schema_contract {'columns': 'discard_value'}",
    ),
    "schema_contract of a resource": (
        hinted(schema_contract={"data_type": "freeze"}),
        {},
        "The schema_contract {'data_type': 'freeze'}",
    ),
}


@pytest.mark.parametrize("idiom", REFUSED)
def test_it_is_refused_before_the_first_pull(
    app_id: str, server: SimulatorProcess, warehouse: Warehouse, idiom: str
) -> None:
    """The message says what it is; the queue has all, which the next run loads."""
    change, arguments, message = REFUSED[idiom]
    with pytest.raises(PipelineStepFailed) as caught:
        warehouse.pipeline().run(change(sms_source()), **arguments)
    assert message in str(caught.value)
    assert server.stats().queued[f"{app_id}/ap-guangzhou"] == 251


@pytest.mark.long
@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_refresh_is_refused_once_there_is_something_to_drop(
    app_id: str, server: SimulatorProcess, warehouse: Warehouse, refresh: Any
) -> None:
    """The queues do not hand it out again."""
    warehouse.run()
    server.enqueue(app_id, [a_reply("late")])
    with pytest.raises(PipelineStepFailed, match="refresh drops what was loaded"):
        warehouse.pipeline().run(sms_source(), refresh=refresh)
    assert server.stats().queued[f"{app_id}/ap-guangzhou"] == 1
    assert_all_is_there(warehouse)


def test_dev_mode_is_refused(app_id: str, server: SimulatorProcess) -> None:
    """Its dataset is thrown away."""
    pipeline = dlt.pipeline("mine", destination="duckdb", dataset_name="sms", dev_mode=True)
    with pytest.raises(PipelineStepFailed, match="dev_mode"):
        pipeline.run(sms_source())
    assert server.stats().queued[f"{app_id}/ap-guangzhou"] == 251


MAPS: dict[str, Callable[[pa.Table], Any]] = {
    "nothing": lambda table: None,
    "some rows": lambda table: table.slice(1),
    "rows twice": lambda table: pa.concat_tables([table, table]),
    "another id": lambda table: table.set_column(0, "reply_id", pa.array(["x"] * table.num_rows)),
    "dicts": lambda table: table.to_pylist(),
}


@pytest.mark.long
@pytest.mark.parametrize("returned", MAPS)
def test_a_map_that_leaves_rows_out_fails_the_run_and_loses_nothing(
    app_id: str, warehouse: Warehouse, returned: str
) -> None:
    """It can be seen only while it runs: nothing of the run counts as loaded, and the next one has it all."""
    source = sms_source()
    source.resources["replies"].add_map(MAPS[returned])
    with pytest.raises(PipelineStepFailed, match="A map on replies returned other rows"):
        warehouse.pipeline().run(source)
    warehouse.run()
    assert_all_is_there(warehouse)


def test_the_active_pipeline_has_to_be_the_one_that_extracts(
    app_id: str, server: SimulatorProcess, warehouse: Warehouse
) -> None:
    """dlt's global tells another one, whose destination and state would be asked."""
    pipeline = warehouse.pipeline()
    other = dlt.pipeline("other", destination="duckdb", dataset_name="other")
    assert dlt.current.pipeline() is other
    pipeline.run(sms_source())
    assert_all_is_there(warehouse)
