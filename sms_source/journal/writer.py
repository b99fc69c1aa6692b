"""Writes what a drain pulls: an intent before each request, then its outcome."""

import itertools
from dataclasses import replace

from sms_source.errors import JournalError
from sms_source.journal.file_format import encode, file_name, loaded_state
from sms_source.journal.pull import Pull, now
from sms_source.journal.reader import FOLDER
from sms_source.journal.spill import Spill
from sms_source.journal.storage import Reservation, Storage
from sms_source.settings import JOURNAL_RESERVE


class JournalDrain:
    """One drain's part of the journal; its methods may be called from several threads."""

    def __init__(self, storage: Storage, spill: Spill, drain_id: str) -> None:
        self.drain_id = drain_id
        self._storage = storage
        self._spill = spill
        self._numbers = itertools.count(1)

    def intend(self, feed: str, sms_sdk_app_id: str, region: str, limit: int) -> "Intent":
        """Note that a request is about to go out, and reserve room for its answer.

        Raises:
            JournalError: the room can't be had; the request must not go out.
        """
        pull_id = f"{self.drain_id}/{next(self._numbers):06d}"
        pull = Pull(pull_id, feed, sms_sdk_app_id, region, limit, requested_at=now())
        path = f"{FOLDER}/{self.drain_id}/{file_name(pull, 'intent')}"
        try:
            reservation = self._storage.reserve(path, JOURNAL_RESERVE)
        except OSError as error:
            raise JournalError(
                f"No room could be reserved for an answer in the journal {self._storage.url} ({error}). "
                "Nothing more was pulled. Free or enlarge its disk, or see to its store, then run again."
            ) from error
        return Intent(pull, reservation, self._spill, self._storage.url)

    def add(self, pull: Pull) -> Pull:
        """Keep records that came by another way than a pull, such as a look-up; return them as they are kept.

        Raises:
            OSError: the storage refused it.
        """
        numbered = replace(pull, pull_id=f"{self.drain_id}/{next(self._numbers):06d}")
        name = file_name(numbered, loaded_state(numbered))
        self._storage.write(f"{FOLDER}/{self.drain_id}/{name}", encode(numbered))
        return numbered

    def close(self) -> None:
        """End the drain; one without a pull leaves nothing."""
        self._storage.remove_folder(f"{FOLDER}/{self.drain_id}", only_empty=True)


class Intent:
    """A pull that is about to be requested, and the file that waits for its answer."""

    def __init__(self, pull: Pull, reservation: Reservation, spill: Spill, url: str) -> None:
        self.pull = pull
        self._reservation = reservation
        self._spill = spill
        self._url = url

    def keep(self, pull: Pull) -> None:
        """Keep the answer, or that the outcome is unknown; only then may anything else use it.

        Raises:
            JournalError: the journal refused it; the spill has it instead.
        """
        name = file_name(pull, "in_doubt" if pull.in_doubt else "answer")
        path, content = f"{FOLDER}/{pull.drain_id}/{name}", encode(pull)
        try:
            self._reservation.fill(path, content)
        except Exception as error:  # whatever it is, the answer may be nowhere else
            self._spill.keep(path, content)
            reason = str(error) or type(error).__name__
            raise JournalError(
                f"An answer could not be written into the journal {self._url} ({reason}). Pulling has "
                "stopped, and that answer is handed on all the same. Free or enlarge the journal's disk, or "
                "see to its store, then run again."
            ) from error

    def discard(self) -> None:
        """Forget the pull: it handed nothing out.

        Raises:
            JournalError: the file can't be removed, and would be a pull in doubt.
        """
        try:
            self._reservation.discard()
        except OSError as error:
            raise JournalError(
                f"The journal {self._url} could not remove the file of a pull that handed nothing out "
                f"({error}). Pulling has stopped. See to the journal's disk, or to its store, then run again."
            ) from error
