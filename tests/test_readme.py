"""The README is what a newcomer lives by, so what it shows is run."""

import re
from pathlib import Path

import duckdb
import pytest

from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's blocks of a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)


def shape(text: str) -> list[str]:
    """Lines of output without what differs from run to run: numbers, times and folders."""
    lines = [re.sub(r"\S*/", "", line.strip()) for line in text.splitlines()]
    return [re.sub(r"[\d,.]+|seconds?|minutes?", "#", line) for line in lines]


def test_its_python_runs(
    configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, in an empty folder, against the simulator."""
    configured.enqueue(APP, [a_reply()])
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own page
    assert "Tencent Cloud    1" in capsys.readouterr().out


def test_its_queries_find_something_in_the_demo(job: Job) -> None:
    """Each one answers with rows, but for the one about doubts: the demo has none."""
    job("--demo")
    with duckdb.connect("sms_replies_demo.duckdb") as connection:
        for query in blocks("sql"):
            rows = connection.execute(query).fetchall()
            assert bool(rows) == ("in_doubt" not in query), query


def test_its_demo_prints_what_the_page_shows(job: Job) -> None:
    """But for the numbers that differ from run to run."""
    (shown,) = (block for block in blocks("console") if block.startswith("$ make demo"))
    assert shape(job("--demo")[1]) == shape(shown)[2:]


def test_its_check_prints_what_the_page_shows(configured: SimulatorProcess, job: Job) -> None:
    """Line by line."""
    (shown,) = (block for block in blocks("console") if "--check" in block)
    assert shape(job("--check")[1]) == shape(shown)[1:]


def test_its_quiet_run_prints_what_the_page_shows(configured: SimulatorProcess, job: Job) -> None:
    """The output that a scheduler's log will mostly hold."""
    (shown,) = (block for block in blocks("console") if "No new replies" in block)
    assert shape(job()[1]) == shape(shown)[1:]


def test_every_option_is_in_its_table_with_its_default() -> None:
    """No option is hidden, none is invented."""
    table = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE))
    options = set(SmsSourceConfiguration.get_resolvable_fields()) - {"credentials"}
    assert options <= set(table)
    for option in options - {"sms_sdk_app_ids"}:
        default = getattr(SmsSourceConfiguration, option)
        assert table[option] == (f"{default:g}" if isinstance(default, float) else str(default)), option
    for field in TencentCloudCredentials.get_resolvable_fields():
        assert f".{field}`" in README


def test_every_table_and_column_is_on_the_page(configured: SimulatorProcess, job: Job) -> None:
    """What lands is what the page promises."""
    job()
    with duckdb.connect("sms_replies.duckdb") as connection:
        columns = connection.execute(
            "select column_name from information_schema.columns where table_schema = 'sms' "
            "and table_name in ('replies', 'pulls', 'rejected_records')"
        ).fetchall()
    assert {column for (column,) in columns} <= set(re.findall(r"`(\w+)`", README))
