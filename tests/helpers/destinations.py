"""What the source would do for a destination of dlt."""

from typing import Any

import dlt
import dlt.destinations
from dlt.extract import DltSource

from sms_source import sms_source
from sms_source.loading import destinations
from tests.conftest import APP


def new_source(table_format: Any = None, **arguments: Any) -> DltSource:
    """Return the source, as `pipeline.run(sms_source(), table_format=...)` has it."""
    credentials: Any = {"secret_id": "AKIDx", "secret_key": "x"}
    source = sms_source(sms_sdk_app_ids=APP, credentials=credentials, **arguments)
    for name in destinations.TABLES:
        source.resources[name].apply_hints(table_format=table_format)
    return source


def new_destination(name: str) -> Any:
    """Return a destination of dlt by its name, without configuration."""
    if name == "destination":
        return dlt.destinations.destination(lambda items, table: None, name="sink")
    return getattr(dlt.destinations, name)()


def decide(
    destination: Any, table_format: str | None = None, accepted: str | None = None
) -> destinations.Destination:
    """Return what the source would do for the destination."""
    return destinations.for_source(
        new_source(table_format), destination, destination.capabilities(), allow_duplicates_in=accepted
    )
