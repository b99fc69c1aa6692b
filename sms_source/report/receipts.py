"""The figures of the page that need receipts: what was delivered, why not, and how soon people reply."""

from dataclasses import dataclass
from datetime import date

from sms_source.report.figures import LISTED, Period
from sms_source.report.warehouse import Row, Warehouse

BUCKETS = (60, 300, 900, 3_600, 21_600, 86_400, 259_200)
"""The upper bounds of the groups of response times, in seconds; the last one is how long replies are awaited."""


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


def read_deliveries(warehouse: Warehouse, period: Period) -> Deliveries:
    """`deliveries`, in the period: by day, and by reason."""
    first, last = period.dates[0], period.dates[-1]
    by_day = warehouse.rows(
        "select day, sum(messages) as messages, "
        "sum(case when report_status = 'SUCCESS' then messages else 0 end) as delivered "
        "from {deliveries} where day between %s and %s group by day",
        *(first, last),
    )
    delivered, failed = dict.fromkeys(period.dates, 0), dict.fromkeys(period.dates, 0)
    for row in by_day:
        delivered[row["day"]] = int(row["delivered"])
        failed[row["day"]] = int(row["messages"]) - int(row["delivered"])
    undated = warehouse.row(
        "select coalesce(sum(messages), 0) as messages from {deliveries} "
        "where day is null and report_status <> 'SUCCESS'"
    )
    reasons = warehouse.rows(
        "select category, meaning, description, sum(messages) as messages from {deliveries} "
        "where (day between %s and %s or day is null) and report_status <> 'SUCCESS' "
        "group by category, meaning, description order by 4 desc, description limit %s",
        *(first, last, LISTED),
    )
    return Deliveries(delivered, failed, int(undated["messages"]), reasons)


@dataclass(frozen=True)
class Responses:
    """Who of those reached replied, and how soon.

    buckets: replies by response time, one for each of `BUCKETS`; of all time.
    guesses: of these, replies that more than one message may have caused.
    median, slow: seconds within which half and nine tenths of the replies came; None without any.
    rates: of the period, by session context, the most people first: delivered, replied and opted out.
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
    """`reply_attributions` and `response_rates`."""
    counts = ", ".join(
        f"count(*) filter (where response_seconds <= {bound}) as bucket_{bound}" for bound in BUCKETS
    )
    row = warehouse.row(
        f"select {counts}, count(*) filter (where candidates > 1) as guesses, "  # noqa: S608 - numbers
        "percentile_cont(0.5) within group (order by response_seconds) as median, "
        "percentile_cont(0.9) within group (order by response_seconds) as slow from {reply_attributions}"
    )
    up_to = [row[f"bucket_{bound}"] for bound in BUCKETS]
    rates = warehouse.rows(
        "select session_context, sum(delivered) as delivered, sum(replied) as replied, "
        "sum(opted_out) as opted_out from {response_rates} where day between %s and %s "
        "group by session_context order by 2 desc, session_context limit %s",
        *(period.dates[0], period.dates[-1], LISTED),
    )
    return Responses(
        buckets=[count - before for before, count in zip([0, *up_to], up_to, strict=False)],
        guesses=row["guesses"],
        median=row["median"],
        slow=row["slow"],
        rates=[
            {
                "session_context": rate["session_context"],
                **{name: int(rate[name]) for name in ("delivered", "replied", "opted_out")},
            }
            for rate in rates
        ],
    )
