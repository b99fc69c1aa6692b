"""What acknowledges: dlt's state names what is loaded, and the destination says which packages it has."""

from pathlib import Path

import dlt
import pytest

from sms_source.journal.journal import Journal
from sms_source.loading import commits
from tests.helpers.journals import keep_answer


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    """Provide a pipeline that has loaded a package."""
    pipeline = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="sms")
    pipeline.run([{"a": 1}], table_name="rows")
    return pipeline


def test_a_package_is_asked_for_by_its_id(pipeline: dlt.Pipeline) -> None:
    """One that was never loaded, or not any more, is missing."""
    (load_id,) = pipeline.list_completed_load_packages()
    assert commits.missing_loads(pipeline, [load_id, "1.5"], {}) == {"1.5"}
    assert commits.missing_loads(pipeline, [], {}) == set()


def test_without_a_dataset_all_are_missing() -> None:
    """Somebody dropped it, or deleted the file."""
    empty = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="sms")
    assert commits.missing_loads(empty, ["1.5"], {}) == {"1.5"}


def test_files_say_it_too(own_folders: Path) -> None:
    """A lakehouse has a file for each package."""
    pipeline = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(own_folders / "lake")))
    assert commits.missing_loads(pipeline, ["1.5"], {}) == {"1.5"}
    pipeline.run([{"a": 1}], table_name="rows")
    (load_id,) = pipeline.list_completed_load_packages()
    assert commits.missing_loads(pipeline, [load_id, "1.5"], {}) == {"1.5"}


def test_what_the_state_names_is_loaded(journal: Journal, pipeline: dlt.Pipeline) -> None:
    """Up to what came into a drain after that; and only while the destination has the package."""
    drain = journal.open_drain()
    keep_answer(drain)
    (load_id,) = pipeline.list_completed_load_packages()
    state: dict[str, object] = {}
    commits.note(state, journal, [drain.drain_id], load_id)
    named = commits.loaded_items(journal, [drain.drain_id, "another"], state, pipeline)
    assert named == [drain.drain_id]
    assert commits.loaded_items(journal, [drain.drain_id], {**state, "load_id": "1.5"}, pipeline) == []
    assert commits.loaded_items(journal, [drain.drain_id], {}, pipeline) == []
    with Journal(journal.url + "-other") as other:
        assert commits.loaded_items(other, [drain.drain_id], state, pipeline) == []
    keep_answer(drain)
    assert commits.loaded_items(journal, [drain.drain_id], state, pipeline) == []
