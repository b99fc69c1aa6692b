"""The README is what a newcomer lives by, so what it shows is run; in both languages."""

import re
import textwrap

import duckdb
import pytest
import tomlkit

from sms_source.cli import main
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply
from tests.helpers.pages import blocks, text_of

PAGES = ("README.md", "README.zh-CN.md")

Capture = pytest.CaptureFixture[str]


def shape(text: str) -> list[str]:
    """Lines of output without what differs from run to run: numbers, times and folders."""
    lines = [re.sub(r"\S*/", "", line.strip()) for line in text.splitlines()]
    shapes = [re.sub(r"[\d,.]+|days?|hours?|seconds?|minutes?", "#", line) for line in lines]
    return [line for line in shapes if "refused for the account's rate" not in line]


def test_it_is_short_enough_to_be_read() -> None:
    """What is longer belongs into docs."""
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_its_python_runs(
    page: str, configured: SimulatorProcess, warehouse: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page, in an empty folder, against the simulator."""
    configured.enqueue(APP, [a_reply()])
    for code in blocks(text_of(page), "python"):
        exec(compile(code, page, "exec"), {})  # noqa: S102 - our own page
    with duckdb.connect("sms_replies.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from sms.replies").fetchall() == [(1,)]


def test_its_demo_prints_what_the_page_shows_and_its_queries_find_something(job: Job) -> None:
    """But for the numbers that differ from run to run; the demo has no pull in doubt."""
    out = job("--demo")[1]
    for page in PAGES:
        (shown,) = (block for block in blocks(text_of(page), "console") if block.startswith("$ make demo"))
        assert shape(out) == shape(shown)[2:]
    with duckdb.connect("sms_replies_demo.duckdb") as connection:
        for page in PAGES:
            for query in blocks(text_of(page), "sql"):
                rows = connection.execute(query).fetchall()
                assert bool(rows) == ("in_doubt" not in query), query


def test_its_check_prints_what_the_page_shows(configured: SimulatorProcess, capsys: Capture) -> None:
    """Line by line."""
    main(["check"])
    found = shape(capsys.readouterr().out)
    for page in PAGES:
        (shown,) = (block for block in blocks(text_of(page), "console") if "tencent-sms check" in block)
        assert found == shape(shown)[1:]


def test_its_quiet_run_prints_what_the_page_shows(configured: SimulatorProcess, capsys: Capture) -> None:
    """The output that a scheduler's log will mostly hold."""
    main(["load"])
    capsys.readouterr()
    main(["load"])
    found = shape(capsys.readouterr().out)
    for page in PAGES:
        (shown,) = (block for block in blocks(text_of(page), "console") if "No new replies" in block)
        assert found == shape(shown)[1:]


def test_every_option_is_on_the_page_of_options_with_its_default() -> None:
    """No option is hidden, none is invented."""
    page = text_of("docs/configuration.md")
    table = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", page, re.MULTILINE))
    options = set(SmsSourceConfiguration.get_resolvable_fields()) - {"credentials"}
    assert options <= set(table)
    for option in options:
        default = getattr(SmsSourceConfiguration, option)
        if default not in (None, ""):
            shown = str(default).lower() if isinstance(default, bool) else f"{default}"
            assert table[option] == (f"{default:g}" if isinstance(default, float) else shown), option
    for field in TencentCloudCredentials.get_resolvable_fields():
        assert f".{field}`" in page


def test_every_table_and_column_is_on_the_page(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lands is what the page promises."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", '["replies", "receipts"]')
    job()
    with duckdb.connect("sms_replies.duckdb") as connection:
        columns = connection.execute(
            "select column_name from information_schema.columns where table_schema = 'sms' "
            "and table_name in ('replies', 'receipts', 'pulls', 'rejected_records')"
        ).fetchall()
    assert {column for (column,) in columns} <= set(re.findall(r"`(\w+)`", text_of("README.md")))


def test_its_block_of_configuration_can_be_pasted_into_the_file_that_is_there() -> None:
    """A second section of one name would make the file unreadable."""
    for page in PAGES:
        (block,) = blocks(text_of(page), "toml")
        file = tomlkit.parse(text_of(".dlt/config.toml") + "\n" + textwrap.dedent(block)).unwrap()
        assert file["sources"]["sms_source"] == {"sms_sdk_app_ids": ["1400006666"]}


def test_the_file_of_configuration_shows_every_option() -> None:
    """Those that are secrets stand in the example of the other file."""
    shown = set(re.findall(r"^# (\w+) = ", text_of(".dlt/config.toml"), re.MULTILINE))
    secret = set(re.findall(r"^# (\w+) = ", text_of(".dlt/example.secrets.toml"), re.MULTILINE)) - {"token"}
    assert shown | secret == set(SmsSourceConfiguration.get_resolvable_fields()) - {"credentials"}
    assert not shown & secret


def test_both_languages_have_the_same_commands_columns_and_links() -> None:
    """Whoever reads one misses nothing of the other."""
    own = {"README.md", "README.zh-CN.md", "docs/report.png"}
    for pattern in (r"`((?:tencent-sms|python|make|sms_)[^`\n]*)`", r"`(\w+)`", r"\]\(((?!http)[^)#]+)\)"):
        pages = (text_of(page).replace(" --language zh", "") for page in PAGES)
        english, chinese = (set(re.findall(pattern, text)) for text in pages)
        assert (english ^ chinese) - own == set(), pattern
