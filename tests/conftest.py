"""What the tests share: the simulator in its own process, and pipelines with a disk of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from hypothesis import settings

from sms_source import DrainReport, sms_source
from sms_source.cli import job as main_job
from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.helpers.jobs import options_for

APP = "1400006666"
OTHER_APP = "1400007777"

# The same examples each time, so that a commit is right or wrong whenever it is tested; `make test-thorough`
# draws others.
settings.register_profile("same", derandomize=True)
settings.register_profile("thorough", max_examples=10_000)
settings.load_profile("same")

Rows = list[tuple[Any, ...]]


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes test: more than cores, as a test waits for a fifth of its time."""
    return (os.cpu_count() or 1) * 3 // 2


Job = Callable[..., tuple[int, str, str]]


def a_reply(content: Any = "T", **fields: Any) -> dict[str, Any]:
    """Return a record as the API hands it out."""
    return {
        "ExtendCode": "11",
        "CountryCode": "86",
        "PhoneNumber": "+8612000000001",
        "SubscriberNumber": "12000000001",
        "SignName": "Tencent Cloud",
        "ReplyContent": content,
        "ReplyTime": 1_620_734_188,
        **fields,
    }


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a current directory, a home and a dlt data directory that nothing else uses."""
    for name in [name for name in os.environ if name.startswith(("SOURCES__", "TENCENTCLOUD_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("DLT_LOCAL_DIR", str(folder))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(folder))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Provide an empty journal, which this process holds."""
    with Journal(str(tmp_path / "journal")) as journal:
        yield journal


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Provide a Tencent Cloud SMS API in a process of its own, with two applications and empty queues."""
    with SimulatorProcess(app_ids=[APP, OTHER_APP]) as simulator:
        yield simulator


@pytest.fixture
def configured(simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> SimulatorProcess:
    """Provide the simulator, with dlt's configuration in the environment pointing to it, as users have it."""
    for name, value in options_for(simulator, APP, pull_timeout="2").items():
        monkeypatch.setenv(name, value)
    return simulator


class Warehouse:
    """A pipeline into a DuckDB file, and what a person would see in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "sms_replies.duckdb"

    def pipeline(self) -> dlt.Pipeline:
        """Return the main job's pipeline, as a new process would make it."""
        return dlt.pipeline(
            "sms_replies", destination=dlt.destinations.duckdb(str(self.database)), dataset_name="sms"
        )

    def run(self, **arguments: Any) -> DrainReport:
        """One extraction and load of the source, with the options of the environment."""
        report = DrainReport()
        self.pipeline().run(sms_source(report=report, **arguments))
        return report

    def query(self, sql: str) -> Rows:
        """Rows of a query."""
        import duckdb

        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def contents(self) -> list[str]:
        """Return what people wrote, in the order of what they wrote."""
        return [content for (content,) in self.query("select reply_content from sms.replies order by 1")]


@pytest.fixture
def warehouse(own_folders: Path) -> Warehouse:
    """Provide an empty warehouse."""
    return Warehouse(own_folders)


@pytest.fixture
def job(capfd: pytest.CaptureFixture[str]) -> Iterator[Job]:
    """Run the main job; return its exit status, output and errors."""
    umask = os.umask(0o022)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main_job(list(arguments))
        return status, *capfd.readouterr()

    yield run
    os.umask(umask)
