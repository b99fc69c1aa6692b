"""`tencent-sms recover`: its numbers, its options, what it says, and kills at any moment."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import sms_source
from sms_source.cli import main
from sms_source.cli.arguments import parse
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.helpers.jobs import wait_until
from tests.recovery.conftest import Lose, Query, number_of, reply_of, write_numbers

RECOVER = "import sys; from sms_source.cli import main; sys.exit(main(sys.argv[1:]))"


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start a recovery in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RECOVER, "recover", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lost_texts(query: Query) -> Counter[str]:
    """Count the rows by text."""
    return Counter(text for (text,) in query("select reply_content from sms.replies"))


@pytest.mark.long
def test_half_a_thousand_recipients_have_their_replies_back_within_the_rate(
    configured: SimulatorProcess,
    lose: Lose,
    query: Query,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Fifty lost replies of 500 recipients, at the API's 20 look-ups a second."""
    configured.enqueue(APP, [reply_of(person, f"pulled {person}") for person in range(0, 500, 5)])
    sms_source.load()
    lose([reply_of(person, f"lost {person}") for person in range(0, 500, 10)])
    status = main(["recover", "--numbers", str(write_numbers(tmp_path / "numbers.csv", 500))])
    out, err = capfd.readouterr()
    assert (status, err) == (0, "")
    assert "Looking up 500 people: about 25 s." in caplog.text
    assert "Recovered 50 replies into sms, of at most 100 that 1 pulls in doubt can have lost." in out
    expected = {f"pulled {person}": 1 for person in range(0, 500, 5)}
    assert lost_texts(query) == {**expected, **{f"lost {person}": 1 for person in range(0, 500, 10)}}
    assert configured.stats().look_ups >= 501  # on a busy machine some are refused for the rate, and repeated


@pytest.mark.long
@pytest.mark.parametrize("is_noted", [False, True])
def test_a_recovery_that_was_killed_goes_on_where_it_was(
    configured: SimulatorProcess, lose: Lose, query: Query, own_folders: Path, *, is_noted: bool
) -> None:
    """Whom it asked about last is asked about again, and nobody before; nothing comes twice."""
    note = own_folders / "sms_journal" / "recovery.json"
    people = 160
    lose([reply_of(person, f"lost {person}") for person in range(0, people, 4)])
    numbers = write_numbers(own_folders / "numbers.csv", people)
    process = start("--numbers", str(numbers))
    begun = note.exists if is_noted else lambda: configured.stats().look_ups > 0
    wait_until(lambda: begun() or process.poll() is not None)
    process.kill()
    process.communicate()
    out, _ = start("--numbers", str(numbers), "--log-format", "json").communicate()
    summary = json.loads(out.splitlines()[-1])
    assert summary["event"] == "recovery"
    assert lost_texts(query) == {f"lost {person}": 1 for person in range(0, people, 4)}
    assert query("select recovered from sms.pulls_in_doubt") == [(people // 4,)]
    assert summary["asked"] == (people - 100 if is_noted else people)


@pytest.mark.long
def test_a_signal_ends_it_and_what_was_found_is_loaded(
    configured: SimulatorProcess, lose: Lose, query: Query, tmp_path: Path
) -> None:
    """The status says that there is more to do, and the next recovery goes on."""
    lose([reply_of(person, f"lost {person}") for person in range(30)])
    numbers = write_numbers(tmp_path / "numbers.csv", 200)
    process = start("--numbers", str(numbers))
    wait_until(lambda: configured.stats().look_ups >= 40 or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 1
    assert "the recovery goes on where it was" in err
    found = lost_texts(query)
    assert 0 < found.total() <= 30
    again = start("--numbers", str(numbers))
    again.communicate()
    assert again.returncode == 0
    assert lost_texts(query) == {f"lost {person}": 1 for person in range(30)}


@pytest.mark.long
def test_another_program_may_use_the_quota_too(
    configured: SimulatorProcess, lose: Lose, query: Query, tmp_path: Path
) -> None:
    """Refused look-ups are made again, at a lower rate."""
    configured.configure(look_up_rate_limit=8)
    lose([reply_of(person, f"lost {person}") for person in range(60)])
    summary = sms_source.recover(numbers=[number_of(person) for person in range(60)])
    summary.raise_for_failure()
    assert summary.rate_limited > 0
    assert summary.look_ups == 61 + summary.rate_limited
    assert lost_texts(query) == {f"lost {person}": 1 for person in range(60)}


@pytest.mark.long
def test_numbers_come_from_standard_input(configured: SimulatorProcess, lose: Lose, query: Query) -> None:
    """As from `duckdb -csv -c "select phone_number …" | tencent-sms recover --numbers -`."""
    lose([reply_of(1, "lost")])
    process = subprocess.run(
        [sys.executable, "-c", RECOVER, "recover", "--numbers", "-"],
        input=f"\ufeffPhone_Number\n{number_of(1)}\n\n{number_of(1)}\n",
        text=True,
        capture_output=True,
        check=True,
    )
    assert "asked about   1 of 1" in process.stdout
    assert lost_texts(query) == {"lost": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("+8612000000001\n", "has no column phone_number in its first line"),
        ("", "has no column phone_number in its first line"),
        ("phone_number\n+8612000000001\n12000000002\n", "line 3, has a phone number that is not in E.164"),
        (b"phone_number\n\xff\xfe\n", "is no UTF-8 text"),
        (None, "can't be read (No such file or directory)"),
    ],
)
def test_numbers_that_can_t_be_right_are_refused_before_anything_is_asked(
    configured: SimulatorProcess,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    content: Any,
    message: str,
) -> None:
    """The message names the line, and no number; the status is that of a wrong configuration."""
    path = tmp_path / "numbers.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["recover", "--numbers", str(path)]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert "12000000002" not in err
    assert configured.stats().requests == {}


@pytest.mark.parametrize(
    ("since", "message"),
    [
        ("2020-01-01", "expected a moment of the last 7 days"),
        ("2099-01-01T00:00:00Z", "expected a moment of the last 7 days"),
    ],
)
def test_a_moment_that_is_out_of_reach_is_refused(
    configured: SimulatorProcess, capfd: pytest.CaptureFixture[str], since: str, message: str
) -> None:
    """Look-ups go back seven days."""
    assert main(["recover", "--since", since]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.long
def test_since_bounds_what_is_asked_for(lose: Lose, query: Query) -> None:
    """What is older stays where it is."""
    lose([reply_of(1, "old", ago=7200), reply_of(1, "new", ago=600)])
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    args = parse(["recover", "--since", moment])
    sms_source.recover(numbers=[number_of(1)], since=args.since).raise_for_failure()
    assert lost_texts(query) == {"new": 1}
    sms_source.recover(numbers=[number_of(1)]).raise_for_failure()
    assert lost_texts(query) == {"new": 1, "old": 1}


def test_the_note_of_who_was_asked_holds_no_number_and_is_private(lose: Lose, own_folders: Path) -> None:
    """It is in the journal, for its owner alone."""
    lose([reply_of(1, "lost")])
    sms_source.recover(numbers=[number_of(1)]).raise_for_failure()
    note = own_folders / "sms_journal" / "recovery.json"
    assert number_of(1)[1:] not in note.read_text()
    assert note.stat().st_mode & 0o777 == 0o600
