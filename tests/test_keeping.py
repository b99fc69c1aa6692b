"""load() leaves dlt and the process as it found them."""

import logging
import os

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.pipeline import PipelineContext

from sms_source.loading.keeping import as_found, forget_credentials


@pytest.fixture(autouse=True)
def nobody_is_active() -> None:
    """No pipeline of another test is active."""
    context = Container()[PipelineContext]
    if context.is_active():
        context.deactivate()


def test_the_active_pipeline_is_active_again() -> None:
    """Somebody's own one, in whose notebook a load runs."""
    mine = dlt.pipeline("mine", destination="duckdb")
    with as_found():
        dlt.pipeline("other", destination="duckdb")
    assert dlt.pipeline() is mine


def test_where_none_was_active_none_is() -> None:
    """`dlt.pipeline()` would otherwise give a stranger's."""
    with as_found():
        dlt.pipeline("other", destination="duckdb")
    assert not Container()[PipelineContext].is_active()


def test_all_is_restored_after_a_failure_too() -> None:
    """The mask of permissions, and dlt's logger; meanwhile new files are one's own."""
    umask = os.umask(0o022)
    filters = list(logging.getLogger("dlt").filters)
    try:
        with pytest.raises(KeyError), as_found():
            raise KeyError(os.umask(0o077))
        assert os.umask(0o022) == 0o022
        assert logging.getLogger("dlt").filters == filters
    finally:
        os.umask(umask)


def test_what_was_resolved_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys among it: dlt writes it into the trace of the next run."""
    monkeypatch.setenv("MY_SECRET", "hush")
    assert dlt.secrets["my_secret"] == "hush"
    assert "hush" in repr(get_resolved_traces().all_traces)
    forget_credentials()
    assert "hush" not in repr(get_resolved_traces().all_traces)
