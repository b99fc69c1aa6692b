"""The figures of the page about campaigns: how each did, and what people answered and wrote."""

from sms_source.report.figures import LISTED, Listed, Period
from sms_source.report.warehouse import Row, Warehouse

CAMPAIGNS = 20
"""Campaigns that are shown."""
SURVEYS = 8
"""Campaigns whose answers are shown."""
ANSWERS = 8
"""Answers of a campaign that are shown."""
_CAMPAIGN = ("sms_sdk_app_id", "sign_name", "extend_code")


def read_campaigns(warehouse: Warehouse, period: Period) -> Listed:
    """Return the campaigns with the most replies, of those with a reply in the period."""
    return Listed.of(
        warehouse.rows(
            "select *, count(*) over () as total from {campaigns} where last_reply_at >= %s "
            "order by replies desc, last_reply_at desc, sign_name, extend_code, sms_sdk_app_id limit %s",
            *(period.bounds[0], CAMPAIGNS),
        )
    )


def read_answers(warehouse: Warehouse, campaigns: Listed) -> list[tuple[Row, list[Row]]]:
    """Return what people answered in the campaigns that are shown, the most frequent answer first."""
    answers, values = _answers_to(campaigns, warehouse)
    rows = warehouse.rows(
        "select * from ("  # noqa: S608 - our own names
        "select *, row_number() over (partition by sms_sdk_app_id, sign_name, extend_code "
        "order by people desc, keyword) as place, "
        "count(*) over (partition by sms_sdk_app_id, sign_name, extend_code) as kinds, "
        "cast(sum(people) over (partition by sms_sdk_app_id, sign_name, extend_code) as bigint) as voters "
        f"from {answers} as answers) as ranked where place <= %s order by place",
        *values,
        ANSWERS,
    )
    by_campaign: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        by_campaign.setdefault(_campaign(row), []).append(row)
    answered = [(row, by_campaign[_campaign(row)]) for row in campaigns.rows if _campaign(row) in by_campaign]
    return sorted(answered, key=lambda pair: -pair[1][0]["voters"])[:SURVEYS]


def _answers_to(campaigns: Listed, warehouse: Warehouse) -> tuple[str, list[str]]:
    """Return the view, as SQL names it, or its query if that can ask less, with the values of its places.

    Asked of these campaigns alone, or of one more that differs in null for an empty text.
    """
    if not campaigns.rows or not warehouse.has_view_as_here("answers"):
        return "{answers}", []
    campaign = ", ".join(f"coalesce({name}, '')" for name in _CAMPAIGN)
    places = ", ".join(["(%s, %s, %s)"] * len(campaigns.rows))
    replies = f"select * from {warehouse.qualified('unique_replies')} where ({campaign}) in (values {places})"  # noqa: S608
    values = [str(part or "") for row in campaigns.rows for part in _campaign(row)]
    return warehouse.query_of("answers", unique_replies=f"({replies})"), values


def _campaign(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in _CAMPAIGN)


def read_texts(warehouse: Warehouse, period: Period) -> list[Row]:
    """Return what people wrote most in the period, each in its most frequent spelling.

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
        "from said "
        "join {unique_replies} as reply on coalesce(reply.keyword, reply.reply_content) = said.text "
        "where reply_time >= %s and reply_time < %s group by said.text, said.replies, reply_content) "
        "select reply_content, replies from spelt where place = 1 order by replies desc, text",
        *period.bounds,
        LISTED,
        *period.bounds,
    )
