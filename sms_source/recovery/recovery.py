"""The recovery itself: whom to ask, what is missing of what was found, and into the journal with it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

from dlt.common.destination import AnyDestination

from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import ConfigurationError, RefusedError
from sms_source.feeds import FEEDS
from sms_source.loading.loader import DATASET, PIPELINE, Loader, resolve_options
from sms_source.loading.records import misfit
from sms_source.recovery.asked import Asked, now
from sms_source.recovery.asking import Asker, Found
from sms_source.recovery.missing import missing
from sms_source.recovery.numbers import check_numbers
from sms_source.recovery.questions import (
    Question,
    checked_since,
    people_of,
    questions_about,
)
from sms_source.recovery.summary import Crowded, RecoverySummary
from sms_source.recovery.warehouse import REACH, Doubt, Warehouse

logger = logging.getLogger(__name__)

TOGETHER = 100
"""People who are asked about before what was found is kept: what a kill costs is to ask about them again."""

Progress = Callable[[int, int], None]
"""Is told how many people were asked about, and of how many."""


def recover(
    destination: str | AnyDestination = "duckdb",
    dataset_name: str = DATASET,
    pipeline_name: str = PIPELINE,
    *,
    numbers: Iterable[str] | None = None,
    since: datetime | None = None,
    feeds: Sequence[str] | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RecoverySummary:
    """Ask by phone number for what pulls in doubt lost, and load what the tables do not have.

    The queues are drained first, as `load` does. Killed at any point, it goes on where it was when it is
    called again; called again once it has ended, it asks again, as a record may show late, and adds nothing
    twice.

    Args:
        destination: as for `load`.
        dataset_name: as for `load`.
        pipeline_name: as for `load`.
        numbers: phone numbers in E.164; by default those that the tables have of the last seven days.
        since: asks for nothing before this moment; by default seven days back, which is as far as can be.
        feeds: to recover, such as `["replies"]`; by default all.
        stop: ends it when it is set; what was found is still loaded.
        progress: is called with how many people were asked about, and of how many.
        options: of `sms_source`; dlt's configuration has the others.

    Returns:
        What was done. Its `raise_for_failure` raises what ended it early.

    Raises:
        ConfigurationError: the configuration, a number or `since` can't be right.
        Exception: what `load` raises; draining has to work before anything is asked.
    """
    given = None if numbers is None else check_numbers((number, "numbers") for number in numbers)
    with Loader(resolve_options(options), destination, dataset_name, pipeline_name) as loader:
        recovery = Recovery(
            loader, numbers=given, since=since, feeds=feeds, stop=stop or threading.Event(), progress=progress
        )
        return recovery.run()


class Recovery:
    """One recovery.

    The journal and the warehouse are held only for moments, so that another process may go on loading.

    Args:
        loader: of the job.
        numbers: checked; None for those that the warehouse knows.
        since, feeds, stop, progress: as for `recover`.

    Raises:
        ConfigurationError: `since` or a feed can't be right.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        numbers: Sequence[str] | None,
        since: datetime | None,
        feeds: Sequence[str] | None,
        stop: threading.Event,
        progress: Progress | None = None,
    ) -> None:
        self._loader = loader
        self._options: SmsSourceConfiguration = loader.options
        self._numbers = numbers
        self._feeds = list(feeds or FEEDS)
        self._stop = stop
        self._progress = progress or (lambda _asked, _all: None)
        if unknown := set(self._feeds) - FEEDS.keys():
            raise ConfigurationError(f"{unknown.pop()!r} is no feed; expected some of {', '.join(FEEDS)}.")
        self._since = checked_since(since)

    def run(self) -> RecoverySummary:
        """Do it all, and return what was done."""
        began = time.monotonic()
        drained_at = time.time()
        summary = RecoverySummary(self._loader.round(stop=self._stop))
        summary.drained.raise_for_failure()
        asker = Asker(self._options, self._stop)
        with closing(asker):
            questions, asked = self._plan(summary, drained_at)
            if questions and not self._stop.is_set():
                self._tell(questions)
                self._ask_all(asker, questions, asked, summary)
            elif (
                not questions and asked.is_resumed
            ):  # the earlier one was killed when it had asked about everybody
                with self._loader.held():
                    asked.save(is_finished=True)
        summary.look_ups, summary.rate_limited = asker.requests, asker.rate_limited
        summary.is_stopped = self._stop.is_set()
        if summary.recovered or summary.misfits:
            self._loader.round(stop=self._stop).raise_for_failure()
        summary.seconds = time.monotonic() - began
        return summary

    def _plan(self, summary: RecoverySummary, drained_at: float) -> tuple[list[Question], Asked]:
        """Return whom to ask about, and who was asked about before."""
        oldest = datetime.now(timezone.utc) - REACH
        with self._loader.held() as (journal, engine):
            warehouse = Warehouse(engine)
            doubts = warehouse.doubts(self._feeds, max(oldest, self._since or oldest))
            known = warehouse.numbers(oldest)
            since = int(self._since.timestamp()) if self._since else 0
            asked = Asked(journal.storage, journal.identity.journal_id, since)
        within = [doubt for doubt in doubts if self._is_reached(doubt)]
        summary.doubts, summary.at_risk = len(within), sum(doubt.at_risk for doubt in within)
        summary.out_of_reach = len(doubts) - len(within)
        people = {feed: people_of(feed, self._numbers, known) for feed in self._feeds}
        everybody = list(questions_about(within, people, since, drained_at))
        summary.to_ask = len(everybody)
        open_questions = [question for question, newest in everybody if not asked.is_done(question, newest)]
        summary.is_resumed = asked.is_resumed and len(open_questions) < len(everybody)
        return open_questions, asked

    def _is_reached(self, doubt: Doubt) -> bool:
        """Return whether the configuration is that of the queue of a doubt."""
        options = self._options
        return doubt.region == options.api_region and doubt.sms_sdk_app_id in options.sms_sdk_app_ids

    @staticmethod
    def _tell(questions: list[Question]) -> None:
        by_feed = Counter(question.feed for question in questions)
        seconds = max(count / feed.look_ups_per_second for feed, count in by_feed.items())
        estimate = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        logger.info("Looking up %s people: about %s.", f"{len(questions):,}", estimate)

    def _ask_all(
        self, asker: Asker, questions: list[Question], asked: Asked, summary: RecoverySummary
    ) -> None:
        """Ask about everybody, some people at a time; keep what was found before the next are asked about."""
        proved: set[str] = set()
        self._progress(0, len(questions))
        with ThreadPoolExecutor(self._options.pull_workers, "look-up") as pool:
            for start in range(0, len(questions), TOGETHER):
                some = questions[start : start + TOGETHER]
                asked_at = now()
                found = self._ask_some(pool, asker, some, proved, summary)
                summary.asked += len(found)
                is_last = start + TOGETHER >= len(questions) and len(found) == len(some)
                self._keep(found, asked, asked_at, summary, is_last=is_last)
                self._progress(start + len(found), len(questions))
                if len(found) < len(some) or summary.consumes:
                    return

    def _ask_some(
        self,
        pool: ThreadPoolExecutor,
        asker: Asker,
        questions: list[Question],
        proved: set[str],
        summary: RecoverySummary,
    ) -> list[Found]:
        """Return what was found, for all questions but those that a failure or a stop left unanswered."""
        found: list[Found] = []
        rest: list[Question] = []
        try:
            for question in questions:
                if question.feed.name in proved:
                    rest.append(question)
                elif (one := asker.find(question)) is not None:
                    found.append(one)
                    if one.copies and not one.crowded:
                        self._prove(asker, one, proved, summary)
                if summary.consumes or self._stop.is_set():
                    return found
        except Exception as error:  # noqa: BLE001 - what was found is kept first; then it is raised
            summary.failure = error
            return found
        answers = [pool.submit(asker.find, question) for question in rest]
        for answer in answers:
            try:
                if (one := answer.result()) is not None:
                    found.append(one)
            except CancelledError:
                continue
            except Exception as error:  # noqa: BLE001 - likewise
                summary.failure = summary.failure or error
                for other in answers:
                    other.cancel()
        return found

    def _prove(self, asker: Asker, first: Found, proved: set[str], summary: RecoverySummary) -> None:
        """Ask a second time, to see whether a look-up takes out what it finds."""
        try:
            second = asker.find_again(first.question)
        except RefusedError:
            return  # the first took so long that its window is out of reach by now: somebody else proves it
        if second is None:
            return
        if second.lacks(first):
            summary.consumes.append(first.question.feed.name)
        first.add(second)
        proved.add(first.question.feed.name)

    def _keep(
        self, found: list[Found], asked: Asked, asked_at: float, summary: RecoverySummary, *, is_last: bool
    ) -> None:
        """Write what is missing into the journal, and then that it was asked for."""
        with self._loader.held() as (journal, engine):
            drain = journal.open_drain()
            options = self._options
            for pull in missing(found, Warehouse(engine), options.api_region, options.pseudonym_key):
                drain.add(pull)
                fitting = sum(misfit(FEEDS[pull.feed], record) is None for record in pull.records)
                summary.recovered += Counter({pull.feed: fitting})
                summary.misfits += len(pull.records) - fitting
            for one in found:
                question = one.question
                asked.note(question, asked_at)
                summary.refused_numbers += one.is_refused
                summary.crowded += [
                    Crowded(question.feed.name, question.sms_sdk_app_id, begin) for begin in one.crowded
                ]
            asked.save(is_finished=is_last)
