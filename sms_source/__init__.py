"""Tencent Cloud SMS replies as a dlt source: from a queue that hands each one out once, exactly once.

    pipeline = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="sms")
    pipeline.run(sms_source())

Whoever pulls a reply and then loses it has destroyed it: the API has no acknowledgement. So each answer is
in the journal, on the disk, before dlt sees it; and a drain counts as loaded only when its id is in the
state that dlt committed together with its rows. A run first gives dlt again what no such state names, and
the merge on `reply_id` takes out what was loaded after all.
"""

import functools
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Union

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.common.schema.typing import TWriteDisposition
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable, LoadPackageNotFound
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltResource

from sms_source import destinations, settings
from sms_source.client import SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.drain import Drain, DrainReport
from sms_source.journal import Journal, Pull
from sms_source.rate import RateLimiter
from sms_source.replies import Tables, known_new_columns, to_tables

__all__ = ["DrainReport", "TencentCloudCredentials", "drains_named_by", "sms_source"]

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
    *,
    replay: bool = False,
    package_replies: int = settings.PACKAGE_REPLIES,
    at_least_once_in: str | None = None,
    stop: threading.Event | None = None,
    report: DrainReport | None = None,
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
        replay: give dlt the journal's whole archive again, and pull nothing.
        package_replies: end the drain after about so many replies, so that they are loaded; run again for
            the next.
        at_least_once_in: the name of a destination that is accepted although it can't keep a row from being
            there twice after a load that was killed; any other such destination is refused.
        stop: ends pulling when it is set; what is in flight still arrives.
        report: is filled with what was done.

    Raises:
        ConfigurationError: an option is missing or can't be right, or (as the cause of dlt's error, before
            the first pull) the destination can't keep each row from being there twice.
    """
    journal = Journal(journal_url)
    reported = report is not None
    report = report or DrainReport()

    def new_client() -> SmsClient:
        return SmsClient(
            credentials, endpoint=api_endpoint, region=api_region, language=api_language, timeout=pull_timeout
        )

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
                yield from _tables(journal.archive(), report)
                return
            if owner := _owner():
                journal.claim(owner)
            if _is_loaded(state.get("load_id")):
                journal.commit(state.get("drains", ()))
            journal.expire(timedelta(days=journal_retention_days))
            replayed = journal.uncommitted()
            fresh = journal.open_drain()
            pulls = Drain(
                new_client,
                fresh,
                list(sms_sdk_app_ids),
                region=api_region,
                workers=pull_workers,
                limit=pull_limit,
                most_replies=package_replies,
                rate=_account_rate(pulls_per_second),
                stop=stop or threading.Event(),
                report=report,
            ).pulls()
            anything = False
            for tables in _tables(chain(chain.from_iterable(map(journal.read, replayed)), pulls), report):
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
                state["load_id"] = _load_id()

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
        yield from _rows(tables, tables.replies)

    @dlt.transformer(data_from=drain, primary_key="pull_id", write_disposition=MERGE)
    def pulls(tables: Tables) -> Iterator[pa.Table]:
        """The ledger: each pull that handed out replies, or whose outcome nobody can know."""
        yield from _rows(tables, tables.pulls)

    @dlt.transformer(data_from=drain, primary_key=("request_id", "position"), write_disposition=MERGE)
    def rejected_replies(tables: Tables) -> Iterator[pa.Table]:
        """Records that do not fit, verbatim, with the reason."""
        yield from _rows(tables, tables.rejected_replies)

    return drain, replies, pulls, rejected_replies


def drains_named_by(pipeline: dlt.Pipeline) -> set[str]:
    """The drains that the pipeline's state names: what its last package, loaded or pending, brought."""
    source: Any = pipeline.state.get("sources", {}).get("sms_source", {})
    return set(source.get("resources", {}).get("drain", {}).get("drains", ()))


@functools.cache
def _account_rate(per_second: int) -> RateLimiter:
    """One limiter for all drains of this process: the quota is the account's."""
    if per_second > settings.MAX_PULLS_PER_SECOND:
        logger.warning(
            "pulls_per_second is %d; the API refuses more than %d unless your account's quota was raised.",
            per_second,
            settings.MAX_PULLS_PER_SECOND,
        )
    return RateLimiter(per_second)


def _owner() -> dict[str, str]:
    """The pipeline that runs this extraction; empty outside of one."""
    context = Container()[PipelineContext]
    if not context.is_active():
        return {}
    pipeline = context.pipeline()
    destination = pipeline.destination
    return {
        "pipeline": pipeline.pipeline_name,
        "destination": destination.destination_name if destination else "",
        "dataset": pipeline.dataset_name or "",
    }


def _load_id() -> str | None:
    """The id of the package that is being extracted; None when somebody looks at rows without a pipeline."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None


def _is_loaded(load_id: str | None) -> bool:
    """Whether the package that brought the state is in the destination.

    dlt takes the state of a dropped package back, but not if it is killed meanwhile: so look. A new working
    directory has its state from the destination, which has the packages of that state too.
    """
    context = Container()[PipelineContext]
    if load_id is None or not context.is_active():
        return False
    pipeline = dlt.current.pipeline()
    try:
        return pipeline.get_load_package_info(load_id).state == "loaded"
    except LoadPackageNotFound:
        pass
    try:
        with pipeline.sql_client() as client:
            table = client.make_qualified_table_name("_dlt_loads")
            query = f"select 1 from {table} where load_id = %s and status = 0"  # noqa: S608 - dlt's own table
            found = client.execute_sql(query, load_id)
    except DatabaseUndefinedRelation:
        return False
    except SqlClientNotAvailable:  # there is nothing better to ask than the state
        return True
    return bool(found)


def _tables(pulls: Iterable[Pull], report: DrainReport) -> Iterator[Tables]:
    """The pulls' rows in tables of some thousands, and no later than some seconds; counts them."""
    schema_columns = dlt.current.source_schema().tables.get("replies", {}).get("columns", {})
    new_columns = known_new_columns(schema_columns)
    for batch in _batches(pulls):
        tables = to_tables(batch, new_columns)
        report.count(batch, tables)
        yield tables


def _batches(pulls: Iterable[Pull]) -> Iterator[list[Pull]]:
    batch: list[Pull] = []
    records = size = 0
    deadline = 0.0
    for pull in pulls:
        if not batch:
            deadline = time.monotonic() + settings.TABLE_SECONDS
        batch.append(pull)
        records += len(pull.records)
        size += len(pull.body)
        full = records >= settings.TABLE_REPLIES or size >= settings.TABLE_BYTES
        if full or time.monotonic() >= deadline:
            yield batch
            batch, records, size = [], 0, 0
    if batch:
        yield batch


def _rows(tables: Tables, table: pa.Table) -> Iterator[pa.Table]:
    """The table if it has rows, or if this is the empty batch that creates the tables; with its load id."""
    if not table.num_rows and tables.pulls.num_rows:
        return
    if load_id := _load_id():
        field = pa.field("_dlt_load_id", pa.string(), nullable=False)
        table = table.append_column(field, pa.repeat(load_id, table.num_rows))
    yield table
