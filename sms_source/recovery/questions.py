"""Whom to ask about, and between which moments."""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import NamedTuple

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS, Feed
from sms_source.recovery.numbers import is_number
from sms_source.recovery.warehouse import REACH, Doubt

ON_ITS_WAY_SECONDS = 10
"""That a look-up may take until it is asked, in which its beginning grows older."""
CLOCK_SECONDS = 300
"""By which this machine's clock may differ from Tencent Cloud's: beyond, it refuses the signature."""


class Question(NamedTuple):
    """Whose records to ask for: of one number, between two moments in Unix seconds."""

    feed: Feed
    sms_sdk_app_id: str
    phone_number: str
    begin: int
    end: int


def questions_about(
    doubts: Iterable[Doubt], people: Mapping[str, Sequence[str]], since: int, drained_at: float
) -> Iterator[tuple[Question, float]]:
    """Yield a question for each person and queue with doubts, and the moment of the queue's newest doubt.

    Args:
        doubts: to ask about.
        people: the numbers to ask about, by feed.
        since: the beginning, in Unix seconds; 0 for as far back as can be.
        drained_at: when the drain of the queues began: what came later may still be in them.
    """
    newest: dict[tuple[str, str], float] = defaultdict(float)
    for doubt in doubts:
        queue = (doubt.feed, doubt.sms_sdk_app_id)
        newest[queue] = max(newest[queue], doubt.requested_at)
    for (feed, app_id), newest_doubt in newest.items():
        moment = math.ceil(newest_doubt)
        # A record's time is by Tencent Cloud's clock. The window's end may not belong to it.
        end = max(moment, min(moment + CLOCK_SECONDS, math.ceil(drained_at))) + 1
        for number in people[feed]:
            yield Question(FEEDS[feed], app_id, number, since, end), newest_doubt


def people_of(feed: str, numbers: Sequence[str] | None, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the numbers to ask about, those first that are likely to have an answer.

    Args:
        feed: whose records are asked for.
        numbers: that were given; None for those that are known.
        known: the numbers in the tables, by feed.
    """
    if numbers is None:
        return [number for number in dict.fromkeys(chain(known[feed], *known.values())) if is_number(number)]
    likely = set(known[feed])
    return sorted(numbers, key=lambda number: number not in likely)


def within_reach(question: Question, margin: int, kept_days: float | None) -> Question:
    """Return the question with a beginning that look-ups reach, and behind which nothing was deleted.

    Args:
        question: to ask.
        margin: seconds from now for which its beginning is to be within reach.
        kept_days: for which the tables keep rows; None if they keep all. What they deleted is not lost. A
            row's age is by this machine's clock, its record's time by another one.
    """
    now = time.time()
    oldest = int(now - REACH.total_seconds()) + margin
    if kept_days is not None:
        oldest = max(oldest, int(now - max(kept_days * 86_400 - CLOCK_SECONDS, 0)))
    begin = max(question.begin, oldest)
    return question._replace(begin=begin, end=max(question.end, begin))


def checked_since(since: datetime | None) -> datetime | None:
    """Return a moment with its time zone, UTC by default.

    Raises:
        ConfigurationError: it is not of the last 7 days.
    """
    if since is None:
        return None
    moment = since if since.tzinfo else since.replace(tzinfo=timezone.utc)
    age = datetime.now(timezone.utc) - moment
    if not timedelta(0) <= age <= REACH:
        raise ConfigurationError(
            f"since is {moment.isoformat()}; expected a moment of the last 7 days: look-ups go no further."
        )
    return moment
