"""The figures of the page: what the views say of replies, in the shape in which the page shows it.

The page's period is whole days up to today. Campaigns, answers and the hours of the week are of all time, as
their views are; campaigns without a reply in the period are left out.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from sms_source.report.warehouse import Row, Warehouse

LISTED = 12
"""Rows of a list of people or texts."""
CAMPAIGNS = 20
"""Campaigns that are shown."""
SURVEYS = 8
"""Campaigns whose answers are shown."""
ANSWERS = 8
"""Answers of a campaign that are shown."""


@dataclass(frozen=True)
class Period:
    """The page's period.

    now: the time of the page.
    days: whole days, the one that goes on included.
    zone: where a day begins; its name is one that databases know as well.
    """

    now: datetime
    days: int
    zone: tzinfo

    @property
    def dates(self) -> list[date]:
        """Its days, the oldest first."""
        today = self.now.astimezone(self.zone).date()
        return [today - timedelta(days=back) for back in reversed(range(self.days))]

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Its beginning, and its end, which no longer belongs to it."""
        dates = self.dates
        return self._midnight(dates[0]), self._midnight(dates[-1] + timedelta(days=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self.zone)


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
    """Totals of `unique_replies`."""
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
class OptOuts:
    """People who don't want to be written to any more.

    total: all of them.
    blocked: those that Tencent Cloud itself blocks.
    ahead: those whose deadline is yet to come; due: those whose deadline is over, or who want it at once.
    soonest: the first deadline yet to come.
    recent: those who opted out in the period.
    a_day: those of the period, by day.
    next_deadlines: of some of `ahead`, the soonest first.
    newest_due: some of `due`, the newest deadline first.
    """

    total: int
    blocked: int
    ahead: int
    due: int
    soonest: datetime | None
    recent: int
    a_day: dict[date, int]
    next_deadlines: list[Row]
    newest_due: list[Row]


def read_opt_outs(warehouse: Warehouse, period: Period) -> OptOuts:
    """What `opt_outs` says, and what is still to honour of it."""
    groups = warehouse.rows(
        "select blocked_by_tencent as blocked, honour_by > %s as ahead, "
        "cast(opted_out_at at time zone %s as date) as day, count(*) as people, min(honour_by) as soonest "
        "from {opt_outs} group by 1, 2, 3",
        *(period.now, str(period.zone)),
    )
    ahead = [row for row in groups if row["ahead"] and not row["blocked"]]
    a_day = dict.fromkeys(period.dates, 0)
    for row in groups:
        if row["day"] in a_day:
            a_day[row["day"]] += row["people"]
    # The nearest to now on either side: of deadlines ahead the soonest, of those over the newest.
    nearest = warehouse.rows(
        "select * from ("
        "select *, honour_by > %s as ahead, row_number() over (partition by honour_by > %s "
        "order by abs(extract(epoch from honour_by - %s)), phone_number, sign_name, sms_sdk_app_id) as place "
        "from {opt_outs} where not blocked_by_tencent) as nearest where place <= %s order by place",
        *(period.now, period.now, period.now, LISTED),
    )
    total = sum(row["people"] for row in groups)
    blocked = sum(row["people"] for row in groups if row["blocked"])
    count_ahead = sum(row["people"] for row in ahead)
    return OptOuts(
        total=total,
        blocked=blocked,
        ahead=count_ahead,
        due=total - blocked - count_ahead,
        soonest=min((row["soonest"] for row in ahead), default=None),
        recent=sum(a_day.values()),
        a_day=a_day,
        next_deadlines=[row for row in nearest if row["ahead"]],
        newest_due=[row for row in nearest if not row["ahead"]],
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
    """`reply_hours`, with 0 where it has no row."""
    counts = {(weekday, hour): 0 for weekday in range(1, 8) for hour in range(24)}
    for row in warehouse.rows("select weekday, hour, replies from {reply_hours}"):
        counts[int(row["weekday"]), int(row["hour"])] += int(row["replies"])
    return Hours(counts)


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


def _listed(rows: list[Row]) -> Listed:
    return Listed(rows[0]["total"] if rows else 0, rows)


def read_campaigns(warehouse: Warehouse, period: Period) -> Listed:
    """The campaigns with the most replies, of those with a reply in the period."""
    return _listed(
        warehouse.rows(
            "select *, count(*) over () as total from {campaigns} where last_reply_at >= %s "
            "order by replies desc, last_reply_at desc, sign_name, extend_code, sms_sdk_app_id limit %s",
            *(period.bounds[0], CAMPAIGNS),
        )
    )


def read_answers(warehouse: Warehouse, campaigns: Listed) -> list[tuple[Row, list[Row]]]:
    """What people answered in the campaigns that are shown, each with its answers, the most frequent first."""
    rows = warehouse.rows(
        "select * from ("
        "select *, row_number() over (partition by sms_sdk_app_id, sign_name, extend_code "
        "order by people desc, keyword) as place, "
        "count(*) over (partition by sms_sdk_app_id, sign_name, extend_code) as kinds, "
        "sum(people) over (partition by sms_sdk_app_id, sign_name, extend_code) as voters "
        "from {answers}) as ranked where place <= %s order by place",
        ANSWERS,
    )
    by_campaign: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        by_campaign.setdefault(_campaign(row), []).append(row)
    answered = [(row, by_campaign[_campaign(row)]) for row in campaigns.rows if _campaign(row) in by_campaign]
    return sorted(answered, key=lambda pair: -pair[1][0]["voters"])[:SURVEYS]


def _campaign(row: Row) -> tuple[object, ...]:
    return row["sms_sdk_app_id"], row["sign_name"], row["extend_code"]


def read_texts(warehouse: Warehouse, period: Period) -> list[Row]:
    """What people wrote most in the period, each in its most frequent spelling.

    What has the same keyword is the same text: case, spaces and punctuation make no difference.
    """
    return warehouse.rows(
        "with said as ("
        "select coalesce(keyword, reply_content) as text, count(*) as replies from {unique_replies} "
        "where reply_time >= %s and reply_time < %s and coalesce(keyword, reply_content) <> '' "
        "group by 1 order by 2 desc, 1 limit %s), "
        "spelt as ("
        "select said.text, said.replies, reply_content, row_number() over ("
        "partition by said.text order by count(*) desc, reply_content) as place "
        "from said join {unique_replies} as reply on coalesce(reply.keyword, reply.reply_content) = said.text "
        "where reply_time >= %s and reply_time < %s group by said.text, said.replies, reply_content) "
        "select reply_content, replies from spelt where place = 1 order by replies desc, text",
        *period.bounds,
        LISTED,
        *period.bounds,
    )


def read_possible_opt_outs(warehouse: Warehouse, period: Period) -> Listed:
    """The newest replies of the period that read like an opt-out and are none by their keyword."""
    return _listed(
        warehouse.rows(
            "select possible.*, reply.country_code from ("
            "select *, count(*) over () as total from {possible_opt_outs} "
            "where reply_time >= %s and reply_time < %s order by reply_time desc, reply_id limit %s) as possible "
            "left join {unique_replies} as reply on reply.reply_id = possible.reply_id "
            "order by possible.reply_time desc, possible.reply_id",
            *period.bounds,
            LISTED,
        )
    )
