"""dlt's working directory is disposable: whatever is in it, a run begins in an empty one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.pipeline import get_dlt_pipelines_dir

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.journal.spill import data_directory
from sms_source.loading.loader import Loader, resolve_options
from sms_source.loading.working_directory import WorkingDirectory, empty_working_directory
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where dlt has the job's working directory."""
    return tmp_path / "dlt" / "pipelines" / "sms_replies"


def files(directory: Path) -> list[Path]:
    """Return all files in it."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def each_file(change: Callable[[Path, bytes], Any]) -> Callable[[Path], None]:
    """Return what changes each file of a directory."""

    def tear(directory: Path) -> None:
        for path in files(directory):
            change(path, path.read_bytes())

    return tear


def replaced_by_a_file(directory: Path) -> None:
    """Put a plain file in the directory's place."""
    shutil.rmtree(directory)
    directory.write_text("not a directory")


def pending(directory: Path) -> None:
    """Leave packages in all places, and the draft of a schema."""
    for place in ("normalize/extracted", "load/normalized", "load/new"):
        package = directory / place / "1700000000.5"
        package.mkdir(parents=True)
        (package / "schema.json").write_bytes(b"\0" * 10)
    (directory / "schemas" / "sms_source.schema.json.new").write_text("{")


TORN: dict[str, Callable[[Path], None]] = {
    "empty": each_file(lambda path, _: path.write_bytes(b"")),
    "halves": each_file(lambda path, content: path.write_bytes(content[: len(content) // 2])),
    "zeros": each_file(lambda path, content: path.write_bytes(bytes(len(content)))),
    "missing": each_file(lambda path, _: path.unlink()),
    "a file in its place": replaced_by_a_file,
    "pending packages": pending,
    "gone": shutil.rmtree,
}


@pytest.mark.long
@pytest.mark.parametrize("damage", TORN)
def test_a_torn_directory_stops_no_run(
    configured: SimulatorProcess, warehouse: Warehouse, directory: Path, damage: str
) -> None:
    """A power cut leaves files empty, in halves, as zeros, or away: all of them together, here."""
    configured.enqueue(APP, [a_reply("a")])
    sms_source.load().raise_for_failure()
    assert files(directory)
    TORN[damage](directory)
    configured.enqueue(APP, [a_reply("b")])
    sms_source.load().raise_for_failure()
    assert warehouse.contents() == ["a", "b"]


def test_a_directory_of_another_source_is_refused_and_kept(
    configured: SimulatorProcess, warehouse: Warehouse, directory: Path, job: Job
) -> None:
    """What is in it may be the only copy of somebody's pending package."""
    configured.enqueue(APP, [a_reply("a")])
    other = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="other")
    other.extract(dlt.resource([{"a": 1}], name="things"))
    before = {path: path.read_bytes() for path in files(directory)}
    status, _, err = job()
    assert status == 2
    assert "also holds the source 'sms_replies'" in err
    assert "--pipeline" in err
    assert {path: path.read_bytes() for path in files(directory)} == before
    assert configured.stats().handed_out == 0


@pytest.mark.long
@pytest.mark.parametrize(("command", "shown"), [("info", "sms_source"), ("trace", "load")])
def test_dlt_s_own_commands_work_after_a_run(
    configured: SimulatorProcess, job: Job, command: str, shown: str
) -> None:
    """Whoever knows dlt looks there."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    program = Path(sys.executable).with_name("dlt")
    done = subprocess.run(
        [program, "pipeline", "sms_replies", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


@pytest.mark.long
def test_no_copy_of_a_row_stays_behind(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, directory: Path
) -> None:
    """dlt keeps every loaded file unless told otherwise."""
    for content in ("a certain text", "and another"):
        configured.enqueue(APP, [a_reply(content)])
        assert job()[0] == 0
    assert all(b"certain text" not in path.read_bytes() for path in files(directory))
    assert list(directory.rglob("replies.*.parquet")) == []


def test_two_journals_of_one_pipeline_s_name_have_a_directory_each(directory: Path) -> None:
    """One would empty it under the other."""
    with WorkingDirectory("sms_replies", "aaaaaaaa") as first:
        assert first.path == directory
        with WorkingDirectory("sms_replies", "bbbbbbbb") as second:
            assert second.path == data_directory() / "bbbbbbbb" / "pipelines" / "sms_replies"
    with WorkingDirectory("sms_replies", "bbbbbbbb") as second:
        assert second.path == directory


def test_what_a_kill_left_beside_another_job_is_gone_after_the_next_run(directory: Path) -> None:
    """Its rows are in the journal's own directory; the next run has dlt's, as the other job has ended."""
    own = data_directory() / "bbbbbbbb" / "pipelines" / "sms_replies"
    rows = own / "load" / "normalized" / "1700000000.5" / "new_jobs" / "replies.parquet"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"PAR1")
    with WorkingDirectory("sms_replies", "bbbbbbbb") as next_one:
        next_one.empty()
        assert next_one.path == directory
    assert not own.exists()


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_while_it_is_emptied_leaves_nothing_half(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its steps the directory is whole, away or empty; the next run deletes what was renamed."""
    steps = ("rename", "unlink", "rmdir", "mkdir")
    originals = {name: getattr(os, name) for name in steps}
    left = -1

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return originals[name](*arguments, **options)

        return call

    for number in range(200):
        content = {"state.json": b"{}", "schemas/sms_source.schema.json": b"{}", "load/a/b": b"x"}
        for name, data in content.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        left = number
        with monkeypatch.context() as killing:
            for name in steps:
                killing.setattr(os, name, counted(name))
            try:
                empty_working_directory("sms_replies")
            except Killed:
                is_over = False
            else:
                is_over = True
        found = {str(path.relative_to(directory)): path.read_bytes() for path in files(directory)}
        assert found in ({}, content)
        empty_working_directory("sms_replies")
        assert list(directory.iterdir()) == []
        assert list(directory.parent.iterdir()) == [directory]
        if is_over:
            assert number > len(steps)
            return
    pytest.fail("it never ended")


def test_the_recovery_is_for_this_source_alone() -> None:
    """The documented call refuses what the job refuses."""
    other = dlt.pipeline("mine", destination="duckdb", dataset_name="other")
    other.extract(dlt.resource([{"a": 1}], name="things"))
    with pytest.raises(ConfigurationError, match="also holds the source 'mine'"):
        sms_source.empty_working_directory("mine")


@pytest.mark.long
def test_of_the_packages_that_were_loaded_the_last_few_stay(
    configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt keeps a folder for each, which would be one a second for a process that follows the queues."""
    monkeypatch.setattr("sms_source.loading.working_directory.KEPT_PACKAGES", 2)
    with Loader(resolve_options({})) as loader:
        for content in "abcd":
            configured.enqueue(APP, [a_reply(content)])
            loader.round()
        kept = list(Path(get_dlt_pipelines_dir(), "sms_replies", "load", "loaded").iterdir())
    assert len(kept) == 2
