"""The page of queries: each runs on DuckDB and PostgreSQL as it stands, and both say the same."""

import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from textwrap import indent
from typing import Any

import dlt.destinations
import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import Rows
from tests.helpers.pages import blocks, text_of
from tests.views.conftest import Databases
from tests.views.warehouse import COLUMNS, Warehouse, a_row, comparable

PAGE = text_of("docs/queries.md")
WITHOUT_MARIMO = "marimo is not here: make test-views installs it"
NOW = datetime.now(timezone.utc).replace(microsecond=0)
HOUR = timedelta(hours=1)


def fill(warehouse: Warehouse) -> None:
    """Fill in a small week: messages to four people, three of whom replied, and a send log."""
    replies: list[dict[str, Any]] = [
        {"phone_number": "+1", "reply_content": "退订", "reply_time": NOW - HOUR},
        {"phone_number": "+2", "reply_content": "yes", "reply_time": NOW - HOUR, "extend_code": "12"},
        {"phone_number": "+2", "reply_content": "What is the price of the larger one, please?"},
        {"phone_number": "+3", "reply_content": "please stop texting me", "reply_time": NOW - 2 * HOUR},
    ]
    for reply in replies:
        reply.setdefault("reply_time", NOW)
    warehouse.fill(
        replies=[
            a_row("replies", n, pulled_at=NOW + HOUR, _dlt_load_id=f"179600000{n}.5", **reply)
            for n, reply in enumerate(replies)
        ],
        receipts=[
            a_row(
                "receipts",
                n,
                phone_number=f"+{n}",
                user_receive_time=NOW - 5 * HOUR,
                report_status="FAIL" if n == 4 else "SUCCESS",
                description="MK:0001" if n == 4 else "DELIVRD",
            )
            for n in range(1, 5)
        ],
        pulls=[a_row("pulls", 1, requested_at=NOW, outcome="in_doubt", at_risk=100)],
    )
    warehouse.execute("create table sms.sends (serial_no varchar, phone_number varchar, campaign varchar)")
    for n in range(1, 6):
        warehouse.execute(f"insert into sms.sends values ('5000:{n}', '+{n}', 'spring')")


@pytest.fixture(scope="module")
def answers(databases: Databases) -> dict[str, Rows]:
    """Provide what each query of the page says; `sends` is in the dataset, where dlt looks first."""
    warehouse = databases.warehouse()
    assert warehouse.create_views() == []
    fill(warehouse)
    return {query: warehouse.query(query) for query in blocks(PAGE, "sql")}


ROWS: dict[str, Rows] = {
    "distinct phone_number\nfrom sms.opt_outs": [("+1",)],
    "sms.possible_opt_outs": [(NOW - 2 * HOUR, "+3", "please stop texting me", "please stop")],
    "sms.campaigns": [("Tencent Cloud", "11", 3, 3, 1, 33.0), ("Tencent Cloud", "12", 1, 1, 0, 0.0)],
    "sms.response_rates": [((NOW - 5 * HOUR).date(), None, 3, 3, 100.0, 240.0, 1)],
    "sms.answers": [
        ("Tencent Cloud", "11", "PLEASESTOPTEXTINGME", 1, 100.0),
        ("Tencent Cloud", "12", "YES", 1, 100.0),
    ],
    "where keyword is null": [("What is the price of the larger one, please?", 1)],
    "sms.late_replies": [
        ("d/000001/3", NOW - 2 * HOUR, 3.0),
        ("d/000001/0", NOW - HOUR, 2.0),
        ("d/000001/1", NOW - HOUR, 2.0),
    ],
    "sms.pulls_in_doubt": [(NOW, "1400006666", "replies", 100, 0, NOW + 168 * HOUR)],
    "from sends": [("spring", 5, 3, 3)],
}


@pytest.mark.long
@pytest.mark.parametrize("query", ROWS)
def test_a_query_of_the_page_gives_what_it_promises(answers: dict[str, Rows], query: str) -> None:
    """On either database, of a small week whose answers are known."""
    (rows,) = (rows for text, rows in answers.items() if query in text)
    assert comparable(rows) == comparable(ROWS[query])


def test_each_query_of_the_page_has_an_answer(answers: dict[str, Rows]) -> None:
    """A query that finds nothing in a week that has something of everything asks wrong."""
    assert len(answers) == len(blocks(PAGE, "sql")) == 13
    assert [query for query, rows in answers.items() if not rows] == []
    (opted_out,) = next(rows for query, rows in answers.items() if "honour_by, blocked" in query)
    assert opted_out[0] == "+1"
    assert opted_out[-1] is True


def test_the_sources_of_dbt_name_views_and_columns_that_exist() -> None:
    """The block is valid YAML, and what it names is in the contract."""
    (block,) = blocks(PAGE, "yaml")
    (source,) = yaml.safe_load(block)["sources"]
    for table in source["tables"]:
        assert {column["name"] for column in table.get("columns", [])} <= set(COLUMNS[table["name"]].split())


def test_dlt_s_dashboard_runs_the_query_of_the_page(databases: Databases) -> None:
    """By the function that its dataset browser calls."""
    pytest.importorskip("marimo", reason=WITHOUT_MARIMO)
    from dlt._workspace.helpers.dashboard.utils.queries import get_query_result

    (query,) = re.findall(r"such as\n`(select .*?)`", PAGE)
    warehouse = databases.warehouse()
    warehouse.create_views()
    warehouse.fill(replies=[a_row("replies", 1)])
    table, error, _ = get_query_result(warehouse.pipeline, query)
    assert not error
    assert table.column("keyword").to_pylist() == ["T"]


NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
{cell}
    return (opt_outs,)


if __name__ == "__main__":
    _, variables = app.run()
    print(variables["opt_outs"]["keyword"].to_list())
"""


def test_the_notebook_s_cell_reads_a_view(own_folders: Path) -> None:
    """The page's cell in a notebook that is run, over a database file of the job's name."""
    pytest.importorskip("marimo", reason=WITHOUT_MARIMO)
    warehouse = Warehouse(dlt.destinations.duckdb("sms_replies.duckdb"), folder=own_folders)
    warehouse.create_views()
    warehouse.fill(replies=[a_row("replies", 1)])
    (cell,) = blocks(PAGE, "python")
    Path("notebook.py").write_text(NOTEBOOK.format(cell=indent(cell, "    ")), encoding="utf-8")
    done = subprocess.run([sys.executable, "notebook.py"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("['T']\n", 0), done.stderr
