"""One extraction of dlt's: the rows of what is not known to be loaded, then of what the queues hand out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import dlt

from sms_source import settings
from sms_source.feeds import FEEDS
from sms_source.journal.journal import Journal
from sms_source.journal.pull import NO_RECORD, Pull
from sms_source.loading import commits
from sms_source.loading.batches import batches, count
from sms_source.loading.destinations import Destination
from sms_source.loading.pseudonyms import with_pseudonyms
from sms_source.loading.records import known_new_columns
from sms_source.loading.tables import Tables, known_columns, to_tables
from sms_source.pulling.drain import Drain
from sms_source.pulling.report import DrainReport


class Extraction:
    """What one load package is made of.

    It never raises while it holds pulled records that dlt has not committed: what ends a drain is in its
    report. Only when another process may have the journal, which loads what is there, it ends with
    `JournalLockedError` before dlt loads anything.

    Args:
        journal: entered.
        items: drains and bundles that are not known to be loaded.
        drain: empties the queues, when all items fit into the package; None to leave the queues alone.
        feeds: whose tables are to exist, with or without rows.
        destination: tells dlt what it needs, and makes tables such as it can hold.
        pseudonym_key: replaces phone numbers by pseudonyms; None to load them as they are.
        report: is filled.
        is_bounded: whether the package ends at the usual size, however many items there are.
    """

    def __init__(
        self,
        journal: Journal,
        items: Sequence[str],
        drain: Drain | None,
        *,
        feeds: Iterable[str],
        destination: Destination,
        pseudonym_key: str | None = None,
        report: DrainReport,
        is_bounded: bool = True,
    ) -> None:
        self.included: list[str] = []
        self._journal = journal
        self._items = items
        self._drain = drain
        self._feeds = list(feeds)
        self._destination = destination
        self._pseudonym_key = pseudonym_key
        self.report = report
        self._is_bounded = is_bounded
        self._pushed: set[str] = set()

    def tables(self) -> Iterator[Tables]:
        """Yield the package's rows; the state of the running extraction then names what it brings."""
        load_id = commits.current_load_id()
        schema = dlt.current.source_schema().tables
        new_columns = {
            name: known_new_columns(schema[name]["columns"], known_columns(feed))
            for name, feed in FEEDS.items()
            if name in schema
        }
        missing = [FEEDS[name] for name in self._feeds if name not in schema]
        self._destination.hint(dlt.current.source(), is_first=bool(missing), given_again=bool(self._items))
        if missing:
            yield self._destination.fit(to_tables([], missing, {}, load_id))
        for batch in batches(self._pulls()):
            feeds = {pull.feed for pull in batch}
            tables = to_tables(batch, [FEEDS[name] for name in sorted(feeds)], new_columns, load_id)
            count(self.report, batch, tables)
            if self._pseudonym_key:
                tables = with_pseudonyms(tables, self._pseudonym_key)
            if any(table.num_rows for table in tables.by_name().values()):
                yield self._destination.fit(tables)
        # Last, so that a reader who stops early leaves all of it uncommitted.
        if self.included:
            self._journal.storage.check_held()
            commits.note(dlt.current.resource_state(), self._journal, self.included, load_id)

    def _pulls(self) -> Iterator[Pull]:
        yield from self._given()
        if len(self.included) < len(self._items):
            return  # the next package begins there
        for pull in self._drain.pulls() if self._drain else ():
            if self._drain and self._drain.drain_id not in self.included:
                self.included.append(self._drain.drain_id)
            yield pull

    def _given(self) -> Iterator[Pull]:
        """Yield each pull of the items once, by its answer if there is one: an upsert takes no row twice.

        Doubts come last, as an answer may be in a later item; of several, that which brought the most.
        """
        answered: set[str] = set()
        doubts: dict[str, Pull] = {}
        records = size = 0
        for item in self._items:
            is_full = records >= settings.PACKAGE_RECORDS or size >= settings.PACKAGE_BYTES
            if self._is_bounded and is_full:
                break
            self.included.append(item)
            for pull in self._journal.read(item):
                records += 1 + len(pull.records)
                size += len(pull.body)
                if pull.in_doubt:
                    earlier = doubts.get(pull.pull_id, pull)
                    doubts[pull.pull_id] = max(earlier, pull, key=lambda doubt: len(doubt.records))
                elif pull.pull_id not in answered:
                    answered.add(pull.pull_id)
                    yield self._without_repeats(pull)
        yield from (pull for pull_id, pull in doubts.items() if pull_id not in answered)

    def _without_repeats(self, pull: Pull) -> Pull:
        """Return a pull without what was pushed before: an upsert leaves in what a package has twice."""
        if pull.channel != "callback":
            return pull
        records = list(pull.records)
        for position, record_id in enumerate(pull.record_ids or ()):
            if record_id in self._pushed:
                records[position] = NO_RECORD
            self._pushed.add(record_id)
        return replace(pull, records=records)
