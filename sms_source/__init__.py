"""Tencent Cloud SMS replies as a dlt source: from a queue that hands each one out once, exactly once.

    pipeline = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="sms")
    pipeline.run(sms_source())

Whoever pulls a reply and then loses it has destroyed it: the API has no acknowledgement. So each answer is
in the journal, on the disk, before dlt sees it; and a drain counts as loaded only when its id is in the
state that dlt committed together with its rows. A run first gives dlt again what no such state names, and
the merge on `reply_id` takes out what was loaded after all.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Union

import dlt
from dlt.common.schema.typing import TWriteDisposition
from dlt.extract import DltResource

from sms_source import settings
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.loading import commits
from sms_source.pulling.drain import Drain
from sms_source.pulling.report import DrainReport

__all__ = ["DrainReport", "TencentCloudCredentials", "sms_source"]

logger = logging.getLogger(__name__)

# dlt's own merge is delete-insert. Of its strategies only that one also takes out duplicates within a load
# package, which a load that was killed and resumed produces.
MERGE: TWriteDisposition = "merge"


@dlt.source(name="sms_source", spec=SmsSourceConfiguration)
def sms_source(
    sms_sdk_app_ids: Union[str, list[str]] = dlt.config.value,
    credentials: TencentCloudCredentials = dlt.secrets.value,
    api_region: str = settings.API_REGION,
    api_endpoint: str = settings.API_ENDPOINT,
    api_language: str = settings.API_LANGUAGE,
    journal_url: str = settings.JOURNAL_URL,
    journal_retention_days: float = settings.JOURNAL_RETENTION_DAYS,
    pulls_per_second: int = settings.MAX_PULLS_PER_SECOND,
    pull_workers: int = settings.PULL_WORKERS,
    pull_limit: int = settings.MAX_PULL_LIMIT,
    pull_timeout: float = settings.PULL_TIMEOUT,
    pull_feeds: Union[str, list[str]] = REPLIES.name,
    *,
    replay: bool = False,
    package_replies: int = settings.PACKAGE_REPLIES,
    at_least_once_in: str | None = None,
    stop: threading.Event | None = None,
    report: DrainReport | None = None,
    fresh_drain: Drain | None = None,
) -> Iterable[DltResource]:
    """Replies to the SMS of one or more applications, each row exactly once.

    The resources `replies`, `pulls` (the ledger) and `rejected_replies` share one drain of the queues. An
    error ends the drain, but what was pulled is loaded: look at the `report` after `pipeline.run`. With
    nothing to load, an error is raised.

    Args:
        sms_sdk_app_ids: the applications' ids in the SMS console; a list, or one.
        credentials: secret id and key (and token), as dlt resolves them, or a credential object of
            Tencent Cloud's SDK.
        api_region: the region of the queues; each region has its own.
        api_endpoint: `https://` and host; `http://` only to a loopback address.
        api_language: of the API's error messages, `en-US` or `zh-CN`.
        journal_url: the folder where answers are kept; must outlive the machine's failures as well as
            the replies should.
        journal_retention_days: days that loaded answers are kept; 0 deletes them at the next run.
        pulls_per_second: requests a second at most, for the whole account; the API's quota is 100.
        pull_workers: requests in flight at most, from 1 to 256.
        pull_limit: replies a request, from 1 to 100.
        pull_timeout: seconds for one request.
        pull_feeds: names of the feeds to drain (`replies`); a list, or one.
        replay: give dlt the journal's whole archive again, and pull nothing.
        package_replies: end the drain after about so many replies, so that they are loaded; run again for
            the next.
        at_least_once_in: the name of a destination that is accepted although it can't keep a row from being
            there twice after a load that was killed; any other such destination is refused.
        stop: ends pulling when it is set; what is in flight still arrives.
        report: is filled with what was done.
        fresh_drain: empties the queues, and may have begun; by default one with these options.

    Raises:
        ConfigurationError: an option is missing or can't be right, or (as the cause of dlt's error, before
            the first pull) the destination can't keep each row from being there twice.
    """
    # Here, as a run on empty queues needs none of them, and they take as long to import as it takes.
    import pyarrow as pa
    import pyarrow.compute as pc

    from sms_source.loading import destinations
    from sms_source.loading.batches import for_dlt, tables_of
    from sms_source.loading.tables import Tables, to_tables

    options = SmsSourceConfiguration(
        credentials=credentials,
        sms_sdk_app_ids=sms_sdk_app_ids,
        api_region=api_region,
        api_endpoint=api_endpoint,
        api_language=api_language,
        journal_url=journal_url,
        journal_retention_days=journal_retention_days,
        pulls_per_second=pulls_per_second,
        pull_workers=pull_workers,
        pull_limit=pull_limit,
        pull_timeout=pull_timeout,
        pull_feeds=pull_feeds,
    )
    journal = Journal(journal_url)
    reported = report is not None
    report = report or DrainReport()

    @dlt.resource(name="drain", selected=False)
    def drain() -> Iterator[Tables]:
        """The rows of what no committed state names, as the destination can hold them."""
        destination = destinations.of_this_run(dlt.current.source(), at_least_once_in=at_least_once_in)
        destination.hint(dlt.current.source())
        yield from map(destination.fit, rows())

    def rows() -> Iterator[Tables]:
        """First the journal's, then what the queues hold."""
        with journal:
            state = dlt.current.resource_state()
            first_run = "drains" not in state or "replies" not in dlt.current.source_schema().tables
            if first_run:
                yield to_tables([], set())
            if replay:
                yield from tables_of(journal.archive(), report)
                return
            to_replay = commits.settle(journal, state, timedelta(days=journal_retention_days))
            fresh = fresh_drain or Drain(
                options,
                journal.open_drain(),
                most_replies=package_replies,
                stop=stop or threading.Event(),
                report=report,
            )
            replayed = [drain_id for drain_id in to_replay if drain_id != fresh.drain_id]
            pulls = chain(chain.from_iterable(map(journal.read, replayed)), fresh.pulls())
            anything = False
            for tables in tables_of(pulls, report):
                anything = True
                yield tables
            if not anything:
                report.raise_for_failure()
            if not reported:
                for failure in report.failures:
                    logger.error("%s", failure)
            if anything or first_run:
                # Last, so that a reader who stops early leaves the drain uncommitted.
                state["drains"] = [*replayed, fresh.drain_id]
                state["load_id"] = commits.load_id()

    @dlt.transformer(data_from=drain, primary_key="reply_id", write_disposition=MERGE)
    def replies(
        tables: Tables,
        reply_time: dlt.sources.incremental[datetime] = dlt.sources.incremental(  # noqa: B008
            "ReplyTime", on_cursor_value_missing="include", allow_external_schedulers=False
        ),
    ) -> Iterator[pa.Table]:
        """Replies; `ReplyTime` is the cursor, and never a filter: a late reply is a reply."""
        newest = pc.max(tables.replies["ReplyTime"]).as_py()
        if newest is not None:
            reply_time.advance(max(newest, reply_time.last_value or newest))
        yield from for_dlt(tables, tables.replies)

    @dlt.transformer(data_from=drain, primary_key="pull_id", write_disposition=MERGE)
    def pulls(tables: Tables) -> Iterator[pa.Table]:
        """The ledger: each pull that handed out replies, or whose outcome nobody can know."""
        yield from for_dlt(tables, tables.pulls)

    @dlt.transformer(data_from=drain, primary_key=("request_id", "position"), write_disposition=MERGE)
    def rejected_replies(tables: Tables) -> Iterator[pa.Table]:
        """Records that do not fit, verbatim, with the reason."""
        yield from for_dlt(tables, tables.rejected_replies)

    return drain, replies, pulls, rejected_replies
