"""The workflow that loads replies, step by step as its file says, on runners that do not outlive their run.

A runner is a clean clone in a folder of its own, with a Python environment of its own. Runners have in
common what the workflow says is elsewhere: the journal, in an S3 server, and the warehouse, in PostgreSQL.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from sms_source.configuration import check_names
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.postgres.conftest import PostgresWarehouse
from tests.s3.conftest import BUCKET, S3Server

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "load_replies.yml"

_EXPRESSION = re.compile(r"\$\{\{ (secrets|vars)\.(\w+) \}\}")


def load_workflow() -> dict[Any, Any]:
    """Return the workflow's file."""
    document: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return document


@dataclass
class Repository:
    """What a user sets in the repository's settings on GitHub."""

    vars: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def fill_in(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an `env:` of the file, its expressions evaluated; what is not set is empty, as on GitHub."""
        settings = {"vars": self.vars, "secrets": self.secrets}
        return {
            name: _EXPRESSION.sub(lambda match: settings[match[1]].get(match[2], ""), value)
            for name, value in environment.items()
        }


class Runner:
    """A machine that runs the workflow once. `step` is the step that is being run."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.folder = folder
        self.clone = folder / "clone"
        self.summary = folder / "summary.md"
        self.output = folder / "output.txt"
        self.step: subprocess.Popen[bytes] | None = None
        self._repository = repository
        self._workflow = load_workflow()
        for path in (self.clone, folder / "home", folder / "temp"):
            path.mkdir(parents=True)
        self.summary.touch()

    def steps(self) -> Iterator[str]:
        """Run the steps in order; yield the name of each before it is run. `failed` tells the end."""
        (job,) = self._workflow["jobs"].values()
        failed = False
        for step in job["steps"]:
            if failed and step.get("if") != "always()":
                continue
            yield step.get("name") or step["uses"].partition("@")[0]
            if "uses" in step:
                self._use(step["uses"].partition("@")[0])
                continue
            environment = {}
            for level in (self._workflow, job, step):
                environment.update(self._repository.fill_in(level.get("env", {})))
            failed = self._execute(step["run"], step.get("shell"), environment) != 0 or failed
        self.failed = failed

    def run(self) -> None:
        """Run all steps."""
        for _ in self.steps():
            pass

    def printed(self) -> str:
        """Return what the steps have printed."""
        return self.output.read_text(encoding="utf-8")

    def kill_step(self) -> None:
        """Do what becomes of a runner whose machine is gone."""
        assert self.step is not None
        os.killpg(self.step.pid, signal.SIGKILL)

    def _use(self, action: str) -> None:
        """Stands in for GitHub's actions: checkout and setup-python."""
        if action == "actions/checkout":
            self.clone.rmdir()
            _git("clone", "--quiet", str(ROOT), str(self.clone))
            # What is not committed yet is what a developer wants tested.
            names = _git("ls-files", "-z", "--modified", "--others", "--exclude-standard").split("\0")
            for path in filter(Path.is_file, (ROOT / name for name in names if name)):
                target = self.clone / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        elif action == "actions/setup-python":
            subprocess.run([sys.executable, "-m", "venv", str(self.folder / "python")], check=True)
        else:
            raise AssertionError(action)

    def _execute(self, script: str, shell: str | None, environment: Mapping[str, str]) -> int:
        file = self.folder / "temp" / "step.sh"
        file.write_text(script, encoding="utf-8")
        options = ["--noprofile", "--norc", "-eo", "pipefail"] if shell == "bash" else ["-e"]
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        reader, writer = os.pipe()
        with self.output.open("ab") as output:
            self.step = subprocess.Popen(
                ["bash", *options, str(file)],
                cwd=self.clone,
                env={
                    **pip,
                    "CI": "true",
                    "HOME": str(self.folder / "home"),
                    "PATH": f"{self.folder / 'python' / 'bin'}:{os.defpath}",
                    "PIP_CACHE_DIR": _pip_cache(),
                    "RUNNER_TEMP": str(self.folder / "temp"),
                    "GITHUB_STEP_SUMMARY": str(self.summary),
                    "DLT_DATA_DIR": str(self.folder / "home" / "dlt"),  # as root, dlt has it elsewhere
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[writer],
            )
        os.close(writer)
        os.read(reader, 1)  # GitHub's runner, too, waits until what the step started has closed its output
        os.close(reader)
        return self.step.wait()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _pip_cache() -> str:
    """Return what the workflow's `cache: pip` keeps from run to run: the user's cache, not the test's."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return os.environ.get("PIP_CACHE_DIR") or str(home / ".cache" / "pip")


@pytest.mark.parametrize(
    ("journal_url", "destination", "reason"),
    [
        ("", "postgres", "names no object store"),
        ("sms_journal", "postgres", "names no object store"),
        ("file:///tmp/journal", "postgres", "names no object store"),
        ("s3://bucket/sms", "", "names no warehouse"),
        ("s3://bucket/sms", "duckdb", "names no warehouse"),
    ],
)
def test_it_refuses_to_keep_the_only_copy(
    tmp_path: Path, journal_url: str, destination: str, reason: str
) -> None:
    """Before anything is pulled, and with the reason on the run's page: the runner's disk dies with it."""
    variables = {"SOURCES__SMS_SOURCE__JOURNAL_URL": journal_url, "DESTINATION": destination}
    runner = Runner(tmp_path / "runner", Repository(vars=variables))
    steps = runner.steps()
    assert [next(steps), next(steps)] == ["Refuse to lose replies", "Show the figures"]
    assert reason in runner.summary.read_text()
    assert "::error::The variable" in runner.printed()


def test_it_goes_on_with_a_remote_journal_and_warehouse(tmp_path: Path) -> None:
    """The refusal is no obstacle to who has configured it rightly."""
    variables = {"SOURCES__SMS_SOURCE__JOURNAL_URL": "s3://bucket/sms", "DESTINATION": "postgres"}
    steps = Runner(tmp_path / "runner", Repository(vars=variables)).steps()
    assert [next(steps), next(steps)] == ["Refuse to lose replies", "actions/checkout"]


def test_its_runs_wait_for_each_other() -> None:
    """A run that is cancelled while it pulls loses the answer that is on its way."""
    workflow = load_workflow()
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert workflow["permissions"] == {}
    # YAML reads the key `on` as true.
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}


def test_it_passes_each_setting_on_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a slip in it is a secret that never arrives, or an option that dlt passes over."""
    (job,) = load_workflow()["jobs"].values()
    passed = {**job["env"], **next(step["env"] for step in job["steps"] if step.get("name") == "Load")}
    for name, expression in passed.items():
        match = _EXPRESSION.fullmatch(expression)
        assert match is not None
        assert match[2] == name
        monkeypatch.setenv(name, "given")
    check_names()


@dataclass
class Elsewhere:
    """What runners have in common: the settings that name it, and a look at it."""

    repository: Repository
    warehouse: PostgresWarehouse
    store: S3Server

    def answers(self) -> int:
        """How many answers are in the journal."""
        return len([name for name in self.store.files().find(f"{BUCKET}/sms") if name.endswith(".answer")])


@pytest.fixture
def elsewhere(simulator: SimulatorProcess, s3: S3Server, postgres: PostgresWarehouse) -> Elsewhere:
    """Provide a journal in an S3 server and a warehouse in PostgreSQL, both empty."""
    source = "SOURCES__SMS_SOURCE"
    repository = Repository(
        vars={
            "DESTINATION": "postgres",
            f"{source}__API_ENDPOINT": simulator.url,
            f"{source}__JOURNAL_URL": f"s3://{BUCKET}/sms",
            f"{source}__JOURNAL__CREDENTIALS__ENDPOINT_URL": s3.url,
            f"{source}__SMS_SDK_APP_IDS": f'["{APP}"]',
        },
        secrets={
            "DESTINATION__CREDENTIALS": postgres.server.url,
            f"{source}__CREDENTIALS__SECRET_ID": simulator.secret_id,
            f"{source}__CREDENTIALS__SECRET_KEY": simulator.secret_key,
            f"{source}__JOURNAL__CREDENTIALS__AWS_ACCESS_KEY_ID": "k",
            f"{source}__JOURNAL__CREDENTIALS__AWS_SECRET_ACCESS_KEY": "s",
        },
    )
    return Elsewhere(repository, postgres, s3)


@pytest.mark.timeout(1800)
def test_a_runner_that_dies_leaves_its_replies_to_the_next(
    tmp_path: Path, simulator: SimulatorProcess, elsewhere: Elsewhere
) -> None:
    """All there, once, although the two have nothing in common but the journal and the warehouse."""
    simulator.enqueue(APP, [a_reply(f"{number:04}") for number in range(500)])

    dying = Runner(tmp_path / "dying", elsewhere.repository)
    for name in dying.steps():
        if name == "Load":
            # A pull a second, from the repository's own configuration: the kill comes between two.
            config = dying.clone / ".dlt" / "config.toml"
            text = config.read_text().replace("# [sources.sms_source]", "[sources.sms_source]")
            config.write_text(text.replace("# pulls_per_second = 100", "pulls_per_second = 1"))
            threading.Thread(target=_kill_after_answers, args=(dying, elsewhere, 2), daemon=True).start()
    assert dying.failed
    assert elsewhere.answers() >= 2, dying.printed()
    assert simulator.stats().queued[f"{APP}/ap-guangzhou"] > 0
    shutil.rmtree(dying.folder)

    following = Runner(tmp_path / "following", elsewhere.repository)
    following.run()
    assert not following.failed, following.printed()
    assert elsewhere.warehouse.contents() == [f"{number:04}" for number in range(500)]
    assert "Loaded 500 replies into sms.replies" in following.summary.read_text()
    assert simulator.secret_key not in following.printed() + following.summary.read_text()


def _kill_after_answers(runner: Runner, elsewhere: Elsewhere, count: int) -> None:
    """Kills the next step of the runner once so many answers are in the journal, unless it ends before."""
    step_before = runner.step
    while runner.step is step_before:
        time.sleep(0.02)
    while runner.step is not None and runner.step.poll() is None:
        if elsewhere.answers() >= count:
            runner.kill_step()
            return
        time.sleep(0.02)
