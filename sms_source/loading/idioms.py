"""What dlt lets somebody do to a source, and what would lose records here: refused before the first pull."""

from typing import Any

import dlt
from dlt.extract import DltResource, DltSource
from dlt.extract.items_transform import FilterItem

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS
from sms_source.loading.destinations import TABLES

_KEYS = {
    **{name: {feed.record_id} for name, feed in FEEDS.items()},
    "pulls": {"pull_id"},
    "rejected_records": {"pull_id", "position"},
}


def refuse_what_loses_records(source: DltSource, pipeline: dlt.Pipeline) -> None:
    """Look at what was done to the source and to the pipeline.

    Raises:
        ConfigurationError: something would lose records, or double them. It names what, and what to do.
    """
    for reason in (
        _selection(source),
        *(_hints(name, source.resources[name]) for name in TABLES if name in source.resources),
        _contract(source),
        _pipeline(pipeline),
    ):
        if reason:
            raise ConfigurationError(f"{reason} Nothing was pulled.")


def _selection(source: DltSource) -> str | None:
    missing = [name for name in TABLES if name not in source.selected_resources]
    if not missing:
        return None
    return (
        f"The tables {', '.join(missing)} are not selected, and a pull fills them all: what is left out would "
        "be lost, as a record is handed out once. Run sms_source() whole, and select in SQL."
    )


def _hints(name: str, resource: DltResource) -> str | None:
    schema = resource.compute_table_schema()
    if schema["write_disposition"] != "merge":
        return (
            f"The write_disposition of {name} is {schema['write_disposition']!r}: it would lose records or "
            "double them. Leave it to sms_source, whose is 'merge'."
        )
    if schema["name"] != name:
        return f"The table of {name} is named {schema['name']!r}: views go by its own name. Keep it."
    own = _keys(name, schema)
    if own:
        return f"The primary_key of {name} is {own}: rows would replace each other. Leave it to sms_source."
    strict = [
        column
        for column, hints in schema["columns"].items()
        if hints.get("nullable") is False and not hints.get("primary_key")
    ]
    if strict:
        return (
            f"The columns {', '.join(strict)} of {name} are not nullable: one record without them would stop "
            "every later run. Leave them nullable."
        )
    if any(isinstance(step, FilterItem) for step in resource._pipe.steps):  # noqa: SLF001 - dlt has no public way
        return f"A filter on {name} would lose records, as each is handed out once. Filter in SQL instead."
    return None


def _keys(name: str, schema: Any) -> str | None:
    keys = {column for column, hints in schema["columns"].items() if hints.get("primary_key")}
    return None if keys == _KEYS[name] else ", ".join(sorted(keys)) or "none"


def _contract(source: DltSource) -> str | None:
    contracts: list[Any] = [source.schema.settings.get("schema_contract")]
    contracts += [resource.schema_contract for resource in source.resources.values()]
    for contract in contracts:
        modes = {contract} if isinstance(contract, str) else set((contract or {}).values())
        if modes - {"evolve"}:
            return (
                f"The schema_contract {contract!r} would stop every later run at the first new field, or "
                "leave it out. Leave it at 'evolve'."
            )
    return None


def _pipeline(pipeline: dlt.Pipeline) -> str | None:
    if pipeline.dev_mode:
        return (
            "The pipeline is in dev_mode, whose dataset is thrown away: what is pulled would be with it. Try "
            "against sms_source.simulator instead."
        )
    state: Any = dlt.current.load_package_state()["state"]
    if pipeline.refresh or state.get("dropped_tables") or state.get("truncated_tables"):
        return (
            "refresh drops what was loaded, and the queues don't hand it out again. Run without it; to load "
            "the archive again, sms_source(replay=True)."
        )
    return None
