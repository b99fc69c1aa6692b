"""The page: what is on it, what is not, and how its file is written."""

import os
import re
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from sms_source.errors import ConfigurationError, SmsSourceError
from sms_source.report import write_report
from tests.report import data
from tests.report.conftest import WITHOUT_RECEIPTS, Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Markup(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.pieces: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count it."""
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.pieces.append(data)

    @property
    def text(self) -> str:
        """All that can be read, and the style."""
        return " ".join(" ".join(self.pieces).split())


def test_the_page_asks_for_nothing(reported: Report) -> None:
    """It goes by mail and is opened anywhere: no script, no request, and a policy that forbids both."""
    page = reported("story").page()
    markup = Markup(page)
    assert not markup.tags.keys() & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "a",
        "image",
        "use",
    }
    assert markup.attributes.count(("content", POLICY)) == 1
    assert {value for name, value in markup.attributes if name in {"href", "src"}} == {"data:,"}
    assert not [name for name, _ in markup.attributes if name.startswith("on")]
    assert not re.search(r"@import|url\(", page)


def test_the_file_is_for_its_owner_alone(reported: Report, own_folders: Path) -> None:
    """It holds what people wrote, so a careless umask must not open it, nor a careful one close it."""
    source = reported("empty")
    for umask in (0o000, 0o777):
        previous = os.umask(umask)
        try:
            write_report(source.pipeline, own_folders / "page.html")
        finally:
            os.umask(previous)
        assert stat.S_IMODE((own_folders / "page.html").stat().st_mode) == 0o600
    assert not list(own_folders.glob(".*draft"))


def test_a_page_that_cannot_be_written_leaves_what_was_there(reported: Report, own_folders: Path) -> None:
    """Yesterday's page is better than half of today's."""
    source = reported("empty")
    (own_folders / "page").mkdir()
    (own_folders / "page" / "kept").touch()
    with pytest.raises(SmsSourceError, match=r"can't be written to .*page"):
        write_report(source.pipeline, own_folders / "page")
    with pytest.raises(SmsSourceError, match="No such file or directory"):
        write_report(source.pipeline, own_folders / "absent" / "page.html")
    assert (own_folders / "page" / "kept").exists()
    assert not list(own_folders.glob(".*draft"))


@pytest.mark.long
def test_numbers_are_masked_unless_asked_for(reported: Report) -> None:
    """Whoever decides needs no numbers; whoever acts can have them."""
    american: dict[str, Any] = {"phone_number": "+12025550123", "country_code": "1"}
    source = reported(replies=[data.a_reply("STOP", **american), data.a_reply("call 13812345678 please")])
    masked, full = source.page(), source.page(full_numbers=True)
    assert "+1202****123" in masked
    assert "call **** please" in masked
    assert not re.search("5550123|12345678", masked)
    assert "+12025550123" in full
    assert "call 13812345678 please" in full
    assert "full numbers" in full


@pytest.mark.long
def test_hostile_text_stays_text(reported: Report) -> None:
    """Anybody can send a text to the number: it is read by whoever decides, in a browser."""
    plain, markup = Markup(reported("story").page()), Markup(reported("hostile").page())
    assert markup.tags["style"] == markup.tags["meta"] - 4 == 1
    assert not markup.tags.keys() - plain.tags.keys()
    text = markup.text
    assert text.count(data.HOSTILE) > 8
    assert "{{ 7 * 7 }} {% raw %}" in text
    assert "</td></table></style><style>* { display: none }" in text
    assert "… and 9,720 more characters" in text
    assert "\u2401\u241b[31mred\u2421" in text
    assert "(empty)" in text


def test_an_empty_warehouse_says_so(reported: Report) -> None:
    """The first page is made before the first reply, and must not look like a failure."""
    source = reported("empty")
    page = source.page()
    assert "No replies yet" in page
    assert "No pull is in doubt." in page
    assert "<svg" not in page
    assert "还没有回复" in source.page(language="zh")


def test_pulls_in_doubt_show_without_a_reply(reported: Report) -> None:
    """Where nothing arrived, what may have been lost matters most."""
    page = reported(pulls=[data.a_pull_in_doubt(), data.a_pull_in_doubt(timedelta(days=9))]).page()
    assert "2 pulls in doubt: at most 200 records lost, 0 recovered" in page
    assert "8 Jul 09:30" not in page
    assert re.search(r'class="urgent">9 Jul 09:30<', page)
    assert re.search(r"1 Jul 09:30<small>over</small>", page)


def test_rejected_and_late_records_are_told(reported: Report) -> None:
    """Figures that leave something out say how much."""
    late = data.a_reply(pulled_at=data.NOW, ago=timedelta(hours=4))
    text = Markup(
        reported(
            replies=[late, data.a_reply(ago=timedelta(days=40))],
            rejected_records=[data.a_rejected_record(), data.a_rejected_record(timedelta(days=40))],
        ).page()
    ).text
    assert "1 record rejected in the last 30 days" in text
    assert "ReplyTime is not an integer" in text
    assert (
        "1 reply of the last 30 days was loaded more than an hour after it was written, 4 hours at most."
        in text
    )


def test_without_receipts_their_sections_are_left_out(reported: Report) -> None:
    """Receipts are off by default; the page says why there is no delivery on it."""
    reply = [data.a_reply()]
    page = reported(tables=WITHOUT_RECEIPTS, replies=reply).page()
    assert "Deliveries and response times are left out: no receipts are loaded." in page
    assert 'id="deliveries"' not in page
    assert "the dataset does not have it" not in page


def test_receipts_alone_have_a_page(reported: Report) -> None:
    """A job that loads no replies sees what was delivered, why not, and what is left out."""
    receipts = [data.a_receipt("FAIL", description="TUIDING"), data.a_receipt()]
    source = reported(tables=("receipts", "pulls", "rejected_records"), receipts=receipts)
    text = Markup(source.page()).text
    assert "2 receipts in the last 30 days" in text
    assert "TUIDING 1 100%" in text
    assert "Opt-outs, campaigns and answers are left out: no replies are loaded." in text
    assert "the dataset does not have it" not in text
    assert "共收到 2 条回执" in source.page(language="zh")


def test_receipts_alone_without_a_row_say_so(reported: Report) -> None:
    """The first page of such a job must not look like a failure either."""
    page = reported("empty", tables=("receipts", "pulls", "rejected_records")).page()
    assert "No receipts yet" in page
    assert "No pull is in doubt." in page
    assert "<svg" not in page


@pytest.mark.long
def test_a_view_that_is_missing_is_named(reported: Report) -> None:
    """A view that could not be made costs its section, and the reader knows."""
    source = reported("story")
    source.query("drop view sms.campaigns", read_only=False)
    page = source.page()
    assert "Left out, as the dataset does not have it: campaigns." in page
    assert 'id="campaigns"' not in page
    assert 'id="opt-outs"' in page


def test_opt_outs_come_by_their_deadlines(reported: Report) -> None:
    """The soonest is on top, which is the one most overdue; what Tencent blocks is only counted."""
    american = {"country_code": "1", "sign_name": "Shop"}
    times = {
        "+12025550101": 11,
        "+12025550102": 9,
        "+12025550103": 20,
        "+447700900104": 1,
        "+447700900105": 3,
    }
    replies = [
        data.a_reply("STOP", timedelta(days=days), phone_number=number, **american)
        for number, days in times.items()
    ]
    for row in replies[3:]:
        row["country_code"] = "44"
    replies.append(data.a_reply("TD", phone_number="+8612000000009"))
    page = reported(replies=replies).page(full_numbers=True)
    due, ahead = ["+12025550103", "+447700900105", "+447700900104"], ["+12025550101", "+12025550102"]
    places = [page.index(f">{number}<") for number in (*due, *ahead)]
    assert places == sorted(places)
    assert ">+8612000000009<" not in page
    text = Markup(page).text
    assert "5 opt-outs are yours to honour" in text
    assert "Of 6 in all, 3 are due now, 2 have a deadline ahead, and Tencent Cloud blocks 1 itself." in text
    assert "The next deadline is Mon 6 Jul" in text


def test_the_most_overdue_is_on_the_page(reported: Report) -> None:
    """However many there are: the list ends with the newest of those that are due."""
    rows = [
        data.a_reply("STOP", timedelta(days=days), phone_number=f"+4477009001{days:02}", country_code="44")
        for days in range(1, 20)
    ]
    page = reported(replies=rows).page(full_numbers=True)
    assert re.findall(r">\+4477009001(\d\d)<", page)[:8] == [str(days) for days in range(19, 11, -1)]


def test_days_are_those_of_the_time_zone(reported: Report) -> None:
    """A reply at 23:30 UTC was written tomorrow in Shanghai."""
    source = reported(replies=[data.a_reply(ago=timedelta(hours=10))])
    assert "most, 1, on Thu 2 Jul" in source.page()
    assert "most, 1, on Fri 3 Jul" in source.page(time_zone="Asia/Shanghai")


def test_a_period_has_whole_days(reported: Report) -> None:
    """A reply belongs to the period by its day, and one from outside is only in the total."""
    source = reported(
        replies=[
            data.a_reply(ago=timedelta(days=days, hours=9), phone_number=f"+86{days}") for days in range(5)
        ]
    )
    text = Markup(source.page(days=3)).text
    assert "3 replies in the last 3 days" in text
    assert "5 in all" in text
    assert "1 reply in the last day" in Markup(source.page(days=1)).text


def test_spellings_of_a_text_count_together(reported: Report) -> None:
    """What people wrote most is no list of capitals and full stops."""
    texts = ["Stop", "stop", "STOP!", "stop", "hello", "a text of more than twenty letters, in full"]
    text = Markup(reported(replies=[data.a_reply(text) for text in texts]).page()).text
    assert "stop 4 67% hello 1 17% a text of more than twenty letters, in full 1 17%" in text


def test_failures_without_a_time_are_among_the_reasons(reported: Report) -> None:
    """What the time of a failure means is not documented: without one it must not vanish."""
    receipts = [data.a_receipt("FAIL", user_receive_time=None, description="TUIDING"), data.a_receipt()]
    text = Markup(reported(receipts=receipts, replies=[data.a_reply()]).page()).text
    assert "Carriers reported on 1 messages in the last 30 days; 0 of them (0%) failed." in text
    assert "1 more report of a failure has no time; it counts among the reasons." in text
    assert "TUIDING 1 100%" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "fr"}, "choose en or zh"),
        ({"days": 0}, "1 to 365 days, not 0"),
        ({"days": 366}, "1 to 365 days, not 366"),
        ({"time_zone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone"),
        ({"time_zone": "../etc"}, "is no time zone"),
    ],
)
def test_a_wrong_option_is_named(reported: Report, options: dict[str, object], message: str) -> None:
    """A person is told what was wrong and what would be right, before anything is opened."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        reported("empty").page(**options)


def test_what_is_not_there_is_named(own_folders: Path) -> None:
    """In the wrong directory, or with the wrong dataset, no empty page says that nobody replied."""
    path = own_folders / "warehouse.duckdb"

    def write(dataset: str = "sms") -> None:
        pipeline = dlt.pipeline(
            "reader", destination=dlt.destinations.duckdb(str(path)), dataset_name=dataset
        )
        write_report(pipeline, own_folders / "page.html")

    with pytest.raises(ConfigurationError, match=r"There is no database .*warehouse.duckdb: load first"):
        write()
    assert not path.exists()
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema sms; create table sms.replies (reply_id varchar)")
    with pytest.raises(ConfigurationError, match="no view unique_replies"):
        write()
    with pytest.raises(ConfigurationError, match="There is no dataset 'other'"):
        write("other")


@contextmanager
def opened_elsewhere(database: Path, *, read_only: bool) -> Iterator[None]:
    """Another process that has a DuckDB file open."""
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'True'); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(database), str(read_only)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        yield
        process.communicate()


def test_the_database_may_be_read_meanwhile(reported: Report) -> None:
    """A notebook that looks at the replies and a page about them don't exclude each other."""
    source = reported("empty")
    with opened_elsewhere(source.database, read_only=True):
        assert "No replies yet" in source.page()


def test_a_load_in_the_way_is_told(reported: Report) -> None:
    """DuckDB has one writer and then no reader: a person is told to wait, not shown a stack."""
    source = reported("empty")
    with (
        opened_elsewhere(source.database, read_only=False),
        pytest.raises(SmsSourceError, match="Another process is writing into"),
    ):
        source.page()
    assert "No replies yet" in source.page()


@pytest.mark.long
def test_a_page_leaves_the_warehouse_alone(reported: Report) -> None:
    """A report only reads: not a byte of the database changes, and no thread is left behind."""
    source = reported("story")
    before, threads = source.database.read_bytes(), threading.active_count()
    source.page()
    assert source.database.read_bytes() == before
    assert threading.active_count() == threads
    assert not source.database.with_suffix(".duckdb.wal").exists()
