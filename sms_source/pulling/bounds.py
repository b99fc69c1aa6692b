"""How much one drain may hand out, so that memory stays flat and what has come is loaded soon."""

import time
from collections.abc import Callable

from sms_source import settings


class Bounds:
    """Bounds of a drain by records, bytes and time; guarded by the drain's lock.

    While answers come back full, there is a backlog, and large packages load it cheapest. A trickle is
    loaded after a second: it must not keep the drain open, as it may never end.

    Args:
        records, size: of the answers; by default as `settings` says.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        records: int | None = None,
        size: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_records = settings.PACKAGE_RECORDS if records is None else records
        self._max_bytes = settings.PACKAGE_BYTES if size is None else size
        self._clock = clock
        self._records = self._bytes = 0
        self._first_at: float | None = None

    def add(self, records: int, size: int) -> None:
        """Note what an answer has brought: records, and bytes of its body."""
        self._records += records
        self._bytes += size
        if records and self._first_at is None:
            self._first_at = self._clock()

    def reached(self, next_records: int, *, is_backlog: bool) -> bool:
        """Return whether another pull would be too much.

        Args:
            next_records: the largest number that it and the pulls in flight can bring.
            is_backlog: whether answers come back full.
        """
        if self._first_at is None:
            return False
        longest = settings.BACKLOG_SECONDS if is_backlog else settings.TRICKLE_SECONDS
        return (
            self._records + next_records > self._max_records
            or self._bytes >= self._max_bytes
            or self._clock() - self._first_at >= longest
        )
