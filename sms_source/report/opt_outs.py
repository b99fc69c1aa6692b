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
    overdue: some of `due`, the soonest deadline first, which is the one that has been over longest.
    next_deadlines: some of `ahead`, the soonest deadline first.
    """

    total: int
    blocked: int
    ahead: int
    due: int
    soonest: datetime | None
    recent: int
    a_day: dict[date, int]
    overdue: list[Row]
    next_deadlines: list[Row]


_OPT_OUTS = """
with opt_outs as materialized (
  select
    kept.*, honour_by > %s as ahead, cast(opted_out_at at time zone %s as date) as day,
    cast(null as bigint) as people
  from {kept} as kept
)
(select * from opt_outs where not ahead and not blocked
order by honour_by, phone_number, sign_name, sms_sdk_app_id limit %s)
union all
(select * from opt_outs where ahead and not blocked
order by honour_by, phone_number, sign_name, sms_sdk_app_id limit %s)
union all
select null, null, null, null, null, null, null, min(honour_by), blocked, ahead, day, count(*)
from opt_outs group by blocked, ahead, day
"""
"""In one pass, as the view is a costly one: the people who are listed, then how many there are a day."""


def keep_opt_outs(warehouse: Warehouse) -> str:
    """Ask `opt_outs` once for all that the page says of them; returns the relation, as SQL names it."""
    return warehouse.keep(
        "kept_opt_outs",
        "select sms_sdk_app_id, sign_name, phone_number, country_code, opted_out_at, reply_content, rule, "
        "honour_by, blocked_by_tencent as blocked from {opt_outs}",
    )


def read_opt_outs(warehouse: Warehouse, period: Period, kept: str) -> OptOuts:
    """Return what `keep_opt_outs` found, and what is still to honour of it."""
    query = _OPT_OUTS.replace("{kept}", kept)
    rows = warehouse.rows(query, period.now, str(period.zone), PEOPLE, PEOPLE)
    people = sorted((row for row in rows if row["people"] is None), key=lambda row: row["honour_by"])
    groups = [row for row in rows if row["people"] is not None]
    ahead = [row for row in groups if row["ahead"] and not row["blocked"]]
    a_day = dict.fromkeys(period.dates, 0)
    for row in groups:
        if row["day"] in a_day:
            a_day[row["day"]] += row["people"]
    total = sum(row["people"] for row in groups)
    blocked = sum(row["people"] for row in groups if row["blocked"])
    count_ahead = sum(row["people"] for row in ahead)
    return OptOuts(
        total=total,
        blocked=blocked,
        ahead=count_ahead,
        due=total - blocked - count_ahead,
        soonest=min((row["honour_by"] for row in ahead), default=None),
        recent=sum(a_day.values()),
        a_day=a_day,
        overdue=[row for row in people if not row["ahead"]],
        next_deadlines=[row for row in people if row["ahead"]],
    )


def read_possible_opt_outs(warehouse: Warehouse, period: Period, kept: str) -> Listed:
    """Return the newest replies of the period that read like an opt-out and are none by their keyword."""
    possible = _possible_opt_outs(warehouse, period, kept)
    return Listed.of(
        warehouse.rows(
            "select possible.*, reply.country_code from ("  # noqa: S608 - our own names
            f"select *, count(*) over () as total from {possible} as possible "
            "where reply_time >= %s and reply_time < %s "
            "order by reply_time desc, reply_id limit %s) as possible "
            "left join {unique_replies} as reply on reply.reply_id = possible.reply_id "
            "order by possible.reply_time desc, possible.reply_id",
            *period.bounds,
            PEOPLE,
        )
    )


def _possible_opt_outs(warehouse: Warehouse, period: Period, kept: str) -> str:
    """Return the view, as SQL names it, or its query if that can ask less: of the period, and of `kept`."""
    if not warehouse.has_view_as_here("possible_opt_outs"):
        return "{possible_opt_outs}"
    begin, _ = period.bounds
    replies = f"select * from {warehouse.qualified('unique_replies')}"  # noqa: S608 - our own names
    return warehouse.query_of(
        "possible_opt_outs",
        unique_replies=f"({replies} where reply_time >= timestamptz '{begin}')",
        opt_outs=kept,
    )
