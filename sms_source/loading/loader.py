"""load(): everything that waits, into one destination, each record once."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from dlt.common.configuration import resolve_configuration
from dlt.common.destination import AnyDestination

from sms_source.configuration import SECTIONS, SmsSourceConfiguration, check_names
from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS
from sms_source.journal.journal import Journal
from sms_source.journal.opening import open_journal
from sms_source.journal.reader import FOLDER as DRAINS
from sms_source.loading import last_run
from sms_source.loading.keeping import as_found
from sms_source.loading.rounds import Round
from sms_source.loading.summary import Summary
from sms_source.loading.target import owner_of, target_of
from sms_source.loading.whereabouts import whereabouts
from sms_source.loading.working_directory import WorkingDirectory
from sms_source.pulling.concurrency import Concurrency

if TYPE_CHECKING:
    from sms_source.loading.engine import Engine

PIPELINE = "sms_replies"
DATASET = "sms"

HELD_WAIT_SECONDS = 120.0
"""To wait for the journal between rounds: one of --follow that has much to load goes on for a minute."""


def load(
    destination: str | AnyDestination = "duckdb",
    dataset_name: str = DATASET,
    pipeline_name: str = PIPELINE,
    *,
    replay: bool = False,
    stop: threading.Event | None = None,
    progress: Any = None,
    **options: Any,
) -> Summary:
    """Empty the queues and load what they hold, each record exactly once.

    First comes what earlier runs left, whatever ended them, and what the destination has lost since: all that
    the journal has and the destination has not.

    Args:
        destination: a destination of dlt, or its name.
        dataset_name: the schema of the tables.
        pipeline_name: of the dlt pipeline that this makes.
        replay: load the journal's whole archive again instead of pulling.
        stop: ends pulling when it is set; what was pulled is still loaded.
        progress: of dlt: the name of a display, such as `"log"`, or a collector.
        options: of `sms_source`; dlt's configuration has the others.

    Returns:
        What was done. Its `raise_for_failure` raises what ended the drain of a queue.

    Raises:
        ConfigurationError: the configuration, the destination or the journal can't be right.
        JournalLockedError: another process is using the journal.
        PipelineStepFailed: a step of dlt's failed. What was pulled waits in the journal for the next run;
            the error's `whereabouts` says so, and where.
    """
    with Loader(
        resolve_options(options), destination, dataset_name, pipeline_name, progress=progress
    ) as loader:
        return loader.round(replay=replay, stop=stop)


def resolve_options(given: dict[str, Any], *, check_configured: bool = True) -> SmsSourceConfiguration:
    """Return the options that are given, and for all others those of dlt's configuration.

    Args:
        given: by name.
        check_configured: whether to look for names in the configuration that are no option.

    Raises:
        ConfigurationError: a name is no option, or a value can't be right.
    """
    if check_configured:
        check_names(given)
    return resolve_configuration(SmsSourceConfiguration(), sections=SECTIONS, explicit_value=given)


class Loader:
    """Rounds of loading into one destination, one after the other; for one thread.

    The dlt pipeline is made when there is something to load first, and stays for the rounds that follow.

    Args:
        options: of the source, resolved.
        destination, dataset_name, pipeline_name, progress: as for `load`.
    """

    def __init__(
        self,
        options: SmsSourceConfiguration,
        destination: str | AnyDestination = "duckdb",
        dataset_name: str = DATASET,
        pipeline_name: str = PIPELINE,
        *,
        progress: Any = None,
    ) -> None:
        self._options = options
        self._destination = destination
        self._dataset = dataset_name
        self._pipeline = pipeline_name
        self._progress = progress
        self._concurrency = Concurrency(
            options.pull_workers, options.pulls_per_second * len(options.pull_feeds)
        )
        self._round: Round | None = None
        self._engine: Engine | None = None
        self._stack = ExitStack()
        self._kept: Journal | None = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the working directory back."""
        self._stack.close()
        self._engine = None

    @property
    def options(self) -> SmsSourceConfiguration:
        """Of the source, resolved."""
        return self._options

    @property
    def at_risk(self) -> int:
        """The largest number of records that would be lost if the process ended now."""
        return self._round.in_flight * self._options.pull_limit if self._round else 0

    def round(
        self,
        *,
        replay: bool = False,
        stop: threading.Event | None = None,
        longest: float = math.inf,
        being_written: Collection[str] = (),
    ) -> Summary:
        """Do what `load` does, but begin no other drain after `longest` seconds, and leave some drains alone.

        Raises:
            ConfigurationError: also when there is no queue to drain, and nothing else that brings records.
        """
        if not (self._options.pull_feeds or replay or self._kept):
            raise ConfigurationError(
                f"pull_feeds is empty, so no queue would be drained: expected a list of "
                f"{', '.join(map(repr, FEEDS))}, or a job that receives: --follow 5 --receive HOST:PORT."
            )
        last_run.check(self._pipeline, self._options)
        with as_found(), self._journal() as journal:
            target = target_of(self._destination, journal.identity.journal_id)
            owner = owner_of(target, self._pipeline, self._dataset)
            summary = Summary(owner)
            is_own = not replay or journal.identity.owner in (None, owner)
            try:
                if is_own:
                    journal.claim(owner)
                    last_run.note(self._pipeline, self._options)
                self._round = Round(
                    journal,
                    owner,
                    self._options,
                    lambda: self._engine or self._make_engine(target, journal),
                    self._concurrency,
                    summary,
                    stop or threading.Event(),
                    longest,
                    being_written,
                )
                (self._round.drain if not replay else self._round.replay if is_own else self._round.copy)()
            except BaseException as error:
                self.close()  # what dlt has begun is of no use to the next round
                error.whereabouts = whereabouts(journal)  # type: ignore[attr-defined]
                raise
            summary.newest_ever = journal.identity.newest_reply
        return summary

    @contextmanager
    def held(self) -> Iterator[tuple[Journal, Engine]]:
        """Hold the journal, claimed, and the dlt pipeline, for something else than a round."""
        journal = open_journal(self._options, wait_seconds=HELD_WAIT_SECONDS)
        with as_found(), journal:
            target = target_of(self._destination, journal.identity.journal_id)
            journal.claim(owner_of(target, self._pipeline, self._dataset))
            yield journal, self._engine or self._make_engine(target, journal)

    @contextmanager
    def keeping(self) -> Iterator[Journal]:
        """Hold the journal, claimed, over all rounds until the end: something else writes into it, too.

        Raises:
            ConfigurationError: as `round`.
            JournalLockedError: another process is using the journal.
        """
        last_run.check(self._pipeline, self._options)
        with open_journal(self._options) as journal:
            with as_found():
                target = target_of(self._destination, journal.identity.journal_id)
                journal.claim(owner_of(target, self._pipeline, self._dataset))
            self._kept = journal
            try:
                yield journal
            finally:
                self._kept = None

    def waiting(self, being_written: Collection[str] = ()) -> int:
        """Return how many drains are in the journal and not known to be loaded, but for some."""
        journal = self._kept or open_journal(self._options)
        return len(set(journal.storage.names(DRAINS)).difference(being_written))

    def _journal(self) -> AbstractContextManager[Journal]:
        """Return the journal to be entered: by itself, or the one that is held already."""
        return open_journal(self._options) if self._kept is None else nullcontext(self._kept)

    def _make_engine(self, target: AnyDestination, journal: Journal) -> Engine:
        from sms_source.loading.engine import Engine  # a quiet round does without Arrow

        is_private = bool(self._options.journal_encryption_key)
        directory = WorkingDirectory(self._pipeline, journal.identity.journal_id, in_memory=is_private)
        self._stack.enter_context(directory)
        allowed = self._options.allow_duplicates_in
        self._engine = Engine(target, self._dataset, self._pipeline, self._progress, directory, allowed)
        return self._engine
