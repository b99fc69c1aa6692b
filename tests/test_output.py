"""The main job with `--log-format json`, as whatever gathers its lines meets it."""

import json
import signal
import time
from typing import Any

import pytest

from sms_source import DrainReport
from sms_source.cli.output import HEARTBEAT_SECONDS, JsonOutput
from sms_source.journal.identity import Owner
from sms_source.loading.summary import Summary
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import start_job, wait_until

Objects = list[dict[str, Any]]


def objects(text: str) -> Objects:
    """One JSON object a line, each with its time."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(set(line) > {"time"} for line in found)
    return found


def run_job(*arguments: str) -> tuple[int, Objects, Objects]:
    """Run the main job; return its exit status, and the objects that it printed and logged."""
    process = start_job("--log-format", "json", *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, objects(out), objects(err)


@pytest.mark.long
def test_the_last_line_is_the_summary_and_each_event_is_an_object(
    configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt's log lines too, at its most talkative; none of them shows a number or a key."""
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    configured.enqueue(APP, [a_reply() for _ in range(150)])
    configured.fail_next("truncate", after=1)
    status, printed, logged = run_job()
    assert status == 0
    (summary,) = printed
    assert summary["event"] == "summary"
    assert (summary["replies"], summary["in_doubt"]) == (125, 1)  # a quarter of the broken answer came whole
    assert {"dlt", "sms_source.pulling.drain"} <= {event["logger"] for event in logged}
    (doubt,) = (event for event in logged if event["logger"] == "sms_source.pulling.drain")
    assert doubt["level"] == "warning"
    assert (doubt["sms_sdk_app_id"], doubt["error"]) == (APP, "Client.TruncatedBody")
    assert configured.secret_key not in str(logged)
    assert a_reply()["PhoneNumber"] not in str(logged)


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "variables", "arguments", "status", "message"),
    [
        ("AuthFailure.SignatureFailure", {}, (), 2, "Check that `credentials.secret_key`"),
        ("ConfigurationError", {"PULL_LIMIT": "101"}, (), 2, "pull_limit is 101"),
        ("UnknownDestinationModule", {}, ("--destination", "nope"), 2, "'nope'"),
    ],
)
def test_an_error_is_one_event_with_its_code_and_the_exit_status(
    configured: SimulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    """The same message as a person gets, and what a program can tell errors apart by."""
    configured.fail_next("api_error", code=code)
    for name, value in variables.items():
        monkeypatch.setenv(f"SOURCES__SMS_SOURCE__{name}", value)
    found, printed, logged = run_job(*arguments)
    assert (found, printed) == (status, [])
    (event,) = logged
    assert (event["level"], event["error"], event["exit_status"]) == ("error", code, status)
    assert message in event["message"]


@pytest.mark.long
def test_a_traceback_stays_within_its_event(configured: SimulatorProcess) -> None:
    """Only with --verbose, and as one line."""
    configured.fail_next("api_error", code="AuthFailure")
    _, _, (*_, event) = run_job("--verbose")
    assert "Traceback" in event["traceback"]


def test_check_prints_an_object_for_each_part(configured: SimulatorProcess) -> None:
    """A deployment's script can see how far it came."""
    status, printed, logged = run_job("--check")
    assert (status, logged) == (0, [])
    parts = ["configuration", "journal", "destination", "application", None]
    assert [line.get("check") for line in printed] == parts


@pytest.mark.long
def test_following_prints_what_was_done_and_ends_with_the_rest(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """A round that loaded something is told at once; the quiet ones after it when the job is stopped."""
    process = start_job("--follow", "0.05", "--log-format", "json")
    assert process.stdout is not None
    configured.enqueue(APP, [a_reply("a")])
    first = json.loads(process.stdout.readline())
    assert first["replies"] == 1
    pulls = configured.stats().pulls
    wait_until(lambda: configured.stats().pulls > pulls + 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    (last,) = objects(out)
    assert (last["pulls"], last["replies"]) == (0, 0)
    assert first["requests"] + last["requests"] == configured.stats().pulls
    (notice,) = objects(err)
    assert notice["message"].startswith("SIGTERM: pulling ends")


def test_quiet_rounds_are_told_as_a_heartbeat(capsys: pytest.CaptureFixture[str]) -> None:
    """Silence is what a monitor alerts on, so an empty queue must not be silent; nor fill the log."""
    output = JsonOutput(verbose=False)
    owner = Owner("sms_replies", "duckdb", "sms")
    now = time.monotonic()
    for age in (HEARTBEAT_SECONDS + 1, 1.0, 0.5):
        output.round(Summary(owner, [DrainReport(requests=1)], started_at=now - age))
    (beat,) = objects(capsys.readouterr().out)
    assert (beat["requests"], beat["pulls"]) == (1, 0)
    output.end()
    (rest,) = objects(capsys.readouterr().out)
    assert rest["requests"] == 2


def test_progress_bars_are_refused(configured: SimulatorProcess) -> None:
    """They would draw between the objects."""
    process = start_job("--log-format", "json", "--progress", "log")
    assert "--progress" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
