"""A DuckDB file that stays open from one connection of dlt's to the next.

dlt opens the file and closes it again for each of its steps, and each time DuckDB begins anew: six times a
package, a fifth of the CPU of a small one (measured). What is open already, it shares within the process.
Nobody else can read the file meanwhile, or load into it when this process is paused. So it is not open while
the API or the journal is waited for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any


class OpenDatabase:
    """Keeps a DuckDB file open.

    Args:
        credentials: dlt's, resolved, of the file; None for any other destination, where this does nothing.
    """

    def __init__(self, credentials: Any | None) -> None:
        self._pool: Any = credentials and credentials.conn_pool
        self._connection: Any = None

    def __enter__(self) -> OpenDatabase:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the file, unless it is open. Where that fails, whoever opens it next tells why."""
        if self._pool and self._connection is None:
            with suppress(Exception):
                self._connection = self._pool.borrow_conn()

    def close(self) -> None:
        """Close the file, so that others can read it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.return_conn(connection)
