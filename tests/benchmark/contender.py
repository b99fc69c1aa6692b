"""Who is measured: each contender's commands, what it is told, and where its replies are afterwards."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tests.benchmark.measure import Command, Run
from tests.benchmark.workload import Source
from tests.environment import ROOT, Environment
from tests.helpers.jobs import options_for

FOLDER = Path(__file__).parent
SCRIPTS = FOLDER / "contenders"
SDK = "tencentcloud-sdk-python-common"
SINGER_ENVIRONMENT = Environment(
    ".venv-singer", FOLDER / "constraints-singer.txt", ("singer-sdk", "target-duckdb", SDK)
)
AIRBYTE_ENVIRONMENT = Environment(".venv-airbyte", FOLDER / "constraints-airbyte.txt", ("airbyte", SDK))


def python() -> str:
    """Return the interpreter that runs the benchmark: its environment has the project's pinned versions."""
    return sys.executable


@dataclass(frozen=True)
class Contender:
    """A way to get replies from the queue into DuckDB.

    letter: short, for the command line.
    commands: joined by pipes; called when they are needed, as an environment may have to be made first.
    phones: a query for the phone number of each reply in the database.
    at_risk: a query for the number of replies that the contender itself knows it may have lost.
    """

    letter: str
    name: str
    commands: Callable[[], Sequence[Command]]
    database: str
    phones: str
    at_risk: str | None = None

    def start(self, folder: Path, source: Source) -> Run:
        """Start a run in a folder, which another run of it may have used before."""
        return Run(self.commands(), folder, environment(folder, source))


@dataclass(frozen=True)
class Arrived:
    """What is in a contender's database.

    rows: in its table.
    people: their phone numbers.
    at_risk: replies that it says it may have lost; None if it keeps no account.
    """

    rows: int = 0
    people: set[str] = field(default_factory=set)
    at_risk: int | None = None


def arrived(contender: Contender, folder: Path) -> Arrived:
    """Read a contender's database; one that is not there holds nothing."""
    database = folder / contender.database
    if not database.exists():
        return Arrived()
    with duckdb.connect(str(database), read_only=True) as connection:
        phones = [phone for (phone,) in connection.execute(contender.phones).fetchall()]
        at_risk = None
        if contender.at_risk:
            row = connection.execute(contender.at_risk).fetchone()
            at_risk = int(row[0] or 0) if row else 0
    return Arrived(len(phones), set(phones), at_risk)


def a_folder(parent: Path, name: str) -> Path:
    """Return a new folder, configured as a checkout of this project is."""
    folder = parent / name
    shutil.copytree(ROOT / ".dlt", folder / ".dlt", ignore=shutil.ignore_patterns("*secrets.toml"))
    return folder


def environment(folder: Path, source: Source | None = None) -> Mapping[str, str]:
    """Return the environment of a run: nothing of the person's who runs the benchmark but the path."""
    variables = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_OFFLINE_MODE": "1",
    }
    if source:
        simulator = source.simulator
        variables |= {
            "BENCHMARK_URL": simulator.url,
            "BENCHMARK_APP_ID": source.app_id,
            "BENCHMARK_SECRET_ID": simulator.secret_id,
            "BENCHMARK_SECRET_KEY": simulator.secret_key,
            **options_for(simulator, source.app_id),
        }
        if not source.setting.rate_limit:
            variables["SOURCES__SMS_SOURCE__PULLS_PER_SECOND"] = (
                "1000"  # the most that may be configured; none reaches it
            )
    return variables


def _script(name: str) -> Callable[[], Sequence[Command]]:
    return lambda: [[python(), str(SCRIPTS / f"{name}.py")]]


OURS = Contender(
    "a",
    "this connector",
    lambda: [[python(), str(ROOT / "pipelines" / "load_replies.py")]],
    "sms_replies.duckdb",
    "select phone_number from sms.replies",
    "select sum(at_risk) from sms.pulls",
)
TEXTBOOK = Contender(
    "b",
    "a textbook dlt resource",
    _script("textbook_dlt"),
    "textbook.duckdb",
    "select phone_number from sms.replies",
)
MINIMAL = Contender(
    "",
    "requests and dlt alone",
    _script("minimal"),
    "minimal.duckdb",
    "select phone_number from sms.replies",
)
SCRIPT = Contender(
    "c",
    "a script: SDK, pandas, DuckDB",
    _script("sdk_pandas_duckdb"),
    "script.duckdb",
    "select PhoneNumber from replies",
)
SINGER = Contender(
    "d",
    "a Singer tap and target-duckdb",
    lambda: [
        [SINGER_ENVIRONMENT.program("python"), str(SCRIPTS / "singer_tap.py")],
        [SINGER_ENVIRONMENT.program("target-duckdb"), "--config", str(SCRIPTS / "singer_target.json")],
    ],
    "singer.duckdb",
    "select phonenumber from sms.replies",
)
AIRBYTE = Contender(
    "e",
    "an Airbyte source and PyAirbyte",
    lambda: [[AIRBYTE_ENVIRONMENT.program("python"), str(SCRIPTS / "airbyte_read.py")]],
    "airbyte.duckdb",
    "select phonenumber from sms.replies",
)
CONTENDERS = (OURS, TEXTBOOK, SCRIPT, SINGER, AIRBYTE)
