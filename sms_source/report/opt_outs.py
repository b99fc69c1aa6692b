"""The figures of the page about whom to stop writing to, for certain or perhaps."""

from dataclasses import dataclass
from datetime import date, datetime

from sms_source.report.figures import PEOPLE, Listed, Period
from sms_source.report.warehouse import Row, Warehouse


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
        *(period.now, period.now, period.now, PEOPLE),
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


def read_possible_opt_outs(warehouse: Warehouse, period: Period) -> Listed:
    """The newest replies of the period that read like an opt-out and are none by their keyword."""
    return Listed.of(
        warehouse.rows(
            "select possible.*, reply.country_code from ("
            "select *, count(*) over () as total from {possible_opt_outs} "
            "where reply_time >= %s and reply_time < %s "
            "order by reply_time desc, reply_id limit %s) as possible "
            "left join {unique_replies} as reply on reply.reply_id = possible.reply_id "
            "order by possible.reply_time desc, possible.reply_id",
            *period.bounds,
            PEOPLE,
        )
    )
