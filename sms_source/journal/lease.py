"""A lease: the lock of a journal in an object store, which has no locks.

    lease     {"holder": "<random>", "write": <number>, "pid": …, "host": …, "since": …, "released": false}

One object says who holds the journal. It is only ever replaced on condition that it is still the version
that was read, so that of two who want it one gets it. Its holder replaces it again and again; who sees it
unchanged for `LEASE_SECONDS` takes it over. That is measured by the watcher's clock alone.

A holder that was paused for longer (stopped, suspended, cut off from the store) is told so before it loads or
archives anything: `check` asks the store.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import threading
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple, Protocol

from sms_source.errors import JournalLockedError

FILE = "lease"
LEASE_SECONDS = 15.0
"""A lease that is the same for so long is a dead holder's. A living one renews it three times as often."""


class Version(NamedTuple):
    """What an object holds, and the tag by which the store knows this version of it."""

    content: bytes
    tag: str


class Cell(Protocol):
    """One object of a store, replaced on condition.

    is_atomic: whether the store itself checks the condition. Where it does not, another's write may come in
        between: of two that write at once, the last one stays.
    """

    is_atomic: bool

    def read(self) -> Version | None:
        """Return what is there; None when nothing is."""

    def replace(self, content: bytes, tag: str | None) -> str:
        """Replace the version with this tag, or, with None, nothing; return the tag of the new one.

        Raises:
            FileExistsError: another version is there.
        """


class Lease:
    """A lease on a journal: taken once, renewed by a thread, given back.

    Args:
        cell: the object.
        url: of the journal, for messages.
    """

    def __init__(self, cell: Cell, url: str) -> None:
        self._cell = cell
        self._url = url
        self._holder = secrets.token_hex(8)
        self._since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._writes = 0
        self._tag: str | None = None
        self._valid_from = -math.inf
        self._is_lost = False
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._keep, name="journal-lease", daemon=True)

    def take(self, wait_seconds: float) -> None:
        """Take the lease when it is free, given back or a dead holder's.

        Args:
            wait_seconds: to wait for a living holder to end; to tell a dead one takes `LEASE_SECONDS`.

        Raises:
            JournalLockedError: another holder renews it.
            OSError: the store fails.
        """
        begun = seen_at = _now()
        seen: Version | None = None
        is_alive = False
        while True:
            asked = _now()
            found = self._cell.read()
            is_dead = found == seen and asked - seen_at >= LEASE_SECONDS
            if found is None or is_dead or _read(found)["released"]:
                if self._write(found.tag if found else None) and self._is_confirmed():
                    break
            elif found != seen:
                is_alive = seen is not None
                seen, seen_at = found, _now()
            if is_alive and seen is not None and asked - begun >= wait_seconds:
                raise JournalLockedError(
                    f"The journal {self._url} is in use by {_describe(seen)}. Records are handed out once, "
                    "so two must not pull at the same time: wait until the other run has ended, or stop it."
                )
            time.sleep(LEASE_SECONDS / 15)
        self._renewal.start()

    def give_back(self) -> None:
        """Give the lease back. One that could not be is a dead holder's to whoever wants it next."""
        self._released.set()
        self._renewal.join()
        with contextlib.suppress(OSError), self._lock:
            if not self._is_lost:
                self._write(self._tag, released=True)

    def check(self) -> None:
        """Prove that the lease is held, by renewing it.

        Raises:
            JournalLockedError: another has it, or may have it by now.
        """
        with contextlib.suppress(
            OSError
        ):  # the store fails: the clock tells whether the lease can be another's
            self._renew()
        self.check_clock()

    def check_clock(self) -> None:
        """Prove that the lease is held, by the clock alone, which asks nobody. Raises as `check`."""
        if self._is_lost or _now() - self._valid_from >= LEASE_SECONDS:
            raise JournalLockedError(
                f"This process was paused, or cut off from the journal {self._url}, for more than "
                f"{LEASE_SECONDS:g} seconds, so another one may have taken it. Nothing more is pulled or "
                "loaded here: run again."
            )

    def _keep(self) -> None:
        while not (self._is_lost or self._released.wait(LEASE_SECONDS / 3)):
            with contextlib.suppress(OSError):  # the store fails; who goes on by the clock is told in time
                self._renew()

    def _renew(self) -> None:
        with self._lock:
            self._is_lost = self._is_lost or not self._write(self._tag)

    def _write(self, tag: str | None, *, released: bool = False) -> bool:
        """Replace the version with this tag; return whether the lease is this holder's now."""
        self._writes += 1
        content = {
            "holder": self._holder,
            "write": self._writes,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": self._since,
            "released": released,
        }
        begun = _now()
        try:
            self._tag = self._cell.replace(json.dumps(content).encode(), tag)
        except FileExistsError:
            # A write whose answer was lost did replace it: this one, whose repetition failed then, or an
            # earlier one, since when a watcher may have seen it unchanged.
            found = self._cell.read()
            if found is None or _read(found)["holder"] != self._holder:
                return False
            if found.tag == tag:
                raise  # refused for now: another write of it is under way
            if _read(found)["write"] != self._writes:
                return self._write(found.tag, released=released)
            self._tag = found.tag
        self._valid_from = begun
        return True

    def _is_confirmed(self) -> bool:
        """Return whether the lease that was just taken stays, where another's write may replace it."""
        if self._cell.is_atomic:
            return True
        time.sleep(LEASE_SECONDS / 15)
        return self._write(self._tag)


def _read(version: Version) -> dict[str, Any]:
    """Return what a lease says; what is none is an unknown holder's."""
    try:
        found = json.loads(version.content)
    except ValueError:
        found = None
    return {"holder": None, "released": False, **(found if isinstance(found, dict) else {})}


def _describe(version: Version) -> str:
    said = _read(version)
    if not {"pid", "host", "since"} <= said.keys():
        return "another process"
    return f"process {said['pid']} on {said['host']}, since {said['since']}"


def _now() -> float:
    """Return seconds that go on while the machine is suspended, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
