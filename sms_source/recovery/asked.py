"""What was asked already: `recovery.json` in the journal, so that a recovery that was killed goes on.

A record may show in look-ups some time after it left the queue, so each recovery asks again about everybody,
until a day after the newest doubt. What a recovery has asked before it ended early counts at once.
"""

import hashlib
import json
import logging
import time
from typing import Any

from sms_source.journal.storage import Storage
from sms_source.recovery.questions import Question

logger = logging.getLogger(__name__)

FILE = "recovery.json"
MAX_DELAY_SECONDS = 86_400
"""A record that look-ups do not show so long after it left the queue is not expected any more."""
KEPT_SECONDS = 8 * 86_400
"""Look-ups go back seven days: older notes are of no use."""


def now() -> float:
    """Return the Unix time, to the millisecond."""
    return round(time.time(), 3)


class Asked:
    """Who was asked about, and when.

    Args:
        storage: of the journal.
        journal_id: numbers stand in the file as digests with it.
        since: the moment, in Unix seconds, before which nothing is asked for; 0 for as far back as can be.
    """

    def __init__(self, storage: Storage, journal_id: str, since: int = 0) -> None:
        self._storage = storage
        self._key = journal_id.encode()
        self._since = since
        found = self._read()
        self._times: dict[str, dict[str, float]] = found.get("asked", {})
        begun = found.get("began_at") or 0
        goes_on = now() - begun < MAX_DELAY_SECONDS and since >= found.get("since", 0)
        self.began_at: float = found["began_at"] if goes_on else now()
        self.is_resumed = goes_on

    def is_done(self, question: Question, newest_doubt: float) -> bool:
        """Return whether a person need not be asked about again.

        Args:
            question: about whom, of which queue.
            newest_doubt: of that queue, in Unix seconds.
        """
        asked_at = self._of(question).get(self._digest(question), 0)
        is_of_this = asked_at >= max(self.began_at, newest_doubt)
        return is_of_this or (not self._since and asked_at >= newest_doubt + MAX_DELAY_SECONDS)

    def note(self, question: Question, asked_at: float) -> None:
        """Note that a person was asked about, beginning at a moment in Unix seconds."""
        self._of(question)[self._digest(question)] = asked_at

    def save(self, *, is_finished: bool = False) -> None:
        """Write the file; once all was asked, the next recovery is a new one."""
        oldest = now() - KEPT_SECONDS
        newest = self.began_at if is_finished and self._since else None
        asked = {
            queue: {
                person: at
                for person, at in people.items()
                if at >= oldest and (newest is None or at < newest)
            }
            for queue, people in self._times.items()
        }
        content = {
            "began_at": None if is_finished else self.began_at,
            "since": self._since,
            "asked": asked,
        }
        self._storage.write(FILE, json.dumps(content).encode())

    def _of(self, question: Question) -> dict[str, float]:
        return self._times.setdefault(f"{question.feed.name}/{question.sms_sdk_app_id}", {})

    def _digest(self, question: Question) -> str:
        return hashlib.blake2b(question.phone_number.encode(), digest_size=8, key=self._key).hexdigest()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._storage.read(FILE))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            logger.warning("%s/%s can't be read (%s): all is asked anew.", self._storage.url, FILE, error)
            return {}
        return found if isinstance(found, dict) else {}
