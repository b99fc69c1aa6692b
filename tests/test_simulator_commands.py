"""The simulator from a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sms_source.simulator
from sms_source.simulator import (
    PULL_RECEIPTS,
    PULL_REPLIES,
    REPLIES,
    STORY_APP_IDS,
    Control,
    Settings,
    Simulator,
)
from sms_source.simulator.__main__ import main, parser
from tests.callback_receiver import Receiver
from tests.simulator_client import APP, Client, look_up

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
COMMANDS = ("serve", "enqueue", "fail", "configure", "push-to", "stats", "log", "look-ups", "pushes")

Shell = Callable[..., str]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with two applications."""
    with Simulator([APP, "1400007777"]) as running:
        yield running


@pytest.fixture
def shell(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Return what runs a command that succeeds, and gives its output; URL stands for the simulator's."""

    def run(*arguments: str) -> str:
        status = main([simulator.url if argument == "URL" else argument for argument in arguments])
        assert status == 0
        return capsys.readouterr().out

    return run


def serve(*arguments: str) -> subprocess.Popen[str]:
    """Start the simulator as a person would."""
    command = [sys.executable, "-m", "sms_source.simulator", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)


def at(url: str) -> Simulator:
    """Return the default keys with the URL of a running simulator."""
    defaults = Simulator()
    defaults.url = url
    return defaults


class TestServe:
    """``python -m sms_source.simulator`` serves and says where."""

    def test_it_serves_made_up_records_and_is_quiet(self, tmp_path: Path) -> None:
        """The URL is printed and filed, the records are dealt out to the applications, and that is all."""
        arguments = ["--demo-replies=21", "--demo-receipts=4", "--app-id=1400000001", "--app-id=1400000002"]
        process = serve(f"--url-file={tmp_path / 'url'}", *arguments)
        assert process.stdout
        url = process.stdout.readline().strip()
        assert (tmp_path / "url").read_text() == f"{url}\n"
        client = Client(at(url))
        asked = [(app_id, action) for action in (PULL_REPLIES, PULL_RECEIPTS) for app_id in (1, 2)]
        sizes = [len(client.pull(app_id=f"140000000{n}", action=action).records) for n, action in asked]
        assert sizes == [11, 10, 2, 2]
        process.terminate()
        assert process.communicate() == ("", "")
        assert process.returncode == 0

    def test_it_serves_the_story(self) -> None:
        """--story hands out the demo's two weeks, to its two applications."""
        process = serve("serve", "--story")
        assert process.stdout
        stats = Control(process.stdout.readline().strip()).stats(REPLIES)
        assert set(stats.queued) == {f"{app_id}/ap-guangzhou" for app_id in STORY_APP_IDS}
        assert stats.enqueued > 2000
        process.terminate()
        assert process.communicate() == ("", "")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--port", "many"],
            ["--port", "65536"],
            ["--latency", "-1"],
            ["--rate-limit", "-5"],
            ["--host", "0.0.0.0"],
            ["serve", "--host", "example.com"],
            ["--unknown"],
            ["dance"],
        ],
    )
    def test_bad_arguments_exit_with_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong option or command, or an address that is not loopback, is wrong usage."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "error:" in capsys.readouterr().err


class TestCommands:
    """The other commands drive a simulator that serves, given its URL."""

    def test_enqueue_makes_up_records(self, simulator: Simulator, shell: Shell) -> None:
        """So many replies or receipts, of a seed, for an application and a region."""
        assert shell("enqueue", "URL", "--made-up", "1500") == "Enqueued 1,500 replies.\n"
        receipts = ["--feed", "receipts", "--app-id", "1400007777", "--region", "ap-beijing", "--seed", "3"]
        assert shell("enqueue", "URL", "--made-up", "7", *receipts) == "Enqueued 7 receipts.\n"
        assert simulator.stats().queued == {f"{APP}/ap-guangzhou": 1500, "1400007777/ap-beijing": 7}
        answer = Client(simulator).pull(
            app_id="1400007777", action=PULL_RECEIPTS, headers={"X-TC-Region": "ap-beijing"}
        )
        assert {record["ReportStatus"] for record in answer.records} <= {"SUCCESS", "FAIL"}

    def test_enqueue_reads_a_file(self, simulator: Simulator, shell: Shell, tmp_path: Path) -> None:
        """A JSON value a line, sent as it is; empty lines are none."""
        file = tmp_path / "replies.jsonl"
        file.write_text('{"ReplyContent":  "T"}\n\n{"ReplyContent": "退订"}\n', encoding="utf-8")
        assert shell("enqueue", "URL", "--file", str(file)) == "Enqueued 2 replies.\n"
        body = Client(simulator).pull().body.decode()
        assert '[{"ReplyContent":  "T"},{"ReplyContent": "退订"}]' in body

    def test_enqueue_reads_its_input(self, simulator: Simulator) -> None:
        """A - is the standard input."""
        command = [sys.executable, "-m", "sms_source.simulator", "enqueue", simulator.url, "--file", "-"]
        run = subprocess.run(command, input=b'{"a": 1}', capture_output=True, env=ENVIRONMENT, check=True)
        assert run.stdout == b"Enqueued 1 replies.\n"
        assert Client(simulator).pull().records == [{"a": 1}]

    def test_fail_plans_and_draws(self, simulator: Simulator, shell: Shell) -> None:
        """One fault is planned, faults with shares are drawn, and --clear forgets them."""
        simulator.configure(rate_limit=0)
        client = Client(simulator)
        options = ["--status", "503", "--times", "2", "--after", "1", "--no-popped"]
        assert shell("fail", "URL", "http_status", *options) == "2 faults wait for their request.\n"
        assert [client.pull().status for _ in range(4)] == [200, 503, 503, 200]
        error = ["--code", "InternalError.Timeout", "--action", PULL_RECEIPTS, "--app-id", APP]
        shell("fail", "URL", "api_error", *error)
        assert [client.pull().code, client.pull(action=PULL_RECEIPTS).code] == ["", "InternalError.Timeout"]
        shell("fail", "URL", "http_status=0.5", "gzip=0.2", "--seed", "4")
        assert 10 < sum(client.pull().status == 502 for _ in range(60)) < 50
        assert shell("fail", "URL", "--clear") == "0 faults wait for their request.\n"
        assert {client.pull().status for _ in range(20)} == {200}

    def test_configure_changes_settings_and_prints_them(self, simulator: Simulator, shell: Shell) -> None:
        """Values are JSON or text; without any, the settings are printed."""
        changed = json.loads(shell("configure", "URL", "latency=0.5", "empty_set=null", "keep_alive=false"))
        assert (changed["latency"], changed["empty_set"], changed["keep_alive"]) == (0.5, "null", False)
        assert json.loads(shell("configure", "URL")) == changed == vars(simulator.configure())

    def test_logs_and_counters_are_json(self, simulator: Simulator, shell: Shell) -> None:
        """What was pulled, looked up, pushed and counted can be read by another program."""
        with Receiver() as receiver:
            shell("push-to", "URL", "replies", f"{receiver.url}/replies")
            shell("enqueue", "URL", "--made-up", "3")
            simulator.wait_for_pushes()
            shell("push-to", "URL", "replies", "off")
            shell("enqueue", "URL", "--made-up", "1")
        client = Client(simulator)
        client.pull(2)
        client.pull(2)
        look_up(client, "+8612000000001", int(time.time()))
        logs = {name: shell(name, "URL").splitlines() for name in ("log", "look-ups", "pushes")}
        assert [len(json.loads(line)["raw"]) for line in logs["log"]] == [2, 2]
        assert json.loads(logs["look-ups"][0])["phone_number"] == "+8612000000001"
        assert [json.loads(line)["status"] for line in logs["pushes"]] == [200] * 3
        assert shell("log", "URL", "--start", "1").splitlines() == logs["log"][1:]
        assert json.loads(shell("stats", "URL"))["enqueued"] == 4
        assert json.loads(shell("stats", "URL", "--feed", "receipts"))["enqueued"] == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["enqueue", "URL"], "one of the arguments"),
            (["enqueue", "URL", "--made-up", "1", "--app-id", "7"], "no application '7'"),
            (["enqueue", "URL", "--file", "BAD"], "line 2 of BAD is not JSON"),
            (["enqueue", "localhost", "--made-up", "1"], "does not begin with http://"),
            (["fail", "URL"], "give a FAULT, or --clear"),
            (["fail", "URL", "gremlins"], "gremlins"),
            (["fail", "URL", "reset", "gzip"], "give one FAULT"),
            (["fail", "URL", "reset=2"], "probabilities"),
            (["configure", "URL", "latency"], "not NAME=VALUE"),
            (["configure", "URL", "latency=fast"], "not 'fast'"),
            (["configure", "URL", "latency=-1"], "latency is 0 or more"),
            (["configure", "URL", "delivery=pigeon"], "delivery is one of both, either, split"),
            (["push-to", "URL", "receipts", "http://127.0.0.1:1/"], "for each app_id"),
        ],
    )
    def test_wrong_use_exits_with_2(
        self,
        shell: Shell,
        arguments: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """What can't be, or what the simulator refuses, is told with its reason."""
        Path("BAD").write_text('{"a": 1}\n{\n')
        with pytest.raises(SystemExit) as caught:
            shell(*arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_nobody_there_exits_with_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A URL at which no simulator answers is a failure of the run."""
        with Simulator() as gone:
            url = gone.url
        assert main(["stats", url]) == 1
        assert "Connection refused" in capsys.readouterr().err


class TestHelp:
    """--help is complete."""

    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_every_command_has_examples_that_parse(
        self, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each has its own --help, and its examples are commands that exist."""
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as caught:
            main([*command.split(), "--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert command or all(re.search(rf"^    {name}\b", text, re.MULTILINE) for name in COMMANDS)
        examples = re.findall(r"^  python -m sms_source.simulator (.*?)(?:   .*)?$", text, re.MULTILINE)
        assert examples or command == "serve"
        for example in examples:
            arguments = shlex.split(example)
            if command:
                assert arguments[0] == command
            arguments = arguments if arguments[0] in COMMANDS else ["serve", *arguments]
            parser().parse_args(arguments)

    def test_settings_are_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each setting is there with its default and what it means."""
        with pytest.raises(SystemExit):
            main(["configure", "--help"])
        text = capsys.readouterr().out
        for name, value in vars(Settings()).items():
            shown = value if isinstance(value, str) else json.dumps(value)
            assert re.search(rf"^  {name}={re.escape(shown)}\n      \S", text, re.MULTILINE), name


def test_curl_examples_work(simulator: Simulator) -> None:
    """Those of the module's docstring, as they stand there."""
    lines = [line.strip() for line in str(sms_source.simulator.__doc__).splitlines()]
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) > 10
    outputs = {}
    for command in commands:
        silent = command.replace("curl ", "curl --silent --fail-with-body --noproxy '*' ")
        run = subprocess.run(
            ["sh", "-c", silent], capture_output=True, env={**ENVIRONMENT, "URL": simulator.url}, check=False
        )
        assert run.returncode == 0, (command, run.stdout, run.stderr)
        outputs[command] = json.loads(run.stdout)
    assert outputs[commands[-1]]["enqueued"] == simulator.stats().enqueued == 510
    assert outputs[commands[-1]]["planned_faults"] == 0
