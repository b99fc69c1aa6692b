"""Tables in a folder or an object store: Delta's, or Iceberg's where a catalog keeps track of them."""

import importlib.util
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TTableFormat

from sms_source.cleaning import MASK, redact
from sms_source.errors import ConfigurationError, SmsSourceError
from sms_source.feeds import FEEDS

DELTA: TTableFormat = "delta"
ICEBERG: TTableFormat = "iceberg"

_NEEDS: dict[str, str] = {DELTA: "deltalake", ICEBERG: "pyiceberg"}
_TABLES = (*FEEDS, "pulls", "rejected_records")
_CATALOG = "iceberg_catalog.iceberg_catalog_config"
_WRONG = (
    *("ArgumentError", "NotInstalledError"),
    *("BadRequestError", "ForbiddenError", "OAuthError", "UnauthorizedError"),
)
"""What SQLAlchemy and pyiceberg name the errors that a catalog's configuration alone can cause."""


def configured_format() -> TTableFormat:
    """Return the format of the tables that `load()` makes: Iceberg's if `[iceberg_catalog]` has a catalog."""
    return ICEBERG if dlt.config.get(_CATALOG) or dlt.secrets.get(_CATALOG) else DELTA


def have_package(table_format: str) -> None:
    """Look for the package that writes a format. Raises `ConfigurationError` when it is not here."""
    package = _NEEDS[table_format]
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"{table_format.capitalize()} tables need {package}: "
            f"pip install 'dlt-tencent-sms[{table_format}]'"
        )


def has_lasting_catalog() -> bool:
    """Return whether the catalog of Iceberg's tables, dlt's or pyiceberg's, outlives the process.

    Raises:
        ConfigurationError: it is configured wrongly.
        SmsSourceError: it does not answer.
    """
    from dlt.common.libs.pyiceberg import get_catalog, is_ephemeral_catalog

    try:
        return not is_ephemeral_catalog(get_catalog())
    except Exception as error:  # noqa: BLE001 - whatever the catalog's driver raises
        place, reason = _without_credentials(str(error).strip().partition("\n")[0].rstrip("."))
        catalog, why = f"Iceberg's catalog{place}", f"({type(error).__name__}: {reason})"
        is_wrong = _is_wrong(error)
    # Without its cause: a driver quotes what it can't read of the URI, and a traceback would show that.
    if is_wrong:
        raise ConfigurationError(f"{catalog} can't be opened {why}. Correct [iceberg_catalog].")
    raise SmsSourceError(
        f"{catalog} does not answer {why}. Start it, or correct [iceberg_catalog], then run again. What was "
        "pulled waits in the journal."
    )


def _is_wrong(error: Exception) -> bool:
    """Return whether the catalog's configuration alone can be what is wrong."""
    if isinstance(error, json.JSONDecodeError) or getattr(error, "title", "").endswith("Response"):
        return False  # an answer that is none, such as a proxy's page
    is_named = any(kind.__name__ in _WRONG for kind in type(error).__mro__)
    return is_named or isinstance(error, (ImportError, TypeError, ValueError))


def _without_credentials(reason: str) -> tuple[str, str]:
    """Return the catalog's place and the reason, neither with anything else of what its URI says."""
    config = _catalog_configuration()
    uri = str(config.get("uri", ""))
    shown = re.fullmatch(
        r"([a-z][\w+.-]*://)(?:[^?]*@)?([\w.-]*(?::\d+)?(?:/[\w./%-]*)?)(?:\?[^@]*)?", uri, re.IGNORECASE
    )
    place = shown[1] + shown[2] if shown else ""
    secret = " ".join(str(config.get(name, "")) for name in ("uri", "credential", "token"))
    words = set(re.findall(r"\w+", f"{secret} {unquote(secret)}")).difference(re.findall(r"\w+", place))
    for word in words:
        reason = re.sub(rf"\b{re.escape(word)}\b", MASK, reason)
    return f" at {redact(place)}" if place else "", redact(reason)


def _catalog_configuration() -> dict[str, Any]:
    """Return what dlt's configuration says of the catalog, or else pyiceberg's own."""
    from pyiceberg.utils.config import Config

    name = dlt.config.get("iceberg_catalog.iceberg_catalog_name", str) or "default"
    found: Any = dlt.config.get(_CATALOG) or dlt.secrets.get(_CATALOG)
    with suppress(TypeError, ValueError):
        return dict(json.loads(found) if isinstance(found, str) else found)
    return dict(Config().get_catalog_config(name) or {})


def have_namespace(client: Any) -> None:
    """Make the dataset's namespace in Iceberg's catalog: dlt's loading threads would do it all at once."""
    client.get_open_table_catalog(ICEBERG)


def table_versions(client: Any, since: Mapping[str, int] | None) -> dict[str, int] | None:
    """Return which version of each table is the newest: Delta's number, or the id of Iceberg's snapshot.

    dlt's note of each load is in files beside the tables, and says nothing of a table that went back.

    Args:
        client: of dlt, for a folder or an object store.
        since: versions that were returned before; None for what the tables are, whatever they were.

    Returns:
        None when a table does not come from its version then: it was given an older version's rows. One that
        is not in `since` was made after that. Where a table's maintenance removed what would tell, it counts
        as one that went on.
    """
    found = {}
    for name in _TABLES:
        table_format = client.schema.tables.get(name, {}).get("table_format") or configured_format()
        with suppress(DestinationUndefinedEntity):
            table = client.load_open_table(table_format, name)
            went_back = _delta_went_back if table_format == DELTA else _iceberg_went_back
            if since is not None and went_back(table, since.get(name)):
                return None
            if table_format == DELTA:
                found[name] = table.version()
            elif current := table.current_snapshot():
                found[name] = current.snapshot_id
    return found


def _delta_went_back(table: Any, noted: int | None) -> bool:
    newer: int = table.version() - (-1 if noted is None else noted)
    if newer <= 0:
        return newer < 0  # another table is in its place, or an older copy of it
    return any(commit["operation"] == "RESTORE" for commit in table.history(newer))


def _iceberg_went_back(table: Any, noted: int | None) -> bool:
    snapshots = {each.snapshot_id: each for each in table.snapshots()}
    if noted is None:
        noted = max(snapshots, key=lambda one: snapshots[one].timestamp_ms, default=None)
    current, oldest = table.current_snapshot(), None
    ancestor = current.snapshot_id if current else None
    while ancestor in snapshots and ancestor != noted:
        oldest = snapshots[ancestor]
        ancestor = oldest.parent_snapshot_id
    if ancestor == noted:
        return False
    # It is still there, on another line; or the line is whole from its first snapshot, which has the number
    # 1, and never had it. Else it may have been expired.
    return noted in snapshots or oldest is None or (oldest.sequence_number or 0) <= 1
