"""The figures of the page that need receipts: what was delivered, why not, and how soon people reply."""

from dataclasses import dataclass
from datetime import date, datetime, time, timezone

from sms_source.report.figures import LISTED, Period
from sms_source.report.parts import gather
from sms_source.report.warehouse import Row, Warehouse

BUCKETS = {
    60: "1 min",
    300: "5 min",
    900: "15 min",
    3_600: "1 h",
    21_600: "6 h",
    86_400: "24 h",
    259_200: "3 days",
}
"""The upper bounds of the groups of response times, in seconds, and their names; the last one is how long a
reply is awaited."""


@dataclass(frozen=True)
class Deliveries:
    """What receipts say.

    delivered, failed: messages of the period, by UTC day.
    undated: messages that failed, of all time, for which the carrier gave no time.
    reasons: why messages failed, these included, the most frequent first: category, description, meaning
        and messages.
    """

    delivered: dict[date, int]
    failed: dict[date, int]
    undated: int
    reasons: list[Row]

    @property
    def messages(self) -> int:
        """Messages of the period."""
        return sum(self.delivered.values()) + self.failures

    @property
    def failures(self) -> int:
        """Messages of the period that failed."""
        return sum(self.failed.values())


_DELIVERIES = """
with counted as materialized (
  select
    day, report_status = 'SUCCESS' as is_delivered, category, meaning, description,
    cast(sum(messages) as bigint) as messages
  from {deliveries}
  where day between %s and %s or day is null
  group by day, report_status, category, meaning, description
)
select
  false as is_reason, day, is_delivered, null as category, null as meaning, null as description,
  cast(sum(messages) as bigint) as messages
from counted group by day, is_delivered
union all
(select true, null, false, category, meaning, description, cast(sum(messages) as bigint) as messages
from counted where not is_delivered group by category, meaning, description
order by messages desc, description limit %s)
"""
"""In one pass, as the view is a costly one: messages a day, then why they failed."""


def read_deliveries(warehouse: Warehouse, period: Period) -> Deliveries:
    """Read `deliveries`, in the period: by day, and by reason."""
    rows = warehouse.rows(_DELIVERIES, period.dates[0], period.dates[-1], LISTED)
    delivered, failed = dict.fromkeys(period.dates, 0), dict.fromkeys(period.dates, 0)
    undated = 0
    for row in rows:
        if row["is_reason"]:
            continue
        if row["day"] is not None:
            (delivered if row["is_delivered"] else failed)[row["day"]] = row["messages"]
        elif not row["is_delivered"]:
            undated = row["messages"]
    reasons = [row for row in rows if row["is_reason"]]
    reasons.sort(key=lambda row: (-row["messages"], row["description"] or ""))
    return Deliveries(delivered, failed, undated, reasons)


@dataclass(frozen=True)
class Responses:
    """Who of those reached replied, and how soon.

    buckets: replies of the period by response time, one for each of `BUCKETS`.
    guesses: of these, replies that more than one message may have caused.
    median, slow: seconds within which half and nine tenths of the replies came; None without any.
    rates: of the period, by session context, the most people first: delivered, replied, their rate, and
        opted out.
    """

    buckets: list[int]
    guesses: int
    median: float | None
    slow: float | None
    rates: list[Row]

    @property
    def replies(self) -> int:
        """Replies that a message was found for."""
        return sum(self.buckets)

    @property
    def delivered(self) -> int:
        """People reached, of the rows that are listed; who was reached on two days counts twice."""
        return sum(row["delivered"] for row in self.rates)

    @property
    def replied(self) -> int:
        """People who replied, likewise."""
        return sum(row["replied"] for row in self.rates)


def read_responses(warehouse: Warehouse, period: Period) -> Responses:
    """Read `reply_attributions` and `response_rates`."""
    first, last = period.dates[0], period.dates[-1]
    begin, end = (bound.astimezone(timezone.utc) for bound in period.bounds)
    answers = gather(
        warehouse,
        {
            "times": "select attributions.response_seconds, attributions.candidates > 1 as is_guess "  # noqa: S608
            "from {reply_attributions} as attributions "
            "join {unique_replies} as replies on replies.reply_id = attributions.reply_id "
            f"where replies.reply_time >= timestamptz '{begin}' and replies.reply_time < timestamptz '{end}'",
            "rates": "select session_context, cast(sum(delivered) as bigint) as delivered, "  # noqa: S608 - dates
            "cast(sum(replied) as bigint) as replied, cast(sum(opted_out) as bigint) as opted_out "
            "from {response_rates} as response_rates "
            f"where day between date '{first}' and date '{last}' group by session_context",
        },
        since=min(begin, datetime.combine(first, time(), tzinfo=timezone.utc)),
    )
    counts = ", ".join(
        f"count(*) filter (where response_seconds <= {bound}) as bucket_{bound}" for bound in BUCKETS
    )
    row = warehouse.row(
        f"select {counts}, count(*) filter (where is_guess) as guesses, "  # noqa: S608 - numbers
        "percentile_cont(array[0.5, 0.9]) within group (order by response_seconds) as times "
        f"from {answers['times']} as times"
    )
    median, slow = row["times"] or (None, None)
    up_to = [row[f"bucket_{bound}"] for bound in BUCKETS]
    rates = warehouse.rows(
        "select session_context, cast(sum(delivered) as bigint) as delivered, "  # noqa: S608 - our own names
        "cast(sum(replied) as bigint) as replied, cast(sum(opted_out) as bigint) as opted_out, "
        "cast(sum(replied) as double precision) / sum(delivered) as rate "
        f"from {answers['rates']} as rates "
        "group by session_context order by 2 desc, session_context limit %s",
        LISTED,
    )
    return Responses(
        buckets=[count - before for before, count in zip([0, *up_to], up_to, strict=False)],
        guesses=row["guesses"],
        median=median,
        slow=slow,
        rates=rates,
    )
