"""The commands: forget, pseudonym, journal reencrypt."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sms_source
from sms_source.cli import main
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.privacy.keys import KEY, KEYS
from tests.privacy.scan import found

SECRET = "a secret of some length"
NUMBER, NATIONAL, OTHER = "+8613712345678", "13712345678", "+8613800138000"
OPTION = "SOURCES__SMS_SOURCE__"


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit status, output and errors."""
    capsys.readouterr()
    status = main(list(arguments))
    return status, *capsys.readouterr()


def process(given: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command in a process of its own, with this on its standard input; return the same."""
    code = "from sms_source.cli import console; console()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], input=given.encode(), capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def loaded(configured: SimulatorProcess, warehouse: Warehouse) -> Warehouse:
    """Provide a warehouse with two people's replies."""
    configured.enqueue(APP, [a_reply("1", PhoneNumber=n) for n in (NUMBER, OTHER)])
    sms_source.load()
    return warehouse


@pytest.mark.long
@pytest.mark.parametrize("how", ["argument", "lines", "csv"])
def test_forget_takes_numbers_from_anywhere(
    loaded: Warehouse,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    how: str,
) -> None:
    """From the command line, from the standard input, from a CSV; and it prints no number."""
    arguments = [NUMBER]
    if how == "lines":
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{NUMBER}\n"))
        arguments = ["--file", "-"]
    elif how == "csv":
        file = tmp_path / "people.csv"
        file.write_text(f"name,Phone_Number\nLi,{NUMBER}\n", encoding="utf-8-sig")
        arguments = ["--file", str(file)]
    status, out, err = command(capsys, "forget", *arguments)
    assert status == 0, err
    assert "Forgot 1 number." in out
    assert "1 of replies" in out
    assert NATIONAL not in out + err
    assert loaded.query("select phone_number from sms.replies") == [(OTHER,)]


def test_forget_speaks_json(loaded: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    """For a program that keeps a register of requests."""
    _, out, _ = command(capsys, "forget", NUMBER, "--log-format", "json")
    told = json.loads(out)
    assert (told["event"], told["people"], told["rows"]["replies"], told["journal_records"]) == (
        "forgotten",
        1,
        1,
        1,
    )


def test_forget_without_a_number_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is erased by mistake."""
    with pytest.raises(SystemExit) as caught:
        main(["forget"])
    assert caught.value.code == 2
    assert "whom?" in capsys.readouterr().err


def test_forget_refuses_what_is_no_number_with_2(
    loaded: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names its place, and what is expected."""
    status, _, err = command(capsys, "forget", NUMBER, "12345")
    assert status == 2
    assert "Number 2 to forget has 5 digits" in err
    assert len(loaded.contents()) == 2


@pytest.mark.parametrize(
    ("given", "arguments", "expected"),
    [
        (f"{NUMBER}\n", [], "{number},{p}\n"),
        (f"{NATIONAL}\n", ["--country-code", "86"], "{national},{p}\n"),
        (
            f"name,phone_number\nLi,{NUMBER}\n\nWu,\n",
            [],
            "name,phone_number,pseudonym\nLi,{number},{p}\nWu,,\n",
        ),
    ],
)
def test_pseudonym_adds_a_column(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    arguments: list[str],
    expected: str,
) -> None:
    """A list of recipients becomes one that can be joined with opt_outs; it needs no key of Tencent Cloud."""
    monkeypatch.setenv(f"{OPTION}PSEUDONYM_KEY", SECRET)
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    status, out, err = command(capsys, "pseudonym", *arguments)
    assert status == 0, err
    person = sms_source.pseudonym(NUMBER, SECRET)
    assert out == expected.format(number=NUMBER, national=NATIONAL, p=person)


def test_pseudonym_without_a_key_is_a_configuration_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pseudonyms of no key would be of use to nobody."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NUMBER}\n"))
    status, _, err = command(capsys, "pseudonym")
    assert status == 2
    assert "pseudonym_key" in err


def test_reencrypt_is_a_command(
    loaded: Warehouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old journal is encrypted by it, and it says with which key."""
    journal = loaded.folder / "sms_journal"
    assert found(journal, [NUMBER])
    monkeypatch.setenv(f"{OPTION}JOURNAL_ENCRYPTION_KEY", KEY)
    status, out, err = command(capsys, "journal", "reencrypt")
    assert status == 0, err
    assert "1 files of" in out
    assert KEYS.ids[0] in out
    assert KEY not in out
    assert not found(journal, [NUMBER])


@pytest.mark.long
def test_a_list_may_begin_with_a_byte_order_mark(loaded: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """As spreadsheets write it, on the standard input as in a file."""
    monkeypatch.setenv(f"{OPTION}PSEUDONYM_KEY", SECRET)
    given = f"\ufeffphone_number,name\n{NUMBER},Li\n"
    status, out, err = process(given, "pseudonym")
    assert (status, err) == (0, "")
    assert out == f"phone_number,name,pseudonym\n{NUMBER},Li,{sms_source.pseudonym(NUMBER, SECRET)}\n"
    status, out, err = process(given, "forget", "--file", "-")
    assert status == 0, err
    assert "Forgot 1 number." in out
    assert loaded.query("select phone_number from sms.replies") == [(OTHER,)]


@pytest.mark.parametrize("arguments", [("forget", "--file"), ("recover", "--numbers")])
@pytest.mark.parametrize(("name", "reason"), [("none.csv", "No such file"), ("latin.csv", "no UTF-8")])
def test_a_list_that_cannot_be_read_is_wrong_usage(
    configured: SimulatorProcess,
    capsys: pytest.CaptureFixture[str],
    own_folders: Path,
    arguments: tuple[str, ...],
    name: str,
    reason: str,
) -> None:
    """The message names the file, and why."""
    del configured
    (own_folders / "latin.csv").write_bytes(b"phone_number\n\xff\n")
    status, _, err = command(capsys, *arguments, name)
    assert status == 2
    assert name in err
    assert reason in err


def test_forget_needs_no_credentials(
    loaded: Warehouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tencent Cloud is not asked: whoever answers a person's request need not have its keys."""
    for name in ("SECRET_ID", "SECRET_KEY"):
        monkeypatch.delenv(f"{OPTION}CREDENTIALS__{name}")
    status, _, err = command(capsys, "forget", NUMBER)
    assert status == 0, err
    assert loaded.query("select phone_number from sms.replies") == [(OTHER,)]
