"""The main job as a person or a scheduler meets it: its output, its exit status, its errors."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from sms_source import settings
from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Job, Warehouse, a_reply
from tests.helpers.jobs import run_job
from tests.recovery.conftest import receipt_of


def test_the_summary_tells_what_was_loaded(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies by application, the newest, the ledger, where the data is and how to see it."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", json.dumps([APP, OTHER_APP]))
    configured.enqueue(APP, [a_reply(ReplyTime=int(time.time()) - 7200) for _ in range(1_250)])
    configured.enqueue(OTHER_APP, [a_reply()])
    status, out, err = job()
    assert (status, err) == (0, "")
    assert "Loaded 1,251 replies into sms.replies" in out
    assert f"application {APP}        1,250" in out
    assert f"application {OTHER_APP}            1" in out
    assert "(2 hours old)" in out
    assert "14 in the ledger" in out
    assert "doubt" not in out
    assert str(warehouse.database) in out
    (command,) = (line for line in out.splitlines() if "import duckdb" in line)
    shown = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]], capture_output=True, text=True, check=False
    )
    assert "phone_number" in shown.stdout
    assert shown.returncode == 0


def test_a_run_with_nothing_new_says_so(configured: SimulatorProcess, job: Job) -> None:
    """The run that happens most is one quiet line, and one request."""
    job()
    status, out, err = job()
    assert (status, err) == (0, "")
    assert out.startswith("No new replies (1 request")


@pytest.mark.long
@pytest.mark.parametrize("arguments", [[], ["--demo"]], ids=["job", "demo"])
def test_a_good_run_writes_nothing_to_the_standard_error(
    configured: SimulatorProcess, arguments: list[str]
) -> None:
    """In a process of its own, from its first import to its end: a scheduler mails what it finds there."""
    configured.enqueue(APP, [a_reply("a")])
    status, out, err = run_job(*arguments)
    assert (status, err) == (0, "")
    assert out


def test_the_ledger_s_doubts_and_the_rejected_are_warnings(
    configured: SimulatorProcess, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that met doubt but drained the queue ends with 0, and says where to look."""
    configured.enqueue(APP, [a_reply(), {"bad": 1}, *(a_reply() for _ in range(200))])
    configured.fail_next("truncate", after=1)
    status, out, _ = job()
    assert status == 0
    assert "WARNING: 1 pull in doubt, at most 50 records lost" in out
    assert "select * from sms.pulls where outcome = 'in_doubt'" in out
    assert "WARNING: 1 record did not fit" in out
    assert "Client.TruncatedBody" in caplog.text


@pytest.mark.long
def test_a_long_queue_is_drained_in_one_run(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job goes on, package by package, until every queue is empty."""
    monkeypatch.setattr(settings, "PACKAGE_RECORDS", 500)
    configured.enqueue(APP, [a_reply() for _ in range(1_400)])
    status, out, _ = job()
    assert status == 0
    assert "Loaded 1,400 replies" in out
    assert warehouse.query("select count(*), count(distinct _dlt_load_id) from sms.replies")[0] == (1_400, 3)


@pytest.mark.parametrize(
    ("variables", "status", "message"),
    [
        ({"CREDENTIALS__SECRET_KEY": ""}, 2, "secret_key"),
        ({"CREDENTIALS__SECRET_KEY": "wrong-key-0123456789abcdefghij"}, 2, "AuthFailure.SignatureFailure"),
        ({"CREDENTIALS__SECRET_ID": "AKIDunknown"}, 2, "AuthFailure.SecretIdNotFound"),
        ({"SMS_SDK_APP_IDS": '["1499999999"]'}, 2, "SdkAppIdNotExist"),
        ({"SMS_SDK_APP_IDS": "[1400006666"}, 2, "sms_sdk_app_ids is '[1400006666'"),
        ({"SMS_SDK_APP_IDS": '["../x"]'}, 2, "sms_sdk_app_ids"),
        ({"SMS_SDK_APP_IDS": ""}, 2, "sms_sdk_app_ids"),
        ({"API_REGOIN": "x"}, 2, "Did you mean 'api_region'?"),
        ({"CREDENTIALS__SECRETKEY": "x"}, 2, "Did you mean 'secret_key'?"),
        ({"API_REGION": "Mars!"}, 2, "api_region is 'Mars!'"),
        ({"API_REGION": "eu-mars"}, 2, "UnsupportedRegion"),
        ({"API_ENDPOINT": "http://sms.tencentcloudapi.com"}, 2, "loopback"),
        ({"API_ENDPOINT": "sms.tencentcloudapi.com"}, 2, "expected https://"),
        ({"API_LANGUAGE": "fr"}, 2, "api_language is 'fr'"),
        ({"JOURNAL_URL": "gopher://x"}, 2, "journal_url is 'gopher://x'"),
        ({"JOURNAL_URL": " "}, 2, "journal_url is ' '"),
        ({"JOURNAL_RETENTION_DAYS": "-1"}, 2, "journal_retention_days is -1.0"),
        ({"PULLS_PER_SECOND": "0"}, 2, "pulls_per_second is 0"),
        ({"PULL_WORKERS": "0"}, 2, "pull_workers is 0"),
        ({"PULL_LIMIT": "101"}, 2, "pull_limit is 101"),
        ({"PULL_LIMIT": "many"}, 2, "pull_limit is 'many'; expected a whole number from 1 to 100"),
        ({"PULL_TIMEOUT": "0"}, 2, "pull_timeout is 0"),
    ],
)
def test_wrong_configuration_ends_with_one_clear_message(
    configured: SimulatorProcess,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    status: int,
    message: str,
) -> None:
    """What is wrong, where, what to do; the contract's exit status; no traceback, no secret, nothing lost."""
    configured.enqueue(APP, [a_reply()])
    for name, value in variables.items():
        monkeypatch.setenv(f"SOURCES__SMS_SOURCE__{name}", value)
    found, out, err = job()
    assert (found, out) == (status, "")
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert message in err
    assert "wrong-key" not in err
    assert configured.secret_key not in err
    assert configured.stats().handed_out == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "must belong to the account"),
        ("UnauthorizedOperation.RequestPermissionDeny", "to be activated"),
        ("UnauthorizedOperation.ServiceSuspendDueToArrears", "pay them"),
        ("UnauthorizedOperation.RequestIpNotInWhitelist", "allowlist"),
        ("AuthFailure.UnauthorizedOperation", "access management (CAM)"),
    ],
)
def test_a_refusal_names_its_remedy(configured: SimulatorProcess, job: Job, code: str, remedy: str) -> None:
    """At three in the morning, nobody looks up an error code."""
    configured.fail_next("api_error", code=code)
    status, _, err = job()
    assert status == 2
    assert code in err
    assert remedy in err
    assert "Traceback" not in err


def test_a_wrong_clock_is_named(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pull is tried again a few times, then the message speaks of NTP."""
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.02)
    configured.configure(clock_skew=400.0)
    status, _, err = job()
    assert status == 1
    assert "NTP" in err.splitlines()[-1]


def test_no_network_is_named(configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be reached, and what to look at."""
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__API_ENDPOINT", "http://localhost:1")
    status, _, err = job()
    assert status == 1
    assert "Client.ConnectionRefused: no connection to localhost:1" in err
    assert "firewall" in err


def test_a_locked_journal_is_named(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """The second process waits a little, then it is refused before it pulls, and told by whom."""
    with Journal(str(warehouse.folder / "sms_journal")):
        status, out, err = run_job()
    assert (status, out) == (1, "")
    assert f"sms_journal is in use by process {os.getpid()} on " in err
    assert configured.stats().pulls == 0


@pytest.mark.long
def test_a_database_that_another_process_holds_is_named_and_nothing_is_lost(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The classic: a notebook has the DuckDB file open."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    configured.enqueue(APP, [a_reply("b")])
    with duckdb.connect(str(warehouse.database)):
        status, _, err = run_job()
    assert status == 1
    assert "Another process holds the DuckDB file open" in err
    assert f"safe in the journal {warehouse.folder / 'sms_journal'}; the next run loads it once" in err
    assert "Traceback" not in err
    assert job()[0] == 0
    assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_table_that_can_not_take_the_rows_loses_nothing(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """A load job that fails for good aborts its package; once the table is repaired, the journal has all."""
    assert job()[0] == 0
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("alter table sms.replies alter column reply_content type integer using 0")
    configured.enqueue(APP, [a_reply("a")])
    status, _, err = job()
    assert status == 1
    assert err.splitlines()[-1].startswith("ERROR: dlt's step load failed")
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("alter table sms.replies alter column reply_content type varchar using ''")
    configured.enqueue(APP, [a_reply("b")])
    for _ in range(2):
        status, _, err = job()
    assert (status, err) == (0, "")
    assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_replay_whose_insert_fails_takes_no_row_away(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """What its DELETE took out is there again; with the table repaired, the next run finishes it."""
    configured.enqueue(APP, [a_reply("a"), a_reply("b")])
    assert job()[0] == 0
    with duckdb.connect(str(warehouse.database)) as connection:
        # DuckDB refuses a key that the same transaction has deleted.
        connection.execute("create unique index in_the_way on sms.replies (reply_content)")
    status, _, err = job("--replay")
    assert status == 1
    assert err.splitlines()[-1].startswith("ERROR: dlt's step load failed")
    assert warehouse.contents() == ["a", "b"]
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("drop index sms.in_the_way")
    for _ in range(2):
        status, _, err = job()
        assert (status, err) == (0, "")
        assert warehouse.contents() == ["a", "b"]


@pytest.mark.long
def test_a_journal_that_is_moved_goes_on(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a larger disk, with what waits in it: the folder is moved, and the option says where to."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    elsewhere = warehouse.folder / "elsewhere"
    shutil.move(warehouse.folder / "sms_journal", elsewhere)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", str(elsewhere))
    configured.enqueue(APP, [a_reply("b")])
    assert job()[0] == 0
    assert warehouse.contents() == ["a", "b"]
    assert "Loaded 2 replies" in job("--replay")[1]


def test_a_journal_of_another_dataset_is_refused(configured: SimulatorProcess, job: Job) -> None:
    """One journal feeds one pipeline; the message says how to have two."""
    assert job()[0] == 0
    status, _, err = job("--dataset", "other")
    assert status == 2
    assert "journal_url" in err


@pytest.mark.long
def test_the_database_is_in_the_current_directory_wherever_the_job_ran_before(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt remembers where a pipeline first ran: a second checkout must not load into the first one's."""
    configured.enqueue(APP, [a_reply("here")])
    assert job()[0] == 0
    elsewhere = warehouse.folder.parent / "elsewhere"
    elsewhere.mkdir()
    for folder, app_id, content in ((elsewhere, OTHER_APP, "there"), (warehouse.folder, APP, "here again")):
        monkeypatch.setenv("DLT_LOCAL_DIR", str(folder))
        monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{app_id}"]')
        configured.enqueue(app_id, [a_reply(content)])
        assert job()[0] == 0
    assert warehouse.contents() == ["here", "here again"]
    assert Warehouse(elsewhere).contents() == ["there"]


def test_check_proves_everything_and_takes_nothing(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration, journal, destination, network, signature and permission."""
    configured.enqueue(APP, [a_reply()])
    status, out, err = job("--check")
    assert (status, err) == (0, "")
    assert out.count("ok  ") == 4
    assert "No record was taken" in out
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CREDENTIALS__SECRET_KEY", "x" * 30)
    assert job("--check")[0] == 2
    assert configured.stats().handed_out == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("statement", "wiped"),
    [("delete from sms.replies", False), ("drop table sms.replies", False), ("drop table sms.replies", True)],
)
def test_replay_loads_the_archive_again(
    configured: SimulatorProcess,
    warehouse: Warehouse,
    job: Job,
    tmp_path: Path,
    *,
    statement: str,
    wiped: bool,
) -> None:
    """A table that somebody emptied or dropped is built again from what retention keeps."""
    configured.enqueue(APP, [a_reply(content) for content in "ab"])
    assert job()[0] == 0
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute(statement)
    if wiped:
        shutil.rmtree(tmp_path / "dlt")
    for _ in range(2):
        status, out, _ = job("--replay")
        assert status == 0
        assert "Loaded 2 replies" in out
        assert warehouse.contents() == ["a", "b"]
    assert configured.stats().pulls == 2


@pytest.mark.parametrize(
    "arguments", [["--bogus"], ["--follow", "0"], ["--follow", "x"], ["--progress", "x"]]
)
def test_wrong_usage_ends_with_2(job: Job, arguments: list[str]) -> None:
    """As the contract says, and as argparse does."""
    with pytest.raises(SystemExit) as caught:
        job(*arguments)
    assert caught.value.code == 2


def test_an_unknown_destination_ends_with_2(configured: SimulatorProcess, job: Job) -> None:
    """Before anything is pulled."""
    status, _, err = job("--destination", "nope")
    assert status == 2
    assert "'nope'" in err
    assert configured.stats().pulls == 0


@pytest.mark.long
def test_no_secret_is_written_anywhere(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to the output, the journal, the database, nor dlt's working directory with its trace."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CREDENTIALS__TOKEN", "a-token-of-temporary-credentials")
    configured.set_token("a-token-of-temporary-credentials")
    configured.enqueue(APP, [a_reply()])
    secrets = [configured.secret_key, "a-token-of-temporary-credentials"]
    outputs = [*run_job("--verbose")[1:]]
    configured.fail_next("api_error", code="AuthFailure.TokenFailure", times=2)
    outputs += run_job("--verbose")[1:]
    configured.fail_next("api_error", code="AuthFailure.SignatureFailure")
    outputs += run_job("--verbose")[1:]
    assert "SignatureFailure" in outputs[-1]
    files = [path.read_bytes() for path in warehouse.folder.parent.rglob("*") if path.is_file()]
    for secret in secrets:
        assert all(secret not in output for output in outputs)
        assert all(secret.encode() not in content for content in files)


def test_no_copy_of_the_replies_stays_behind_but_the_journal(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, tmp_path: Path
) -> None:
    """dlt keeps every loaded file unless told otherwise."""
    for content in "ab":
        configured.enqueue(APP, [a_reply(content)])
        assert job()[0] == 0
    assert list((tmp_path / "dlt").rglob("replies.*.parquet")) == []
    assert warehouse.contents() == ["a", "b"]


def test_verbose_shows_the_traceback(configured: SimulatorProcess, job: Job) -> None:
    """For the person who has to look deeper."""
    configured.fail_next("api_error", code="AuthFailure")
    assert "Traceback" in job("--verbose")[2]


@pytest.mark.long
def test_the_demo_runs_without_any_configuration(warehouse: Warehouse, job: Job) -> None:
    """The first five minutes; and a second demo still works."""
    counts: list[int] = []
    for _ in range(2):
        status, out, err = job("--demo")
        assert (status, err) == (0, "")
        with duckdb.connect("sms_replies_demo.duckdb") as connection:
            counts += connection.execute("select count(*) from sms.replies").fetchone() or ()
        assert f"Loaded {counts[0]:,} replies" in out
    assert counts[1] == 2 * counts[0] > 1_000


def test_the_demo_without_the_extra_of_the_report_says_what_the_page_needs(
    warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain `pip install` is enough for the demo, and the page is one more."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "sms_source.report.page", raising=False)
    monkeypatch.delattr("sms_source.report.page", raising=False)
    status, out, err = job("--demo")
    assert (status, err) == (0, "")
    assert "The report needs jinja2: pip install 'dlt-tencent-sms[report]'" in out


@pytest.mark.parametrize(
    ("option", "value", "table"),
    [("create_views", "false", "replies"), ("pull_feeds", "receipts", "receipts")],
)
def test_the_printed_command_works_without_a_view_of_opt_outs(
    configured: SimulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    job: Job,
    option: str,
    value: str,
    table: str,
) -> None:
    """It shows the newest rows of what was loaded."""
    monkeypatch.setenv(f"SOURCES__SMS_SOURCE__{option.upper()}", value)
    configured.enqueue(APP, [a_reply("a") if table == "replies" else receipt_of(1)], feed=table)
    status, out, _ = job()
    assert status == 0
    command = shlex.split(out.splitlines()[-1])[1:]
    shown = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout
    assert "channel" in shown
    assert f"sms.{table}" in command[-1]
