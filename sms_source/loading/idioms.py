"""What dlt lets somebody do to a source, and what would lose records here: refused before the first pull."""

from collections.abc import Callable
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource, DltSource
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.items_transform import LimitItem, MapItem, MetricsItem

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS
from sms_source.loading.destinations import TABLES
from sms_source.loading.obstacles import KEYS
from sms_source.loading.resources import DRAIN


def refuse_what_loses_records(source: DltSource, pipeline: dlt.Pipeline) -> None:
    """Look at what was done to the source and to the pipeline.

    Raises:
        ConfigurationError: something would lose records, or double them. It names what, and what to do.
    """
    reason = (
        _selection(source)
        or _steps(source)
        or next(filter(None, (_hints(name, source.resources[name]) for name in TABLES)), None)
        or _contract(source)
        or _pipeline(pipeline)
    )
    if reason:
        raise ConfigurationError(f"{reason} Nothing was pulled.")
    for name, key in KEYS.items():
        for step in source.resources[name]._pipe.steps:  # noqa: SLF001 - dlt has no public way
            if isinstance(step, MapItem):
                _watch(name, step, sorted(key))


def _selection(source: DltSource) -> str | None:
    missing = [name for name in TABLES if name not in source.selected_resources]
    if not missing and DRAIN not in source.selected_resources:
        return None
    if not missing:
        return (
            f"The resource {DRAIN} is selected, and is no table: the others share it. Run sms_source() whole."
        )
    return (
        f"The tables {', '.join(missing)} are not selected, and a pull fills them all: what is left out "
        "would be lost, as a record is handed out once. Run sms_source() whole, and select in SQL."
    )


def _steps(source: DltSource) -> str | None:
    """Look at what else rows go through: a map is watched, a limit leaves the rest to the next run."""
    pipes = {name: source.resources[name]._pipe for name in TABLES}  # noqa: SLF001 - dlt has no public way
    # Of the resources in a list, the drain is none; it is the parent of each.
    for name, pipe in ((DRAIN, pipes[TABLES[0]].parent), *pipes.items()):
        allowed: tuple[type, ...] = (LimitItem, MetricsItem)
        if name != DRAIN:
            allowed += (MapItem, IncrementalResourceWrapper)
        if name in FEEDS:
            allowed += (Incremental,)
        for step in pipe.steps[1:]:
            if not isinstance(step, allowed):
                return (
                    f"A step of {name}, {type(step).__name__}, could leave rows out (as a filter does), and "
                    "each record is handed out once. Filter in SQL instead."
                )
    return None


def _watch(name: str, step: MapItem, key: list[str]) -> None:
    """Have a map raise when it leaves out a row or changes a key: then nothing counts as loaded."""

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(table: pa.Table, *meta: Any) -> Any:
            result = function(table, *meta)
            if not isinstance(result, pa.Table) or result.select(key) != table.select(key):
                raise ConfigurationError(
                    f"A map on {name} returned other rows than it was given. Each has to be there, with "
                    f"its {' and '.join(key)}, in an Arrow table. Nothing is lost: without that map, the "
                    "next run loads what was pulled."
                )
            return result

        return checked

    if step._f_meta is not None:  # noqa: SLF001 - as above
        step._f_meta = watched(step._f_meta)  # noqa: SLF001
    else:
        step._f = watched(step._f)  # noqa: SLF001


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
    for hint in ("merge_key", "hard_delete"):
        if columns := [column for column, hints in schema["columns"].items() if hints.get(hint)]:
            return (
                f"The {hint} {', '.join(columns)} of {name} would have a load delete rows that "
                "nothing brings again. Leave it out."
            )
    strict = [
        column
        for column, hints in schema["columns"].items()
        if hints.get("nullable") is False and not hints.get("primary_key") and not column.startswith("_dlt")
    ]
    if strict:
        return (
            f"The columns {', '.join(strict)} of {name} are not nullable: one record without them would stop "
            "every later run. Leave them nullable."
        )
    return None


def _keys(name: str, schema: Any) -> str | None:
    keys = {column for column, hints in schema["columns"].items() if hints.get("primary_key")}
    return None if keys == KEYS[name] else ", ".join(sorted(keys)) or "none"


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
