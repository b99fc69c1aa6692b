"""The page: the figures in a template that escapes whatever people wrote."""

from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sms_source.report import charts
from sms_source.report.campaigns import read_answers, read_campaigns, read_texts
from sms_source.report.care import InDoubt, Late, read_in_doubt, read_late, read_rejected
from sms_source.report.figures import Hours, Listed, Period, Replies, read_hours, read_replies
from sms_source.report.language import Language
from sms_source.report.opt_outs import OptOuts, keep_opt_outs, read_opt_outs, read_possible_opt_outs
from sms_source.report.people import mask, show
from sms_source.report.receipts import BUCKETS, Deliveries, Responses, read_deliveries, read_responses
from sms_source.report.warehouse import Row, Warehouse

OF_REPLIES = ("opt_outs", "reply_hours", "campaigns", "answers", "possible_opt_outs", "late_replies")
OF_RECEIPTS = ("deliveries",)
OF_BOTH = ("reply_attributions", "response_rates")
"""Views that need replies, receipts, or both."""

CATEGORIES = {
    "carrier_error": "Carrier error",
    "invalid_number": "Invalid number",
    "shutdown": "Phone switched off or suspended",
    "blocklist": "On a blocklist",
    "frequency": "Too many messages",
}
"""The names of Tencent Cloud's categories of failures."""
OTHER_CATEGORY = "Other reason"


@dataclass(frozen=True)
class Page:
    """All figures of a page. A section is None when the dataset lacks what it is made from.

    missing: relations that are not there and should be.
    without_receipts: whether no receipts are loaded.
    """

    replies: Replies | None
    opt_outs: OptOuts | None
    hours: Hours | None
    campaigns: Listed | None
    answers: list[tuple[Row, list[Row]]] | None
    texts: list[Row]
    possible: Listed | None
    deliveries: Deliveries | None
    responses: Responses | None
    in_doubt: InDoubt | None
    rejected: list[Row] | None
    late: Late | None
    missing: list[str]
    without_receipts: bool


def read(warehouse: Warehouse, period: Period) -> Page:
    """Return the figures, each from its view."""

    def has(*names: str) -> bool:
        return not warehouse.lacks(*names)

    campaigns = read_campaigns(warehouse, period) if has("campaigns") else None
    opt_outs = keep_opt_outs(warehouse) if has("opt_outs") else "{opt_outs}"
    has_replies, has_receipts = has("unique_replies"), has("receipts")
    needed = ["pulls_in_doubt", "rejected_records"]
    needed += [*(OF_REPLIES if has_replies else ()), *(OF_RECEIPTS if has_receipts else ())]
    needed += OF_BOTH if has_replies and has_receipts else ()
    return Page(
        replies=read_replies(warehouse, period) if has_replies else None,
        opt_outs=read_opt_outs(warehouse, period, opt_outs) if has("opt_outs") else None,
        hours=read_hours(warehouse) if has("reply_hours") else None,
        campaigns=campaigns,
        answers=read_answers(warehouse, campaigns) if campaigns and has("answers") else None,
        texts=read_texts(warehouse, period) if has_replies else [],
        possible=read_possible_opt_outs(warehouse, period, opt_outs) if has("possible_opt_outs") else None,
        deliveries=read_deliveries(warehouse, period) if has("deliveries") else None,
        responses=read_responses(warehouse, period) if has(*OF_BOTH) else None,
        in_doubt=read_in_doubt(warehouse) if has("pulls_in_doubt") else None,
        rejected=read_rejected(warehouse, period) if has("rejected_records") else None,
        late=read_late(warehouse, period) if has("late_replies") else None,
        missing=warehouse.lacks(*needed),
        without_receipts=not has_receipts,
    )


def render(page: Page, period: Period, language: Language, *, dataset: str, full_numbers: bool) -> str:
    """Return the page, as HTML in one piece."""
    _ = language.gettext
    environment = Environment(
        loader=PackageLoader("sms_source.report", "."),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined] # the extension adds it
        language.gettext, language.ngettext, newstyle=True
    )
    for name in ("number", "share", "day", "moment", "duration"):
        environment.filters[name] = getattr(language, name)
    now, replies = period.now, page.replies
    css = files("sms_source.report").joinpath("page.css").read_text(encoding="utf-8")
    columns = [(_("Replies"), replies.a_day)] if replies else []
    if page.opt_outs:
        columns.append((_("Opted out"), page.opt_outs.a_day))
    return environment.get_template("page.html").render(
        page=page,
        period=period,
        now=now,
        language=language,
        dataset=dataset,
        css=Markup(css),  # noqa: S704 - the page's own
        full_numbers=full_numbers,
        show=lambda text, longest, own: show(text, longest=longest, full_numbers=full_numbers or not own),
        number=partial(_number, full_numbers=full_numbers),
        category=lambda name: _(CATEGORIES.get(name, OTHER_CATEGORY)),
        gap=language.gap,
        last_days=language.ngettext("the last day", "the last %(num)s days", period.days)
        % {"num": period.days},
        newest_age=language.age(replies.newest) if replies and replies.newest else "",
        busiest_day=_busiest_day(replies, period, language) if replies else "",
        day_columns=columns,
        buckets=list(zip(_buckets(language), page.responses.buckets, strict=True)) if page.responses else [],
        charts=_charts(page, period, language),
    )


def _charts(page: Page, period: Period, language: Language) -> dict[str, Markup]:
    labels = [language.day(day) for day in period.dates]
    drawn = {}
    if page.replies and page.replies.total:
        opt_outs = list(page.opt_outs.a_day.values()) if page.opt_outs else None
        drawn["days"] = charts.bars(labels, list(page.replies.a_day.values()), opt_outs)
    if page.replies and page.replies.total and page.hours:
        weekdays = [language.weekday(number, short=True) for number in range(1, 8)]
        drawn["hours"] = charts.week(page.hours.counts, weekdays)
    if page.deliveries and (page.deliveries.messages or page.deliveries.undated):
        failed = page.deliveries.failed
        whole = [count + failed[day] for day, count in page.deliveries.delivered.items()]
        drawn["deliveries"] = charts.bars(labels, whole, list(failed.values()))
    if page.responses and page.responses.replies:
        drawn["responses"] = charts.bars(_buckets(language), page.responses.buckets)
    return drawn


def _buckets(language: Language) -> list[str]:
    """Return the groups of response times, by their upper bound."""
    return [language.gettext(label) for label in BUCKETS.values()]


def _busiest_day(replies: Replies, period: Period, language: Language) -> str:
    """Return what the chart of days says, in a sentence."""
    if not replies.recent:
        return language.gettext("None came in this period.")
    day, maximum = max(replies.a_day.items(), key=lambda item: (item[1], item[0]))
    sentences = [
        "%(average)s a day on average; most, %(maximum)s, on %(day)s.",
        "Days are of the time zone %(zone)s.",
    ]
    values = {
        "average": language.number(replies.recent / period.days) if replies.recent >= period.days else "<1",
        "maximum": language.number(maximum),
        "day": language.day(day, weekday=True),
        "zone": str(period.zone),
    }
    return language.gap.join(language.gettext(sentence) % values for sentence in sentences)


def _number(row: Row, *, full_numbers: bool) -> str:
    """Return the phone number of a row, masked unless it is to be full."""
    number = row["phone_number"]
    return str(number) if full_numbers else mask(number, row.get("country_code"))
