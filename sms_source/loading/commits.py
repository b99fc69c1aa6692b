"""What is in the warehouse, by dlt's own state: the acknowledgement that the queue does not have.

The state names the drains that the last package brought. dlt commits it together with the rows, so a drain
that it names is loaded; all others are given to dlt again.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable, LoadPackageNotFound
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from sms_source.journal.journal import Journal

State = Mapping[str, Any]
"""Of a resource. That of `drain`: `drains`, the ids, and `load_id`, that of the package that brought them."""


def state_of(pipeline: dlt.Pipeline, resource: str = "drain") -> State:
    """The state that the next run starts with; empty before the first."""
    source: Any = pipeline.state.get("sources", {}).get("sms_source", {})
    state: State = source.get("resources", {}).get(resource, {})
    return state


def settle(journal: Journal, state: State, retention: timedelta) -> list[str]:
    """Notes in the journal what is loaded, and forgets what is old.

    Returns:
        The drains that are not known to be loaded, the oldest first.
    """
    if owner := _owner():
        journal.claim(owner)
    if _is_loaded(state.get("load_id")):
        journal.commit(state.get("drains", ()))
    journal.expire(retention)
    return journal.uncommitted()


def load_id() -> str | None:
    """The id of the package that is being extracted; None when somebody looks at rows without a pipeline."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None


def _owner() -> dict[str, str]:
    """The pipeline that is active; empty when somebody looks at rows without one."""
    context = Container()[PipelineContext]
    if not context.is_active():
        return {}
    pipeline = context.pipeline()
    destination = pipeline.destination
    return {
        "pipeline": pipeline.pipeline_name,
        "destination": destination.destination_name if destination else "",
        "dataset": pipeline.dataset_name or "",
    }


def _is_loaded(load_id: str | None) -> bool:
    """Whether the package that brought the state is in the destination.

    dlt takes the state of a dropped package back, but not if it is killed meanwhile: so look. A new working
    directory has its state from the destination, which has the packages of that state too.
    """
    context = Container()[PipelineContext]
    if load_id is None or not context.is_active():
        return False
    pipeline = dlt.current.pipeline()
    try:
        return pipeline.get_load_package_info(load_id).state == "loaded"
    except LoadPackageNotFound:
        pass
    try:
        with pipeline.sql_client() as client:
            table = client.make_qualified_table_name("_dlt_loads")
            query = f"select 1 from {table} where load_id = %s and status = 0"  # noqa: S608 - dlt's own table
            found = client.execute_sql(query, load_id)
    except DatabaseUndefinedRelation:
        return False
    except SqlClientNotAvailable:  # there is nothing better to ask than the state
        return True
    return bool(found)
