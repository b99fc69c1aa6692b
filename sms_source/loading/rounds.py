"""One round of loading: package by package, what waits in the journal, then what the queues hand out.

    journal ──▶ extraction ──▶ dlt ──▶ destination
       ▲                                   │
       └────────────── commit ◀────────────┘

While dlt loads one package, the next drain is pulling.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sms_source.configuration import SmsSourceConfiguration
from sms_source.feeds import FEEDS
from sms_source.journal.archive import is_bundle
from sms_source.journal.identity import Owner
from sms_source.journal.journal import Journal
from sms_source.journal.pull import now
from sms_source.loading import commits
from sms_source.loading.made_from import made_from
from sms_source.loading.summary import Summary
from sms_source.loading.target import file_state
from sms_source.pulling.concurrency import Concurrency
from sms_source.pulling.drain import Drain
from sms_source.pulling.pull_once import Queue
from sms_source.pulling.report import DrainReport

if TYPE_CHECKING:
    from sms_source.loading.engine import Engine


RETENTION_INTERVAL = timedelta(days=1)


class Round:
    """One round, in a journal that is entered and claimed.

    Args:
        journal, owner: that it is claimed for.
        options: of the source, resolved.
        engine: makes the dlt pipeline when it is called first; a quiet round does without.
        concurrency: how many pulls are worth having in flight.
        summary: is filled.
        stop: ends pulling when it is set.
        longest: seconds after which no other drain begins.
        being_written: drains into which something else writes: another round loads them.
    """

    def __init__(
        self,
        journal: Journal,
        owner: Owner,
        options: SmsSourceConfiguration,
        engine: Callable[[], Engine],
        concurrency: Concurrency,
        summary: Summary,
        stop: threading.Event,
        longest: float = math.inf,
        being_written: Collection[str] = (),
    ) -> None:
        self._being_written = being_written
        # Who only receives has tables for all that may be pushed.
        self._feeds = options.pull_feeds or list(FEEDS)
        self._journal = journal
        self._owner = owner
        self._options = options
        self._engine = engine
        self._concurrency = concurrency
        self._summary = summary
        self._stop = stop
        self._ends_at = time.monotonic() + longest
        self._retention = timedelta(days=options.journal_retention_days)
        self._drains: list[Drain] = []

    @property
    def in_flight(self) -> int:
        """Pulls without an answer yet: what ending the process at once would lose."""
        return self._concurrency.in_flight

    def drain(self) -> None:
        """Load what is not known to be loaded, then empty the queues and load what they hand out."""
        try:
            drain = self._new_drain()
            is_known = self._journal.identity.database == file_state(self._owner.location)
            wanted = made_from(self._feeds, self._options)
            is_changed = self._journal.identity.made_from != wanted
            is_quiet = is_known and not is_changed and not self._unloaded() and not drain.begin()
            if is_quiet:
                tidied_at = self._journal.identity.tidied_at
                if tidied_at and _is_due(tidied_at):
                    self._journal.tidy(self._retention)
                if not self._is_retention_due():
                    return
            if self._journal.identity.last_load is None:
                self._engine().refuse_what_is_in_the_way(self._owner.location)
            self._commit_loaded()
            self._give_again_what_is_missing()
            self._load_items(self._unloaded())
            while self._drains:
                drain = self._drains[0]
                # Without a record, it makes the tables that are not there.
                if is_changed or drain.begin():
                    self._load([], drain)
                    is_changed = False
                drain.close()
                self._drains.remove(drain)
            self._finish()
            self._journal.note(made_from=wanted)
        finally:
            for drain in self._drains:
                drain.close()

    def replay(self) -> None:
        """Load the whole archive again. What it gives again counts as not loaded until it is."""
        self._commit_loaded()
        self._summary.count_before(self._rows())
        self._journal.give_again()
        self._journal.note(tables=commits.table_versions(self._engine().pipeline, None))
        self._engine().have_missing_tables_made()
        self._load_items(self._unloaded())
        self._summary.count_after(self._rows())
        self._finish()

    def copy(self) -> None:
        """Load another job's archive here. It stays that job's: nothing in it changes."""
        self._summary.count_before(self._rows())
        self._engine().have_missing_tables_made()
        items = self._journal.everything()
        while items:
            items = items[len(self._extract_and_load(items, None)[0]) :]
        self._summary.count_after(self._rows())
        self._delete_old()  # and notes nothing: that is in the other job's journal

    def _commit_loaded(self) -> None:
        """Archive what an earlier process loaded, but was killed before it archived it."""
        if items := self._unloaded():
            if self._journal.finish_commits(items):
                items = self._unloaded()
            engine = self._engine()
            state = engine.restore()
            if loaded := commits.loaded_items(self._journal, items, state, engine.pipeline):
                self._journal.commit(loaded, state["load_id"], self._retention)

    def _give_again_what_is_missing(self) -> None:
        """Have what a warehouse that went back in time lacks count as not loaded."""
        if missing := commits.give_again_what_is_missing(self._journal, self._engine().pipeline):
            self._summary.count_before(self._rows())
            self._summary.missing_packages = len(missing)
            self._engine().have_missing_tables_made()

    def _load_items(self, items: list[str]) -> None:
        # What is given again comes first, and in packages of its own: a doubt in it is older than an answer
        # that came late into the pull's drain, and the answer's row is to stay.
        given_again = [item for item in items if is_bundle(item)]
        for some in (given_again, [item for item in items if not is_bundle(item)]):
            while some:
                some = some[len(self._load(some, None)) :]  # noqa: PLW2901
        if self._summary.missing_packages:
            self._summary.count_after(self._rows())

    def _load(self, items: list[str], drain: Drain | None) -> list[str]:
        """Load one package, and archive what it brought; return that."""
        included, load_id, report = self._extract_and_load(items, drain)
        if load_id is None:
            self._journal.discard_empty(included)
        else:
            self._journal.commit(included, load_id, self._retention)
            self._note_newest(report)
        return included

    def _extract_and_load(
        self, items: list[str], drain: Drain | None
    ) -> tuple[list[str], str | None, DrainReport]:
        from sms_source.loading.extraction import Extraction  # a quiet round does without Arrow

        report = DrainReport()
        engine = self._engine()
        extraction = Extraction(
            self._journal,
            items,
            drain,
            feeds=self._feeds,
            destination=engine.destination,
            pseudonym_key=self._options.pseudonym_key,
            report=report,
        )
        self._summary.reports.append(report)
        load_id = engine.load(extraction)
        return extraction.included, load_id, report

    def _unloaded(self) -> list[str]:
        """Return what the journal has as not loaded, but for what is being pulled or received now."""
        own = {*self._being_written, *(drain.drain_id for drain in self._drains)}
        return [item for item in self._journal.unloaded() if item not in own]

    def _rows(self) -> dict[str, int]:
        return self._engine().rows(self._feeds)

    def _new_drain(self, backlog: Collection[Queue] = ()) -> Drain:
        drain = Drain(
            self._options,
            self._journal.open_drain(),
            stop=self._stop,
            on_full=self._go_on,
            concurrency=self._concurrency,
            backlog=backlog,
        )
        self._drains.append(drain)
        self._summary.reports.append(drain.report)
        return drain

    def _go_on(self) -> None:
        """Have pulling not wait until the package that is full now is loaded."""
        if time.monotonic() < self._ends_at:
            self._new_drain(self._drains[-1].backlog).start()

    def _note_newest(self, report: DrainReport) -> None:
        newest = report.newest.isoformat() if report.newest else ""
        if newest > (self._journal.identity.newest_reply or ""):
            self._journal.note(newest_reply=newest)

    def _finish(self) -> None:
        """See to what is too old and to the views, and note the tables as this round leaves them."""
        tables = commits.table_versions(self._engine().pipeline, self._journal.identity.tables)
        if tables is None:
            # One went back during the round. What would tell the next round so stays as it is.
            tables = self._journal.identity.tables
        elif self._delete_old():
            self._journal.note(retention_at=now().isoformat())
        if self._options.create_views:
            self._engine().create_views(self._options.opt_out_words, self._options.views_time_zone)
        self._journal.note(database=file_state(self._owner.location), tables=tables)

    def _is_retention_due(self) -> bool:
        """Return whether a quiet round is to look for rows that are too old, too: once a day."""
        has_limit = self._options.tables_retention_days is not None
        return has_limit and _is_due(self._journal.identity.retention_at)

    def _delete_old(self) -> bool:
        """Delete the rows that have been in the tables for longer than they may; whether there is a limit."""
        days = self._options.tables_retention_days
        if days is not None:
            self._engine().delete_old(now() - timedelta(days=days))
        return days is not None


def _is_due(last: str | None) -> bool:
    """Return whether what is done once a day was done longer ago, or never."""
    return last is None or now() - datetime.fromisoformat(last) >= RETENTION_INTERVAL
