"""The command: its options, and a view as CSV for a suppression list."""

import argparse
import csv
import io
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from sms_source.errors import ConfigurationError
from sms_source.report import export_csv
from sms_source.report.command import add_arguments, run
from tests.report import data
from tests.report.conftest import Report, Reported


def parse(*arguments: str) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def exported(source: Reported, view: str) -> list[dict[str, str]]:
    """Return the rows of a view as a program reads them from its CSV."""
    stream = io.StringIO()
    count = export_csv(source.pipeline, view, stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert len(rows) == count
    return rows


def test_the_command_writes_a_page(reported: Report, capfd: pytest.CaptureFixture[str]) -> None:
    """Without options there is a page where one works, and a line that says where."""
    source = reported("empty")
    run(parse(), source.pipeline)
    assert "No replies yet" in Path("replies.html").read_text()
    assert str(Path("replies.html").resolve()) in capfd.readouterr().out
    run(parse("--output", "zh.html", "--language", "zh", "--days", "7"), source.pipeline)
    assert 'lang="zh-CN"' in Path("zh.html").read_text()


@pytest.mark.parametrize("days", ["0", "366", "x", "-1", "1.5", "²"])
def test_a_wrong_number_of_days_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser says what is possible."""
    with pytest.raises(SystemExit):
        parse("--days", days)
    assert f"{days} is not a number of days from 1 to 365" in capsys.readouterr().err


def test_a_suppression_list_has_full_numbers(reported: Report) -> None:
    """Whoever must not write to people again needs their numbers as they are."""
    source = reported("story")
    rows = exported(source, "opt_outs")
    columns = "sms_sdk_app_id, phone_number, keyword, blocked_by_tencent, requests"
    expected = source.query(f"select {columns} from sms.opt_outs")
    names = columns.split(", ")
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(
        tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in row)
        for row in expected
    )
    assert all(row["honour_by"].endswith("+00:00") for row in rows)


def test_no_cell_is_a_formula(reported: Report) -> None:
    """A reply is anybody's, and a spreadsheet runs what begins like a formula; numbers stay numbers."""
    texts = ["=1+1", "+1+1", "-2", "@SUM(A1)", "\t=1", "\uff1d1+1", 'plain, "quoted"\nand broken', None]
    replies = [data.a_reply(text, timedelta(hours=hour)) for hour, text in enumerate(texts, start=1)]
    rows = exported(reported(replies=replies), "unique_replies")
    assert sorted(row["reply_content"] for row in rows) == sorted(
        ["'=1+1", "'+1+1", "-2", "'@SUM(A1)", "'\t=1", "'\uff1d1+1", 'plain, "quoted"\nand broken', ""]
    )
    assert {row["phone_number"] for row in rows} == {"+8612000000001"}


def test_a_view_that_is_not_there_is_named(reported: Report) -> None:
    """A name that was mistyped, or is a table's, gets the list of what there is."""
    source = reported("empty")
    for name in ("opt_out", "replies", 'opt_outs"; drop table replies; --', "{opt_outs}"):
        with pytest.raises(ConfigurationError, match=r"has no view .* it has answers, campaigns, .*opt_outs"):
            export_csv(source.pipeline, name, io.StringIO())


SCRIPT = """
import argparse, sys, dlt
from sms_source.report.command import add_arguments, run
parser = argparse.ArgumentParser()
add_arguments(parser)
destination = dlt.destinations.duckdb(sys.argv[1])
run(parser.parse_args(sys.argv[2:]), dlt.pipeline("reader", destination=destination, dataset_name="sms"))
"""


@pytest.mark.long
def test_a_terminal_is_warned_of_and_a_file_is_not(reported: Report) -> None:
    """Numbers on a screen stay in its history; in a pipe nothing but CSV may be."""
    source = reported("hostile")
    command = [sys.executable, "-c", SCRIPT, str(source.database), "--csv", "opt_outs"]
    piped = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})
    assert piped.stdout.startswith(b"sms_sdk_app_id,sign_name,phone_number,")
    assert b"+12025550100" in piped.stdout
    assert data.HOSTILE.encode() in piped.stdout
    assert not piped.stderr
    ours, theirs = pty.openpty()
    shown = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=True)
    os.close(theirs)
    os.close(ours)
    assert b"people's full phone numbers" in shown.stderr


@pytest.mark.long
def test_a_reader_that_has_enough_is_no_error(reported: Report) -> None:
    """`... --csv opt_outs | head -1` ends quietly."""
    source = reported("story")
    command = [sys.executable, "-c", SCRIPT, str(source.database), "--csv", "unique_receipts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
