"""The figures of the page that somebody has to look at: pulls in doubt, rejected records, late replies."""

from dataclasses import dataclass

from sms_source.report.figures import LISTED, Listed, Period
from sms_source.report.warehouse import Row, Warehouse


@dataclass(frozen=True)
class InDoubt:
    """Pulls whose outcome is unknown.

    pulls: of all time, the newest first; their `total` is that of all.
    at_risk: records that all of them may have lost, at most.
    recovered: records that look-ups brought back.
    """

    pulls: Listed
    at_risk: int
    recovered: int


def read_in_doubt(warehouse: Warehouse) -> InDoubt:
    """Read `pulls_in_doubt`."""
    total = warehouse.row(
        "select count(*) as pulls, cast(coalesce(sum(at_risk), 0) as bigint) as at_risk, "
        "cast(coalesce(sum(recovered), 0) as bigint) as recovered from {pulls_in_doubt}"
    )
    rows = warehouse.rows(
        "select feed, sms_sdk_app_id, region, requested_at, at_risk, recoverable_until, recovered "
        "from {pulls_in_doubt} order by requested_at desc, pull_id limit %s",
        LISTED,
    )
    return InDoubt(Listed(total["pulls"], rows), total["at_risk"], total["recovered"])


def read_rejected(warehouse: Warehouse, period: Period) -> list[Row]:
    """Return why records of the period were rejected: feed, reason, records, and the newest one's time."""
    return warehouse.rows(
        "select feed, reason, count(*) as records, max(pulled_at) as newest, "
        "cast(sum(count(*)) over () as bigint) as total from {rejected_records} "
        "where pulled_at >= %s and pulled_at < %s group by feed, reason order by 3 desc, reason limit %s",
        *period.bounds,
        LISTED,
    )


@dataclass(frozen=True)
class Late:
    """Replies of the period that were loaded more than an hour after they were written.

    replies: how many.
    median, longest: seconds.
    """

    replies: int
    median: float | None
    longest: float | None


def read_late(warehouse: Warehouse, period: Period) -> Late:
    """Read `late_replies`, in the period."""
    row = warehouse.row(
        "select count(*) as replies, max(delay_seconds) as longest, "
        "percentile_cont(0.5) within group (order by delay_seconds) as median "
        "from {late_replies} where reply_time >= %s and reply_time < %s",
        *period.bounds,
    )
    return Late(row["replies"], row["median"], row["longest"])
