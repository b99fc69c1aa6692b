"""One process at a time loads what a journal holds, also when its holder was paused and has a successor.

A lease on an object store ends while its holder is paused. Whoever goes on in the middle of a load would
merge beside its successor, with the same staging tables and the same keys.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dlt

from sms_source.errors import JournalLockedError
from sms_source.loading.target import kind_of

WAIT_SECONDS = 60.0
"""For the load of a process that had the journal before."""

_KEY = 0x534D53 << 32
"""Of the locks of this package, beside the journal's id."""
_LASTING = """
set local idle_in_transaction_session_timeout = 0;
set local tcp_keepalives_idle = 20;
set local tcp_keepalives_interval = 5;
set local tcp_keepalives_count = 3
"""
"""The lock's transaction waits for as long as a load takes; that of a machine that is gone ends soon."""


@contextmanager
def alone(pipeline: dlt.Pipeline, journal_id: str) -> Iterator[None]:
    """Hold a lock of the destination's for the load of a package, where it has any: PostgreSQL.

    Elsewhere it does nothing. A DuckDB file has a lock of its own.

    Args:
        pipeline: that is about to load.
        journal_id: eight hexadecimal digits.

    Raises:
        JournalLockedError: another process is still loading what this journal holds.
    """
    if pipeline.destination is None or kind_of(pipeline.destination) != "postgres":
        yield
        return
    with pipeline.destination_client() as client:  # closed, it gives the lock back
        sql: Any = client.sql_client  # type: ignore[attr-defined] # PostgreSQL's has one
        # The lock is a transaction's and not a session's, which a pool of connections would keep.
        sql.native_connection.autocommit = False
        sql.execute_sql(_LASTING)
        _take(sql, _KEY | int(journal_id, 16))
        yield


def _take(sql: Any, key: int) -> None:
    ends_at = time.monotonic() + WAIT_SECONDS
    while not sql.execute_sql("select pg_try_advisory_xact_lock(%s)", key)[0][0]:
        if time.monotonic() > ends_at:
            raise JournalLockedError(
                "Another process, which had the journal before, is still loading what it holds. Wait until "
                "that process has ended, or stop it, then run again."
            )
        time.sleep(0.2)
