"""What is in the destination: the acknowledgement that a queue does not have.

dlt commits the state of an extraction together with its rows. The state of the resource `drain` names what
the last package brought, so what it names is loaded; all else that the journal holds is given to dlt again.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from sms_source.journal.journal import Journal
from sms_source.loading import lakehouse
from sms_source.loading.target import kind_of

State = Mapping[str, Any]
"""Of the resource `drain`: `journal`, its id; `items`, fingerprints; `load_id`, of the package with them."""


def note(
    state: MutableMapping[str, Any], journal: Journal, items: Iterable[str], load_id: str | None
) -> None:
    """Name in the state of an extraction what it brings."""
    state["journal"] = journal.identity.journal_id
    state["items"] = []
    with suppress(OSError):  # the store is away: what this brings is loaded once more
        state["items"] = [journal.fingerprint(item) for item in items]
    state["load_id"] = load_id


def state_of(pipeline: dlt.Pipeline) -> State:
    """Return the state that the next extraction starts with; empty before the first."""
    source: Any = pipeline.state.get("sources", {}).get("sms_source", {})
    state: State = source.get("resources", {}).get("drain", {})
    return state


def loaded_items(journal: Journal, items: Iterable[str], state: State, pipeline: dlt.Pipeline) -> list[str]:
    """Return, of what the journal has as not loaded, what the committed state names.

    A state of another journal, which the same pipeline has, says nothing of this one's.
    """
    load_id = state.get("load_id")
    if state.get("journal") != journal.identity.journal_id or not load_id:
        return []
    named = [item for item in items if journal.fingerprint(item) in state["items"]]
    is_there = named and not missing_loads(pipeline, [load_id], journal.identity.tables)
    return named if is_there else []


def give_again_what_is_missing(journal: Journal, pipeline: dlt.Pipeline) -> set[str]:
    """Have what a warehouse that went back in time lacks count as not loaded; return those packages."""
    archived = {name.load_id for name in journal.archive.names()}
    missing = missing_loads(pipeline, archived, journal.identity.tables)
    if missing:
        journal.give_again(missing)
    if missing or not archived:  # nothing else can be given again for what the tables were
        journal.note(tables=table_versions(pipeline, None))
    return missing


def missing_loads(pipeline: dlt.Pipeline, load_ids: Iterable[str], since: Mapping[str, int]) -> set[str]:
    """Return the packages that are not in the destination: never loaded there, or not any more.

    Args:
        pipeline: with the destination.
        load_ids: of the packages.
        since: versions of a lakehouse's tables. When one went back since then, any package may be missing.
    """
    wanted = set(load_ids)
    if not wanted:
        return set()
    from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
    from dlt.destinations.job_client_impl import SqlJobClientBase

    if table_versions(pipeline, since) is None:
        return wanted
    with pipeline.destination_client() as client:
        table = client.schema.loads_table_name
        if isinstance(client, SqlJobClientBase):
            return wanted - _loads_in_table(client.sql_client, table, sorted(wanted))
        if isinstance(client, FilesystemClient):
            return wanted - _loads_in_files(client, table)
    return set()  # there is nothing to ask: the state is all that is known


def table_versions(pipeline: dlt.Pipeline, since: Mapping[str, int] | None) -> dict[str, int] | None:
    """Return versions as `lakehouse.table_versions` does; none where the tables are no lakehouse's."""
    if pipeline.destination is None or kind_of(pipeline.destination) != "filesystem":
        return {}
    if pipeline.default_schema_name is None:
        pipeline.sync_destination()  # dlt opens no table there that its schema does not name
    with pipeline.destination_client() as client:
        return lakehouse.table_versions(client, since)


def _loads_in_table(sql: Any, table: str, load_ids: list[str]) -> set[str]:
    from dlt.destinations.exceptions import DatabaseUndefinedRelation

    places = ", ".join(["%s"] * len(load_ids))
    name = sql.make_qualified_table_name(table)
    query = f"select load_id from {name} where status = 0 and load_id in ({places})"
    try:
        return {row[0] for row in sql.execute_sql(query, *load_ids) or ()}
    except DatabaseUndefinedRelation:
        return set()


def _loads_in_files(client: Any, table: str) -> set[str]:
    """Return the packages that a file each names: `<schema>__<load id>.jsonl`."""
    from dlt.common.destination.exceptions import DestinationUndefinedEntity

    try:
        paths = client.list_table_files(table)
    except (FileNotFoundError, DestinationUndefinedEntity):
        return set()
    names = (str(path).rpartition("/")[2] for path in paths)
    return {name.rpartition("__")[2].removesuffix(".jsonl") for name in names}


def current_load_id() -> str | None:
    """Return the id of the package that is being extracted; None when there is no pipeline."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None
