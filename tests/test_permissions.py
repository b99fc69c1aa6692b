"""What holds people's numbers and words can be read by its owner alone, and no secret is in it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.helpers.jobs import MAIN_JOB

FROM_PYTHON = "import sms_source; sms_source.load().raise_for_failure()"
COMMANDS = {"job": [str(MAIN_JOB)], "load()": ["-c", FROM_PYTHON]}


@pytest.fixture
def parents(own_folders: Path) -> set[Path]:
    """Provide the folders that the test has made."""
    return {own_folders}


def made_by_the_run(parents: set[Path]) -> Iterator[Path]:
    """Yield all that a run has made: beside the database, and in dlt's data directory."""
    (project,) = parents
    for folder in (project, project.parent / "dlt"):
        yield from (path for path in [folder, *folder.rglob("*")] if path not in parents)


def run(umask: int, command: str) -> int:
    """Load in a process with this mask."""
    return subprocess.run([sys.executable, *COMMANDS[command]], umask=umask, check=False).returncode


def open_to_others(paths: Iterator[Path]) -> list[str]:
    """Return what others than the owner have any right to."""
    return [f"{path} {stat.filemode(path.stat().st_mode)}" for path in paths if path.stat().st_mode & 0o077]


@pytest.mark.long
@pytest.mark.parametrize("umask", [0o000, 0o022])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_file_of_a_run_is_open_to_others(
    configured: SimulatorProcess, parents: set[Path], umask: int, command: str
) -> None:
    """Whatever the mask of whoever starts it."""
    configured.enqueue(APP, [a_reply("a"), {"bad": 1}])
    assert run(umask, command) == 0
    made = list(made_by_the_run(parents))
    assert {path.suffix for path in made} > {".duckdb", ".zip", ".json", ".pickle"}
    assert open_to_others(iter(made)) == []


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_no_file_of_a_run_that_fails_is_open_to_others(
    configured: SimulatorProcess, parents: set[Path], own_folders: Path, command: str
) -> None:
    """What waits for the next run lies longer than anything else."""
    assert run(0o000, command) == 0
    configured.enqueue(APP, [a_reply("a")])
    with duckdb.connect(str(own_folders / "sms_replies.duckdb")):
        assert run(0o000, command) == 1
    assert list((own_folders / "sms_journal" / "drains").iterdir())
    assert open_to_others(made_by_the_run(parents)) == []


def test_the_mask_is_the_caller_s_again_afterwards(configured: SimulatorProcess) -> None:
    """Whoever calls load() writes files of its own."""
    import sms_source

    before = os.umask(0o027)
    try:
        sms_source.load()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_no_credential_is_in_dlt_s_trace(
    configured: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """dlt writes down each value that it resolved; those of the source are not among them."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CREDENTIALS__TOKEN", "a-token-of-temporary-credentials")
    configured.set_token("a-token-of-temporary-credentials")
    configured.enqueue(APP, [a_reply("a")])
    assert run(0o022, command) == 0
    (trace,) = (tmp_path / "dlt").rglob("trace.pickle")
    assert b"LoadInfo" in trace.read_bytes()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for secret in (configured.secret_id, configured.secret_key, "a-token-of-temporary-credentials"):
            assert secret.encode() not in content, path
