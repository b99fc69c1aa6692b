"""The simulator in a process of its own, and its control API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sms_source.simulator import (
    Account,
    Fault,
    FaultKind,
    HandedOut,
    Simulator,
    SimulatorProcess,
)
from tests.simulator_client import APP, Client, replies


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with one application."""
    with Simulator([APP]) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


class TestProcess:
    """The simulator in a process of its own answers to the same methods, over its control API."""

    def test_controls_work_across_processes(self) -> None:
        """Replies, faults, settings, accounts, tokens, counters and the log all cross over."""
        with SimulatorProcess([APP], rate_limit=0, token="token-1") as simulator:
            client = Client(simulator)
            assert simulator.enqueue(APP, iter(replies(12_000))) == 12_000
            assert simulator.enqueue("1400006666", [b' {"odd" : "\\ud83d"}'], region="ap-beijing") == 1
            simulator.fail_next(Fault(FaultKind.BODY, body=b"\xff"), after=1)
            simulator.fail_next("reset", app_id=APP)
            with pytest.raises(ConnectionError):
                client.pull()
            client = Client(simulator)
            assert client.pull().response["PullSmsReplyStatusSet"] == replies(12_000)[100:200]
            assert client.pull().body == b"\xff"
            client.pull(headers={"X-TC-Region": "ap-beijing"})
            assert simulator.configure(empty_set="null").empty_set == "null"
            simulator.add_account(Account("AKIDother", "other-key", ["1400009999"]))
            with pytest.raises(ValueError, match="register"):
                simulator.enqueue("1400001234", replies(1))
            faults = [FaultKind.RESET, None, FaultKind.BODY, None]
            log = simulator.log()
            assert [pull.fault for pull in log] == faults
            assert log[1].records == replies(12_000)[100:200]
            assert log[1:3] == simulator.log(1, 3)
            *_, last = simulator.handed_out()
            assert last == HandedOut(log[3].request_id, 0, b' {"odd" : "\\ud83d"}', delivered=True)
            assert (simulator.stats().handed_out, simulator.stats().lost) == (301, 200)
            simulator.set_token(None)
            assert client.pull().code == "AuthFailure.TokenFailure"

    def test_control_api_is_plain_http(self, simulator: Simulator) -> None:
        """Anybody can drive it with JSON; wrong calls answer 400 and say why."""
        connection = Client(simulator).connection

        def ask(method: str, path: str, body: str | None = None) -> tuple[int, Any]:
            connection.request(method, f"/_simulator/{path}", body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

        assert ask("POST", "enqueue", json.dumps({"app_id": APP, "records": replies(2)})) == (200, 2)
        assert ask("POST", "fail_next", '{"fault": {"kind": "reset"}, "after": 1}') == (200, None)
        assert Client(simulator).pull(1).code == ""
        assert ask("GET", "stats")[1]["handed_out"] == 1
        assert ask("GET", "stats")[1]["planned_faults"] == 1
        status, log = ask("POST", "log", '{"start": 0, "stop": 5}')
        assert (status, len(log), log[0]["outcome"]) == (200, 1, "answered")
        for path, body in [
            ("fail_next", '{"fault": "gremlins"}'),
            ("configure", '{"speed": 9}'),
            ("log", "["),
        ]:
            status, error = ask("POST", path, body)
            assert status == 400
            assert error["error"]
        for nonsense in ("nonsense", "answer", "_record"):
            assert ask("POST", nonsense)[0] == 404

    def test_it_starts_without_dlt(self) -> None:
        """The package runs by itself: dlt takes longer to import than all else."""
        folder = str(Path(__file__).parents[1] / "sms_source")
        script = f"import sys\nsys.path.insert(0, {folder!r})\nimport simulator.__main__\n"
        script += "print('dlt' in sys.modules or 'sms_source' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
        assert run.stdout == "False\n"

    def test_child_dies_with_its_parent(self) -> None:
        """When the parent is killed, the port stops answering: the child exits at the end of its input."""
        script = (
            "import sys, time\nfrom sms_source.simulator import SimulatorProcess\n"
            "with SimulatorProcess() as s:\n    print(s.pid, flush=True)\n    time.sleep(600)\n"
        )
        root = str(Path(__file__).parents[1])
        parent = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and _is_running(child):
            time.sleep(0.02)
        assert not _is_running(child)


def _is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")
