"""The DAG in a real Airflow, deployed as its docstring says. `make test-airflow` installs one."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sms_source.simulator import SimulatorProcess
from tests.airflow.environment import AIRFLOW
from tests.conftest import APP, Warehouse, a_reply
from tests.environment import ROOT
from tests.postgres.conftest import PostgresWarehouse

pytestmark = pytest.mark.timeout(900)

DAG = "load_replies"

# Warnings are errors once Airflow is imported: the DAG's own are what is looked for.
LOOK_AT_DAG = """
import json, warnings
from airflow.dag_processing.dagbag import DagBag
warnings.simplefilter("error")
bag = DagBag()
(dag,) = bag.dags.values()
(task,) = dag.tasks
print(json.dumps({
    "errors": bag.import_errors,
    "warnings": {path: list(caught) for path, caught in bag.captured_warnings.items()},
    "dag": dag.dag_id,
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "retries": task.retries,
    "timeout": task.execution_timeout.total_seconds(),
}))
"""


def python(code: str, environment: dict[str, str]) -> str:
    """Return what a program prints in Airflow's environment."""
    command = [AIRFLOW.program("python"), "-c", code]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="session")
def new_airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide an AIRFLOW_HOME with its database, to be copied: making one takes longer than a test."""
    if not (AIRFLOW.folder / ".installed").exists():
        pytest.fail(
            f"{AIRFLOW.name} is not there: run `make test-airflow`, or python -m tests.airflow.environment"
        )
    home = tmp_path_factory.mktemp("airflow")
    command = [AIRFLOW.program("airflow"), "db", "migrate"]
    subprocess.run(command, env=Airflow.environment_of(home), check=True, capture_output=True)
    return home


class Airflow:
    """An Airflow with the DAG deployed, and a worker's environment that the test fills in."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = folder / "airflow"
        # Its configuration has the folder's name in it; Airflow makes a new one.
        shutil.copytree(home, self.home, ignore=shutil.ignore_patterns("airflow.cfg", "logs"))
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "pipelines", self.home / "dags" / "pipelines", ignore=ignored)
        self.journal = folder / "shared" / "journal"
        self.environment = {
            **self.environment_of(self.home),
            "DLT_DATA_DIR": str(folder / "dlt"),
            "SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS": APP,
            "SOURCES__SMS_SOURCE__JOURNAL_URL": str(self.journal),
        }

    @staticmethod
    def environment_of(home: Path) -> dict[str, str]:
        """Nothing but what Airflow needs: no variable of the test's own reaches the DAG."""
        return {
            "PATH": f"{AIRFLOW.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }

    def start(self, **environment: str) -> "subprocess.Popen[bytes]":
        """Start `airflow dags test` in a process group of its own; its output goes to a file."""
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [AIRFLOW.program("airflow"), "dags", "test", DAG],
                env={**self.environment, **environment},
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self, **environment: str) -> tuple[int, str]:
        """Run the DAG once; return the exit status and the output."""
        status = self.start(**environment).wait()
        return status, self.printed()

    @property
    def output(self) -> Path:
        """What the last run printed."""
        return self.folder / "output.txt"

    def printed(self) -> str:
        """Return what the last run has printed by now."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def returned(self) -> dict[str, Any]:
        """Return the return value of the last run's task, from Airflow's database."""
        query = "select value from xcom where key = 'return_value' order by timestamp desc limit 1"
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as connection:
            ((value,),) = connection.execute(query)
        while isinstance(value, str):
            value = json.loads(value)
        return dict(value)

    def answers(self) -> int:
        """How many answers are in the journal."""
        return len(list(self.journal.glob("drains/*/*.answer")))


@pytest.fixture
def airflow(tmp_path: Path, new_airflow_home: Path) -> Airflow:
    """Provide an Airflow that has not run anything yet."""
    return Airflow(tmp_path, new_airflow_home)


Contents = Callable[[], list[str]]


@pytest.fixture(params=["duckdb", "postgres"])
def contents(request: pytest.FixtureRequest, airflow: Airflow) -> Contents:
    """Provide what people wrote, from the destination that the DAG is configured for."""
    airflow.environment["PIPELINES__SMS_REPLIES__DESTINATION_TYPE"] = request.param
    if request.param == "postgres":
        postgres: PostgresWarehouse = request.getfixturevalue("postgres")
        airflow.environment |= postgres.server.environment
        return postgres.contents
    warehouse = Warehouse(airflow.folder)
    airflow.environment["DESTINATION__DUCKDB__CREDENTIALS"] = str(warehouse.database)
    return warehouse.contents


def replies(first: int, last: int) -> list[dict[str, Any]]:
    """Return replies that can be told apart, all of 2021: of no run's interval."""
    return [a_reply(f"{number:04}") for number in range(first, last)]


def numbers(last: int) -> list[str]:
    """Return what `replies` wrote."""
    return [f"{number:04}" for number in range(last)]


def keys_in_variable(simulator: SimulatorProcess) -> dict[str, str]:
    """Return the configuration in the Airflow variable that dlt reads."""
    toml = f"""
[sources.sms_source]
api_endpoint = "{simulator.url}"

[sources.sms_source.credentials]
secret_id = "{simulator.secret_id}"
secret_key = "{simulator.secret_key}"
"""
    return {"AIRFLOW_VAR_DLT_SECRETS_TOML": toml}


def keys_in_connection(simulator: SimulatorProcess) -> dict[str, str]:
    """Return the keys in an Airflow connection, the rest in the environment."""
    connection = {"conn_type": "generic", "login": simulator.secret_id, "password": simulator.secret_key}
    return {
        "AIRFLOW_CONN_TENCENT_SMS": json.dumps(connection),
        "SOURCES__SMS_SOURCE__API_ENDPOINT": simulator.url,
    }


def wait_for_answers(airflow: Airflow, process: "subprocess.Popen[bytes]", count: int) -> None:
    """Wait until so many answers are in the journal while the run goes on; a failed one would be retried."""
    while airflow.answers() < count:
        assert process.poll() is None, airflow.printed()
        assert "Task failed" not in airflow.printed(), airflow.printed()
        time.sleep(0.005)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kills the run's whole process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_the_dag_parses_without_errors_and_warnings(airflow: Airflow) -> None:
    """Airflow shows a broken DAG as an import error, a sloppy one with warnings; its limits keep it safe."""
    seen = json.loads(python(LOOK_AT_DAG, airflow.environment).splitlines()[-1])
    assert seen.pop("timeout") >= 3600
    assert seen.pop("retries") >= 1
    expected = {"errors": {}, "warnings": {}, "dag": DAG, "catchup": False, "max_active_runs": 1}
    assert seen == expected


def test_runs_load_every_reply_once_even_if_one_is_killed(
    airflow: Airflow, simulator: SimulatorProcess, contents: Contents
) -> None:
    """A run, one that is killed while it pulls, and one more: all there, once; the summary is returned."""
    simulator.enqueue(APP, replies(0, 250))
    status, output = airflow.run(**keys_in_variable(simulator))
    assert status == 0, output
    assert contents() == numbers(250)
    summary = airflow.returned()
    assert (summary["replies"], summary["pulls"], summary["in_doubt"]) == (250, 3, 0)
    assert simulator.secret_key not in output

    simulator.enqueue(APP, replies(250, 750))
    # A pull a second: the kill comes between two, when no answer is on its way.
    process = airflow.start(**keys_in_connection(simulator), SOURCES__SMS_SOURCE__PULLS_PER_SECOND="1")
    wait_for_answers(airflow, process, 2)
    kill(process)
    assert simulator.stats().queued[f"{APP}/ap-guangzhou"] > 0
    assert contents() == numbers(250)

    status, output = airflow.run(**keys_in_connection(simulator))
    assert status == 0, output
    assert contents() == numbers(750)
    assert airflow.returned()["replies"] == 500
    assert simulator.secret_key not in output


@pytest.mark.parametrize("contents", ["duckdb"], indirect=True)
def test_a_killed_task_stops_pulling_and_loads_what_it_has(
    airflow: Airflow, simulator: SimulatorProcess, contents: Contents
) -> None:
    """Airflow sends SIGTERM to a task that is marked failed or whose worker shuts down."""
    simulator.enqueue(APP, replies(0, 5000))
    process = airflow.start(**keys_in_variable(simulator), SOURCES__SMS_SOURCE__PULLS_PER_SECOND="1")
    wait_for_answers(airflow, process, 2)
    process.terminate()
    while "Task failed" not in airflow.printed():
        assert process.poll() is None, airflow.printed()
        time.sleep(0.05)
    kill(process)  # it waits for the time of its retry
    assert "Stopped by a signal before the queues were empty" in airflow.printed()
    left = simulator.stats().queued[f"{APP}/ap-guangzhou"]
    assert 0 < left < 5000
    assert contents() == numbers(5000 - left)


@pytest.mark.parametrize("contents", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SOURCES__SMS_SOURCE__JOURNAL_URL", "sms_journal", "expected an absolute path or a URL"),
        ("SOURCES__SMS_SOURCE__PULL_WORKER", "3", "Did you mean 'pull_workers'?"),
    ],
)
def test_a_wrong_configuration_fails_for_good_and_takes_nothing(
    airflow: Airflow, simulator: SimulatorProcess, contents: Contents, name: str, value: str, message: str
) -> None:
    """No retry can correct it, so the task fails at once, with the connector's own message."""
    simulator.enqueue(APP, replies(0, 10))
    status, output = airflow.run(**keys_in_variable(simulator), **{name: value})
    assert status != 0
    assert "AirflowFailException" in output
    assert message in output
    assert simulator.stats().pulls == 0
