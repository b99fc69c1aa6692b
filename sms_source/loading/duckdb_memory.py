"""How much memory DuckDB may take while it loads."""

from __future__ import annotations

from typing import Any

from dlt.common.destination import AnyDestination

from sms_source.loading.target import kind_of, resolved

MEGABYTES = 144
"""Enough for any package; a checkpoint of long texts failed with 112 (measured)."""
THREADS = 1
"""A package takes no longer than with two (measured), and half the memory."""


class DuckDbMemory:
    """A limit for the connections that are opened within it; what does not fit goes to a disk.

    By itself DuckDB takes up to four fifths of the machine's memory: 5 GB, when it wrote 300,000 long texts
    anew (measured). Settings of the user's configuration win. Other destinations have no limit.

    Args:
        target: the destination, whose credentials are changed.
        pipeline_name, dataset_name: of dlt.

    credentials: resolved, of a DuckDB file; None for any other destination, and a connection of the user's.
    """

    def __init__(self, target: AnyDestination, pipeline_name: str, dataset_name: str) -> None:
        self.credentials: Any | None = None
        self._megabytes = MEGABYTES
        self._settings: dict[str, Any] | None = None
        if kind_of(target) != "duckdb":
            return
        credentials = resolved(target, pipeline_name, dataset_name).credentials
        if credentials.external_conn():
            return
        settings = {"threads": THREADS, **(credentials.global_config or {})}
        credentials.global_config = settings
        target.config_params["credentials"] = credentials
        self.credentials = credentials
        if "memory_limit" not in settings:
            self._settings = settings

    def __enter__(self) -> DuckDbMemory:
        if self._settings is not None:
            self._settings["memory_limit"] = f"{self._megabytes}MB"
        return self

    def __exit__(self, *_: object) -> None:
        if self._settings is not None:
            del self._settings["memory_limit"]

    def double(self) -> bool:
        """Have what is opened next take twice as much; whether it may."""
        if self._settings is None:
            return False
        self._megabytes *= 2
        self._settings["memory_limit"] = f"{self._megabytes}MB"
        return True
