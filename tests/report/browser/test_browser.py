"""The page in a real browser: what it asks for, what runs, what is read on it, and by whom it can be."""

import io
import re
import socket
from collections.abc import Callable
from typing import Any

import dlt
import pytest
from axe_playwright_python.sync_playwright import Axe

from sms_source.report import export_csv, write_report
from tests.postgres.conftest import PostgresWarehouse
from tests.report import data
from tests.report.browser.conftest import Watched
from tests.report.conftest import Report
from tests.views.warehouse import TABLES, Warehouse

Shown = Callable[..., Watched]

SECTION = "section[aria-labelledby='{}']"


def table(shown: Watched, section: str, number: int = 0) -> list[list[str]]:
    """Return the rows of a section's table, as a person reads them: the lines of each cell."""
    rows: list[list[str]] = (
        shown.page.locator(f"{SECTION.format(section)} table")
        .nth(number)
        .evaluate(
            "table => [...table.tBodies[0].rows].map("
            "row => [...row.cells].map(cell => (cell.innerText || cell.textContent).trim()))"
        )
    )
    return rows


def figures(text: str) -> list[int]:
    """Return the whole numbers in a text."""
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


@pytest.mark.parametrize("story", ["story", "hostile"])
def test_no_request_goes_out_and_no_script_runs(reported: Report, shown: Shown, story: str) -> None:
    """Whatever people wrote, the page is its file and nothing else."""
    watched = shown(reported(story).page(full_numbers=True))
    watched.page.wait_for_load_state("networkidle")
    assert watched.requests == [watched.page.url]
    assert not watched.messages
    assert watched.page.evaluate("document.scripts.length") == 0
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name)"
    assert [name for name in watched.page.evaluate(loaded) if not name.startswith("data:")] == []


def test_the_policy_would_stop_what_slips_through(reported: Report, shown: Shown) -> None:
    """Were a text ever taken for markup, the browser would still run nothing and ask for nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003 - it has no name
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        injected = (
            f"<script>document.title = 'ran'</script><script src='{url}'></script>"
            f"<img src='{url}' onerror='document.title = 1'><link rel='stylesheet' href='{url}'>"
            f"<style>body {{ background: url({url}) }}</style>"
        )
        watched = shown(reported("empty").page().replace("<main>", f"<main>{injected}"))
        watched.page.wait_for_load_state("networkidle")
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert watched.page.title().startswith("Replies to SMS")
    assert " ".join(watched.messages).count("Content Security Policy") >= 5


def test_hostile_text_is_read_as_it_was_written(reported: Report, shown: Shown) -> None:
    """A person sees the very characters of the text, and the rest of the page unharmed."""
    watched = shown(reported("hostile").page())
    assert data.HOSTILE in [row[0].split("\n")[0] for row in table(watched, "campaigns")]
    texts = [row[0] for row in table(watched, "texts")]
    assert "{{ 7 * 7 }} {% raw %}" in texts
    assert "</td></table></style><style>* { display: none }" in texts
    assert any(text.endswith("… and 9,720 more characters") for text in texts)
    assert watched.page.locator("footer").is_visible()
    width = "document.documentElement.scrollWidth"
    assert watched.page.evaluate(width) == 1280
    assert shown(reported("hostile").page(), width=390).page.evaluate(width) == 390


def test_a_text_that_turns_direction_turns_alone(reported: Report, shown: Shown) -> None:
    """A right-to-left override in a text must not turn the figures beside it."""
    watched = shown(reported(replies=[data.a_reply("\u202eabc", sign_name="\u202ename")]).page())
    cell = watched.page.locator(SECTION.format("texts") + " tbody tr").first
    text, number = cell.locator("th").bounding_box(), cell.locator("td").first.bounding_box()
    assert text
    assert number
    assert text["x"] < number["x"]
    assert watched.page.locator("bdi").evaluate_all(
        "all => all.every(one => getComputedStyle(one).unicodeBidi.startsWith('isolate'))"
    )
    assert "app 1400006666" in watched.page.locator(SECTION.format("campaigns")).inner_text()


def test_the_figures_are_those_of_the_views(reported: Report, shown: Shown) -> None:
    """What a person reads on the page is what the views say, asked apart from the report's own queries."""
    source = reported("story")
    watched, query = shown(source.page()), source.query
    text = watched.page.locator("body").inner_text()
    ((total, people),) = query("select count(*), count(distinct phone_number) from sms.unique_replies")
    head = watched.page.locator("dl.figures > div").all_inner_texts()
    opt_outs = dict(query("select blocked_by_tencent, count(*) from sms.opt_outs group by 1"))
    assert figures(head[0]) == [opt_outs[False], opt_outs[True]]
    assert figures(head[1]) == [total, total]
    assert figures(head[2]) == [people, opt_outs[False] + opt_outs[True]]
    assert figures(watched.page.locator("h1").inner_text()) == [total, 30]

    ahead = query(
        "select count(*), min(honour_by)::date from sms.opt_outs "
        f"where not blocked_by_tencent and honour_by > '{data.NOW}'"
    )
    assert f"{ahead[0][0]} have a deadline ahead" in text
    assert f"The next deadline is {ahead[0][1]:%a} {ahead[0][1].day} {ahead[0][1]:%b}" in text

    shown_days = [figures(row[1]) + figures(row[2]) for row in table(watched, "days")]
    days = dict(query("select reply_time::date, count(*) from sms.unique_replies group by 1"))
    opted_out = dict(query("select opted_out_at::date, count(*) from sms.opt_outs group by 1"))
    dates = [
        date
        for (date,) in query(
            "select unnest(generate_series(date '2026-06-04', date '2026-07-03', interval 1 day))::date"
        )
    ]
    assert shown_days == [[days.get(date, 0), opted_out.get(date, 0)] for date in dates]

    hours = {(row[0], row[1]): row[2] for row in query("select weekday, hour, replies from sms.reply_hours")}
    assert [[int(cell) for cell in row[1:]] for row in table(watched, "hours")] == [
        [hours.get((weekday, hour), 0) for weekday in range(1, 8)] for hour in range(24)
    ]

    campaigns = query(
        "select sign_name, replies, people, opt_out_share from sms.campaigns order by replies desc"
    )
    assert [
        [row[0].split("\n")[0], *figures(row[1]), *figures(row[2])] for row in table(watched, "campaigns")
    ] == [list(row[:3]) for row in campaigns]
    for row, campaign in zip(table(watched, "campaigns"), campaigns, strict=True):
        assert float(row[3].rstrip("%")) == pytest.approx(campaign[3] * 100, abs=0.5)

    answers = dict(query("select keyword, people from sms.answers where extend_code = '102'"))
    answered = [table(watched, "answers", number) for number in range(3)]
    survey = next(rows for rows in answered if rows[0][0] == "5")
    assert {row[0]: int(row[1]) for row in survey}.items() <= answers.items()

    possible = query("select count(*) from sms.possible_opt_outs")[0][0]
    assert f"Another {possible} replies read like one" in text
    delivered = query(
        "select sum(messages), sum(messages) filter (where report_status = 'FAIL') from sms.deliveries"
    )
    assert f"Carriers reported on {delivered[0][0]:,} messages" in text
    assert f"{delivered[0][1]} of them" in text
    reasons = query(
        "select sum(messages) from sms.deliveries where report_status = 'FAIL' "
        "group by description order by 1 desc"
    )
    assert [tuple(figures(row[1])) for row in table(watched, "deliveries", 1)] == reasons
    rates = query(
        "select session_context, sum(delivered), sum(opted_out) from sms.response_rates "
        "group by 1 order by 2 desc"
    )
    rows = table(watched, "responses", 1)
    assert [(row[0], *figures(row[1]), *figures(row[2])) for row in rows] == rates
    attributed = query("select count(*) from sms.reply_attributions")[0][0]
    assert sum(int(row[1].replace(",", "")) for row in table(watched, "responses")) == attributed
    in_doubt = query("select count(*), sum(at_risk) from sms.pulls_in_doubt")[0]
    assert f"{in_doubt[0]} pulls in doubt: at most {in_doubt[1]} records lost" in text
    late = query("select count(*) from sms.late_replies")[0][0]
    assert re.search(rf"\b{late} repl(y|ies) of the last 30 days", text)


def test_charts_draw_the_same_figures(reported: Report, shown: Shown) -> None:
    """A bar's height is its number's: the picture must not say what the table does not."""
    watched = shown(reported("story").page())
    counts = [figures(row[1])[0] for row in table(watched, "days")]
    bars = watched.page.locator(SECTION.format("days") + " svg[data-width=wide] .mark-rect").first
    heights = bars.locator("path").evaluate_all("all => all.map(one => one.getBBox().height)")
    assert len(heights) == len(counts)
    highest = max(counts)
    assert heights == pytest.approx([count / highest * max(heights) for count in counts], abs=0.6)


VIEWS: dict[str, dict[str, Any]] = {
    "wide": {"width": 1280},
    "phone": {"width": 390},
    "dark": {"width": 1280, "color_scheme": "dark"},
    "dark phone": {"width": 390, "color_scheme": "dark"},
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("story", "language"), [("story", "en"), ("story", "zh"), ("campaigns", "en"), ("empty", "zh")]
)
def test_it_is_accessible(reported: Report, shown: Shown, story: str, language: str, view: str) -> None:
    """axe-core finds nothing that a person who sees little, or hears the page, would stumble over."""
    options = VIEWS[view]
    watched = shown(reported(story).page(language=language), **options)
    watched.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    results = Axe().run(watched.page)
    assert results.violations_count == 0, results.generate_report()
    assert results.response["passes"]
    assert watched.page.evaluate("document.documentElement.scrollWidth") == options["width"]


def test_a_phone_gets_charts_of_its_own(reported: Report, shown: Shown) -> None:
    """On a phone the labels of a wide chart could not be read: another one is shown, at its size."""
    html = reported("story").page()
    for width, visible in ((1280, "wide"), (390, "narrow")):
        charts = shown(html, width=width).page.locator("svg")
        widths = charts.evaluate_all(
            "all => all.filter(one => one.checkVisibility()).map(one => one.dataset.width)"
        )
        assert widths == [visible] * (charts.count() // 2)
        sizes = charts.locator("text").evaluate_all(
            "all => all.filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect().height)"
        )
        assert min(sizes) > 10


def test_it_prints_in_light_and_on_few_pages(reported: Report, shown: Shown) -> None:
    """Printed from a dark screen it is black on white, with its bars, and without what only folds out."""
    page = shown(reported("story").page(), color_scheme="dark").page
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(20, 22, 27)"
    page.emulate_media(media="print")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert page.locator("details").first.is_hidden()
    assert page.pdf(format="A4").count(b"/Type /Page\n") <= 10


def test_postgres_gives_the_same_page(reported: Report, postgres: PostgresWarehouse) -> None:
    """The views say the same in PostgreSQL, and so do the page and its CSV: to the letter."""
    for story in ("story", "hostile"):
        source = reported(story)
        warehouse = Warehouse("postgres", dataset=f"sms_{story}", folder=source.database.with_suffix(""))
        rows = {
            table: [
                dict(zip(columns, row, strict=True))
                for row in source.query(f"select {', '.join(columns)} from sms.{table}")
            ]
            for table, columns in ((name, list(columns)) for name, columns in TABLES.items())
        }
        data.fill(warehouse, rows)
        pipeline = dlt.pipeline("reader_of_postgres", destination="postgres", dataset_name=f"sms_{story}")
        path = source.database.with_suffix(".postgres.html")
        write_report(pipeline, path, now=data.NOW)
        assert path.read_text().replace(f"sms_{story}", "sms") == source.page()
        for view in ("opt_outs", "unique_replies"):
            exported = [io.StringIO(), io.StringIO()]
            for pipeline_of, stream in zip((pipeline, source.pipeline), exported, strict=True):
                export_csv(pipeline_of, view, stream)
            ours, theirs = (sorted(stream.getvalue().splitlines()) for stream in exported)
            assert ours == theirs
