"""One extraction of dlt's: what goes into a package, what is told of it, and when it counts as brought."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source import settings
from sms_source.errors import JournalLockedError
from sms_source.feeds import REPLIES
from sms_source.journal.bundle import read_bundle
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.pull import Pull, now
from sms_source.loading import commits
from sms_source.loading.destinations import for_pipeline
from sms_source.loading.extraction import Extraction
from sms_source.loading.resources import resources_of
from sms_source.loading.tables import Tables
from sms_source.loading.working_directory import SCHEMA
from sms_source.pulling.report import DrainReport
from tests.conftest import Warehouse, a_reply
from tests.helpers.journals import WEEK, body_of, intend, keep_answer


class Place(LocalStorage):
    """A place that another process may take."""

    is_lost = False

    def check_held(self) -> None:
        """Say so, as an object store does."""
        if self.is_lost:
            raise JournalLockedError("another process may have the journal")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Provide a place that is this process's."""
    return Place(tmp_path / "journal")


@pytest.fixture
def journal(place: Place) -> Iterator[Journal]:
    """Provide an empty journal there, which this process holds."""
    with Journal(place.url, storage=place) as journal:
        yield journal


def source_of(tables: Any) -> Any:
    """Return dlt's source, as the job makes it."""
    return dlt.source(lambda: resources_of(tables), name=SCHEMA, section=SCHEMA)()


def extraction_of(
    journal: Journal, pipeline: dlt.Pipeline, report: DrainReport | None = None, **options: Any
) -> Extraction:
    """Return an extraction of all that waits in the journal."""
    given: dict[str, Any] = {"feeds": [REPLIES.name], **options}
    destination = for_pipeline(pipeline, source_of(lambda: iter(())))
    told = report or DrainReport()
    return Extraction(journal, journal.unloaded(), None, destination=destination, report=told, **given)


def answered(journal: Journal, *records: Any) -> str:
    """Have a drain hold an answer with these records; return its id."""
    drain = journal.open_drain()
    keep_answer(drain, body_of(*records))
    return drain.drain_id


def pushed(journal: Journal, *bodies: Any) -> str:
    """Have a drain hold what was pushed; return its id."""
    drain = journal.open_drain()
    for body in bodies:
        at, content = now(), json.dumps(body).encode()
        drain.add(Pull("", REPLIES.name, "-", "-", 100, at, at, body=content, channel="callback"))
    return drain.drain_id


A_PUSH = {"mobile": "12000000001", "nationcode": "86", "text": "TD", "time": 1_620_734_188}


def test_a_package_ends_at_the_usual_size_with_a_whole_drain(
    journal: Journal, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit any more is the next one's; a drain's own size does not part it."""
    monkeypatch.setattr(settings, "PACKAGE_RECORDS", 5)
    drains = [answered(journal, *(a_reply(f"{n}{m}") for m in range(3))) for n in range(4)]
    pipeline = warehouse.pipeline()
    for included in (drains[:2], drains[2:]):
        report = DrainReport()
        extraction = extraction_of(journal, pipeline, report)
        pipeline.extract(source_of(extraction.tables))
        assert (extraction.included, report.records.total()) == (included, 6)
        journal.commit(included, "1.5", WEEK)


def test_a_package_without_bound_has_all_of_it(
    journal: Journal, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's own pipeline loads an archive in one call, as nothing calls it again."""
    monkeypatch.setattr(settings, "PACKAGE_RECORDS", 1)
    drains = [answered(journal, a_reply()) for _ in range(3)]
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline, is_bounded=False)
    pipeline.extract(source_of(extraction.tables))
    assert extraction.included == drains


def test_what_was_pushed_twice_is_one_row_and_counted_twice(journal: Journal, warehouse: Warehouse) -> None:
    """Where rows are replaced by their key, a package that has one twice would keep both."""
    pushed(journal, A_PUSH, [A_PUSH, {**A_PUSH, "text": "other"}])
    pushed(journal, A_PUSH)
    report = DrainReport()
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline, report)
    tables: list[Tables] = []

    def seen() -> Any:
        for table in extraction.tables():
            tables.append(table)
            yield table

    pipeline.extract(source_of(seen))
    (contents,) = [
        table.records["replies"]["ReplyContent"].to_pylist()
        for table in tables
        if table.records["replies"].num_rows
    ]
    assert contents == ["TD", "other"]
    assert (report.pushed, report.records.total()) == (4, 2)


def pulls_in(extraction: Extraction, pipeline: dlt.Pipeline) -> list[tuple[str, str]]:
    """Extract a package; return its rows of the ledger: each pull's id and outcome."""
    rows: list[tuple[str, str]] = []

    def seen() -> Any:
        for tables in extraction.tables():
            columns = (tables.pulls[name].to_pylist() for name in ("pull_id", "outcome"))
            rows.extend(zip(*columns, strict=True))
            yield tables

    pipeline.extract(source_of(seen))
    return rows


def test_a_pull_that_is_archived_and_waits_is_in_a_package_once(
    journal: Journal, warehouse: Warehouse
) -> None:
    """A kill left it in both places: where rows are replaced by their key, a package has none twice."""
    drain_id = answered(journal, a_reply("a"), a_reply("b"))
    (file,) = Path(journal.url).rglob("*.answer")
    content = file.read_bytes()
    journal.commit([drain_id], "1.5", WEEK)
    journal.give_again()
    journal.storage.write(f"drains/{drain_id}/{file.name}", content)
    report = DrainReport()
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline, report)
    assert pulls_in(extraction, pipeline) == [(f"{drain_id}/000001", "answered")]
    assert (len(extraction.included), report.records.total()) == (2, 2)


@pytest.mark.parametrize("is_answer_archived", [False, True])
def test_an_answer_beats_a_doubt_of_the_same_package(
    journal: Journal, warehouse: Warehouse, *, is_answer_archived: bool
) -> None:
    """Whichever is archived, and whichever comes first."""
    drain_id = answered(journal, a_reply("a"))
    (file,) = Path(journal.url).rglob("*.answer")
    answer, intent = file.read_bytes(), file.with_suffix(".intent")
    if not is_answer_archived:
        file.rename(intent).write_bytes(b"")
    journal.commit([drain_id], "1.5", WEEK)
    later = file if not is_answer_archived else intent
    journal.storage.write(f"drains/{drain_id}/{later.name}", b"" if is_answer_archived else answer)
    pipeline = warehouse.pipeline()
    destination = for_pipeline(pipeline, source_of(lambda: iter(())))
    report = DrainReport()
    everything = Extraction(
        journal,
        journal.everything(),
        None,
        feeds=[REPLIES.name],
        destination=destination,
        report=report,
        is_bounded=False,
    )
    assert pulls_in(everything, pipeline) == [(f"{drain_id}/000001", "answered")]
    assert (report.in_doubt, report.records.total()) == (0, 1)


def test_of_two_doubts_that_which_brought_more_is_loaded(journal: Journal, warehouse: Warehouse) -> None:
    """One process noted what had arrived of the answer, another one only that it was interrupted."""
    drain = journal.open_drain()
    body = body_of(a_reply("a"), a_reply("b"))
    intent = intend(drain)
    intent.keep(intent.pull.doubted("Client.ReadTimeout: x", body=body[: body.index(b'"b"')]))
    journal.commit([drain.drain_id], "1.5", WEEK)
    (bundle,) = journal.give_again()
    (member,) = read_bundle(journal.storage.read(f"drains/{bundle}"))
    name = member.name.replace(".in_doubt", ".intent")
    journal.storage.write(f"drains/{drain.drain_id}/{name}", b"")
    report = DrainReport()
    pipeline = warehouse.pipeline()
    assert pulls_in(extraction_of(journal, pipeline, report), pipeline) == [(intent.pull.pull_id, "in_doubt")]
    assert (report.in_doubt, report.records.total()) == (1, 1)


def test_what_holds_nothing_to_load_is_brought_all_the_same(journal: Journal, warehouse: Warehouse) -> None:
    """A drain whose only file can't be read would be looked at by every later run."""
    drain_id = pushed(journal, A_PUSH)
    (file,) = Path(journal.url).rglob("*.callback")
    file.write_bytes(b"damaged")
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline)
    pipeline.run(source_of(extraction.tables))
    state = commits.state_of(pipeline)
    assert extraction.included == [drain_id]
    assert commits.loaded_items(journal, [drain_id], state, pipeline) == [drain_id]
    assert warehouse.contents() == []


def test_the_state_names_what_was_brought_when_all_of_it_was_read(
    journal: Journal, warehouse: Warehouse
) -> None:
    """By what is in each drain at that moment, and with the package that proves it."""
    drain_id = answered(journal, a_reply("a"))
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline)
    pipeline.run(source_of(extraction.tables))
    (load_id,) = pipeline.list_completed_load_packages()
    assert commits.state_of(pipeline) == {
        "journal": journal.identity.journal_id,
        "items": [journal.fingerprint(drain_id)],
        "load_id": load_id,
    }
    assert warehouse.query("select reply_content, _dlt_load_id from sms.replies") == [("a", load_id)]


def test_a_package_that_another_process_may_load_as_well_ends_before_it_is_one(
    journal: Journal, place: Place, warehouse: Warehouse
) -> None:
    """Both would load it, each taking the other for dead; nothing is left that dlt would load later."""
    answered(journal, a_reply("a"))
    pipeline = warehouse.pipeline()
    extraction = extraction_of(journal, pipeline)
    place.is_lost = True
    with pytest.raises(PipelineStepFailed, match="another process may have the journal"):
        pipeline.run(source_of(extraction.tables))
    assert not pipeline.has_pending_data
    assert commits.state_of(pipeline) == {}


def test_the_fiftieth_new_field_is_the_last_that_gets_a_column(
    journal: Journal, warehouse: Warehouse
) -> None:
    """Counted over all packages, by what the destination has; what was a column before goes on as one."""
    first = answered(journal, a_reply("a", **{f"x{n}": "1" for n in range(50)}))
    pipeline = warehouse.pipeline()
    pipeline.run(source_of(extraction_of(journal, pipeline).tables))
    journal.commit([first], "1.5", WEEK)
    answered(journal, a_reply("b", x7="2", y="3"))
    pipeline.run(source_of(extraction_of(journal, pipeline).tables))
    query = "select reply_content, x7, other_fields from sms.replies order by 1"
    assert warehouse.query(query) == [("a", "1", None), ("b", "2", '{"y": "3"}')]
