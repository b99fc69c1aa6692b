"""What the sections of the page have in common, and its totals: how many replies came, and when.

The page's period is whole days up to today. Campaigns, answers and the hours of the week are of all time, as
their views are; campaigns without a reply in the period are left out.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from sms_source.report.warehouse import Row, Warehouse

LISTED = 12
"""Rows of a list."""
PEOPLE = 8
"""Rows of a list of people."""


@dataclass(frozen=True)
class Period:
    """The page's period.

    now: the time of the page, in its zone.
    days: whole days, the one that goes on included.
    zone: where a day begins; its name is one that databases know as well.
    """

    now: datetime
    days: int
    zone: tzinfo

    @property
    def dates(self) -> list[date]:
        """Its days, the oldest first."""
        today = self.now.date()
        return [today - timedelta(days=back) for back in reversed(range(self.days))]

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Its beginning, and its end, which no longer belongs to it."""
        dates = self.dates
        return self._midnight(dates[0]), self._midnight(dates[-1] + timedelta(days=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self.zone)


@dataclass(frozen=True)
class Listed:
    """Some rows of many.

    total: how many there are.
    rows: the first of them.
    """

    total: int
    rows: list[Row]

    @property
    def more(self) -> int:
        """How many are not listed."""
        return self.total - len(self.rows)

    @classmethod
    def of(cls, rows: list[Row]) -> "Listed":
        """Make a list of rows whose column `total` says how many there are."""
        return cls(rows[0]["total"] if rows else 0, rows)


@dataclass(frozen=True)
class Replies:
    """Totals, and how many came when.

    total: of all time.
    recent: of the period.
    people: numbers that wrote in the period.
    newest: the time of the newest one; None without any.
    a_day: of the period, by day; days without one have 0.
    """

    total: int
    recent: int
    people: int
    newest: datetime | None
    a_day: dict[date, int]


def read_replies(warehouse: Warehouse, period: Period) -> Replies:
    """Read the totals of `unique_replies`."""
    total = warehouse.row("select count(*) as replies, max(reply_time) as newest from {unique_replies}")
    people = warehouse.row(
        "select count(distinct phone_number) as people from {unique_replies} "
        "where reply_time >= %s and reply_time < %s",
        *period.bounds,
    )
    by_day = warehouse.rows(
        "select cast(reply_time at time zone %s as date) as day, count(*) as replies "
        "from {unique_replies} where reply_time >= %s and reply_time < %s group by 1",
        str(period.zone),
        *period.bounds,
    )
    found = {row["day"]: row["replies"] for row in by_day}
    return Replies(
        total=total["replies"],
        recent=sum(found.values()),
        people=people["people"],
        newest=total["newest"],
        a_day={day: found.get(day, 0) for day in period.dates},
    )


@dataclass(frozen=True)
class Hours:
    """When in the week people reply.

    counts: replies, by weekday (from 1, Monday) and hour.
    """

    counts: dict[tuple[int, int], int]

    @property
    def busiest(self) -> tuple[int, int]:
        """The weekday and hour with the most replies."""
        return max(self.counts, key=lambda place: (self.counts[place], place))


def read_hours(warehouse: Warehouse) -> Hours:
    """Read `reply_hours`, with 0 where it has no row."""
    counts = {(weekday, hour): 0 for weekday in range(1, 8) for hour in range(24)}
    for row in warehouse.rows("select weekday, hour, replies from {reply_hours}"):
        counts[row["weekday"], row["hour"]] += row["replies"]
    return Hours(counts)
