"""What the warehouse knows: pulls in doubt, people's numbers, and the records that it has of them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any, NamedTuple

from dlt.common.destination.exceptions import SqlClientNotAvailable

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS, Feed
from sms_source.loading.engine import Engine
from sms_source.loading.tables import REJECTED
from sms_source.privacy.pseudonym import PREFIX
from sms_source.recovery.content import Content, fits, plain
from sms_source.views.sql import literal

REACH = timedelta(days=7)
"""How far look-ups go back."""

_TABLE = "the_table"
"""In a query, where the table's qualified name goes."""

_WITHOUT_TIME_ZONES = ("sqlite", "mysql")
"""sqlglot's names of dialects whose times are of no zone."""


Row = tuple[str, str, Content]
"""A record in a table: its id, its channel, its content."""


class Doubt(NamedTuple):
    """A pull in doubt: its queue, the moment of its request in Unix seconds, the records it can have lost."""

    feed: str
    sms_sdk_app_id: str
    region: str
    requested_at: float
    at_risk: int


class Warehouse:
    """The tables of a job, asked in SQL that DuckDB and PostgreSQL have in common.

    Args:
        engine: of the job.

    Raises:
        ConfigurationError: the destination can't be asked by SQL, or not for a moment.
    """

    def __init__(self, engine: Engine) -> None:
        self._pipeline = engine.pipeline
        if self._pipeline.default_schema_name is None:
            engine.restore()
        try:
            self._client = self._pipeline.sql_client()
        except SqlClientNotAvailable as error:
            raise ConfigurationError(
                "The destination can't be asked by SQL, which recovery needs: use one that can, such as "
                "duckdb or postgres."
            ) from error
        if self._client.capabilities.sqlglot_dialect in _WITHOUT_TIME_ZONES:
            raise ConfigurationError(
                "Recovery asks for moments, and SQLite, MySQL and MariaDB know no time zones: use a "
                "destination that does, such as duckdb or postgres."
            )

    def doubts(self, feeds: Iterable[str], since: datetime) -> list[Doubt]:
        """Return the pulls in doubt of these feeds, from a moment on, that can have lost something."""
        names = ", ".join(map(literal, feeds))
        return [
            Doubt(feed, app_id, region, float(requested_at), at_risk)
            for feed, app_id, region, requested_at, at_risk in self._rows(
                "pulls",
                "select feed, sms_sdk_app_id, region, extract(epoch from requested_at), at_risk "
                "from the_table "
                f"where outcome = 'in_doubt' and at_risk > 0 and feed in ({names}) "
                f"and requested_at >= {_moment(since)}",
            )
        ]

    def numbers(self, since: datetime) -> dict[str, list[str]]:
        """Return the phone numbers of each feed's records from a moment on."""
        return {
            feed.name: [
                number
                for (number,) in self._rows(
                    feed.name,
                    "select distinct phone_number from the_table "
                    f"where {_column(feed.time_field)} >= {_moment(since)} order by phone_number",
                )
            ]
            for feed in FEEDS.values()
        }

    def present(
        self,
        feed: Feed,
        sms_sdk_app_id: str,
        contents: Mapping[Content, Collection[str]],
        in_clear: Mapping[Content, Content],
    ) -> dict[Content, set[int]]:
        """Return which copies of each content are in the tables: 1 is the first.

        What two channels delivered is the same record twice, so their numbers are not added up. A looked-up
        record is the copy that its id names. A callback may not tell its application.

        Args:
            feed: of the records.
            sms_sdk_app_id: likewise.
            contents: each with what ids of looked-up records that have it begin with.
            in_clear: the contents that rows from before the pseudonym key have, each with its content now.
        """
        counts: dict[Content, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        copies: dict[Content, set[int]] = defaultdict(set)
        fitting = [content for content in contents if fits(content)]
        earlier = [content for content in in_clear if fits(content)]
        records = self._records(feed, sms_sdk_app_id, fitting, earlier) if fitting else iter(())
        rejected = self._rejected(feed, sms_sdk_app_id) if len(fitting) < len(contents) else iter(())
        for record_id, channel, its_own in chain(records, rejected):
            content = its_own if its_own in contents else in_clear.get(its_own, its_own)
            prefix, _, copy = record_id.rpartition("/")
            if channel == "lookup" and prefix in contents.get(content, ()):
                copies[content].add(int(copy))
            else:
                counts[content][channel] += 1
        for content, by_channel in counts.items():
            copies[content].update(range(1, max(by_channel.values()) + 1))
        return copies

    def _records(
        self, feed: Feed, sms_sdk_app_id: str, contents: list[Content], in_clear: list[Content]
    ) -> Iterator[Row]:
        time = _column(feed.time_field)
        oldest = min(content[1] for content in contents)
        since = f"{time} >= {_moment(datetime.fromtimestamp(oldest).astimezone())}" if oldest else "true"
        numbers = {literal(content[0]) for content in contents}
        added = {literal(content[0]) for content in in_clear} - numbers
        # Databases keep what they were asked: a number is in it only where the table has numbers, too.
        is_number = f"left(phone_number, {len(PREFIX)}) <> {literal(PREFIX)}"
        any_number = f"select 1 from the_table where {is_number} and {since} limit 1"
        if added and self._rows(feed.name, any_number):
            numbers |= added
        texts = ", ".join(map(_column, feed.content_fields))
        for record_id, channel, number, moment, *others in self._rows(
            feed.name,
            f"select {feed.record_id}, channel, phone_number, "
            f"coalesce(floor(extract(epoch from {time})), 0), {texts} "
            f"from the_table where phone_number in ({', '.join(sorted(numbers))}) and {since} "
            f"and (sms_sdk_app_id = {literal(sms_sdk_app_id)} or sms_sdk_app_id is null)",
        ):
            yield record_id, channel, (number, int(moment), *(plain(text) for text in others))

    def _rejected(self, feed: Feed, sms_sdk_app_id: str) -> Iterator[Row]:
        """Yield the records that do not fit and came since look-ups reach back: no query holds one."""
        since = datetime.now(timezone.utc) - REACH - timedelta(days=1)
        for record_id, text in self._rows(
            REJECTED,
            "select pull_id, record from the_table "
            f"where feed = {literal(feed.name)} and pulled_at >= {_moment(since)} "
            f"and (sms_sdk_app_id = {literal(sms_sdk_app_id)} or sms_sdk_app_id is null)",
        ):
            channel = record_id.partition("/")[0]
            yield record_id, channel if channel in ("callback", "lookup") else "queue", (None, 0, plain(text))

    def _rows(self, table: str, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where the table is not there."""
        schema = self._pipeline.default_schema
        if table not in schema.tables or not schema.get_table_columns(table):
            return []
        with self._client as client:
            dialect = client.capabilities.sqlglot_dialect or "duckdb"
            if dialect not in ("duckdb", "postgres"):
                import sqlglot

                (query,) = sqlglot.transpile(query, read="duckdb", write=dialect)
            rows = client.execute_sql(query.replace(_TABLE, client.make_qualified_table_name(table), 1))
            return [tuple(row) for row in rows or ()]


def _column(field: str) -> str:
    """Return the column of a field: `ReplyTime` is `reply_time`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in field).lstrip("_")


def _moment(moment: datetime) -> str:
    return f"cast({literal(moment.isoformat())} as timestamp with time zone)"
