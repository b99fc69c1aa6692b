"""The figures that need replies and receipts matched: asked of a part of the numbers at a time."""

import re

import pytest

from sms_source.report import parts
from sms_source.report.warehouse import open_warehouse
from tests.report.conftest import Report


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
        answers = parts.gather(warehouse, views)
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
