"""The costly figures: asked of the period, of a part of the numbers at a time, and in little memory."""

import io
import re
from datetime import timedelta, timezone

import pytest

from sms_source.report import export_csv, parts, warehouse
from sms_source.report.figures import Period
from sms_source.report.opt_outs import keep_opt_outs, read_possible_opt_outs
from sms_source.report.receipts import read_responses
from sms_source.report.warehouse import open_warehouse
from tests.report import data
from tests.report.conftest import Report

LONG_AGO = data.NOW - timedelta(days=400)


@pytest.mark.long
def test_the_page_is_the_same_in_one_part_and_in_many(
    reported: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How much memory there is for a page is nothing that its figures may tell."""
    source = reported("story")
    whole = source.page()
    monkeypatch.setattr(parts, "ROWS", 100)
    assert source.page() == whole
    assert 'id="responses"' in whole


def test_the_parts_say_what_the_dataset_s_views_say(
    reported: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attribution once, and each person in the sums of one part."""
    monkeypatch.setattr(parts, "ROWS", 100)
    views = {
        "times": "select response_seconds, candidates from {reply_attributions}",
        "rates": "select day, session_context, delivered, replied from {response_rates} as rates",
    }
    with open_warehouse(reported("story").pipeline) as warehouse:
        answers = parts.gather(warehouse, views, LONG_AGO)
        assert answers == {"times": "temp.times", "rates": "temp.rates"}
        for name, columns in (("times", "response_seconds, candidates"), ("rates", "day, session_context")):
            sums = f"select {columns}, count(*) as rows from"
            if name == "rates":
                sums = f"select {columns}, sum(delivered) as delivered, sum(replied) as replied from"
            found, expected = (
                warehouse.rows(f"{sums} {relation} as answers group by {columns} order by {columns}")
                for relation in (answers[name], f"({views[name]})")
            )
            assert found == expected
            assert len(found) > 10


def test_response_times_are_of_the_period(reported: Report) -> None:
    """An older reply does not count; one whose message is from before the period does."""
    ago = timedelta(days=40)
    old = {"phone_number": "+8612000000001"}
    source = reported(
        replies=[data.a_reply(), data.a_reply(ago=ago, **old)],
        receipts=[
            data.a_receipt(ago=timedelta(hours=6)),
            data.a_receipt(ago=ago + timedelta(hours=23), **old),
        ],
    )
    with open_warehouse(source.pipeline) as warehouse:
        found = {
            days: read_responses(warehouse, Period(data.NOW, days, timezone.utc)) for days in (30, 41, 60)
        }
    assert {days: (responses.replies, responses.delivered) for days, responses in found.items()} == {
        30: (1, 1),
        41: (2, 1),
        60: (2, 2),
    }


@pytest.mark.long
@pytest.mark.parametrize("days", [3, 20, 300])
def test_possible_opt_outs_of_the_period_are_those_of_the_view(reported: Report, days: int) -> None:
    """Whoever opted out before the period is none of them either."""
    source = reported("story")
    period = Period(data.NOW, days, timezone.utc)
    expected = source.query(
        "select reply_id from sms.possible_opt_outs "
        f"where reply_time >= '{period.bounds[0]}' order by reply_time desc, reply_id"
    )
    with open_warehouse(source.pipeline) as warehouse:
        assert warehouse.has_view_as_here("possible_opt_outs")
        found = read_possible_opt_outs(warehouse, period, keep_opt_outs(warehouse))
    assert found.total == len(expected) > 0
    assert [(row["reply_id"],) for row in found.rows] == expected[: len(found.rows)]


@pytest.mark.long
def test_a_query_that_needs_more_memory_gets_it(reported: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is there to be polite; a page or a list that is not made is worth nothing."""
    source = reported("story")

    def results() -> tuple[str, list[str]]:
        lines = io.StringIO()
        export_csv(source.pipeline, "opt_outs", lines)
        return source.page(), sorted(lines.getvalue().splitlines())

    whole = results()
    monkeypatch.setattr(warehouse, "MEMORY", "3MB")
    assert results() == whole


def test_a_view_of_somebody_s_own_is_asked_as_it_stands(reported: Report) -> None:
    """The page says what the dataset's view says, and not what this version's would."""
    source = reported("story")
    source.query(
        "create or replace view sms.response_rates as select current_date as day, 'mine' as session_context, "
        "10 as delivered, 5 as replied, 0 as opted_out where false",
        read_only=False,
    )
    with open_warehouse(source.pipeline) as warehouse:
        assert not warehouse.has_view_as_here("response_rates")
        assert warehouse.has_view_as_here("reply_attributions")
    assert not re.search(r'id="responses"', source.page())
