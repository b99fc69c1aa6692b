"""The simulator from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sms_source.simulator import (
    Simulator,
)
from sms_source.simulator.__main__ import main
from tests.simulator_client import Client


class TestCommandLine:
    """``python -m sms_source.simulator`` serves and says where."""

    def test_it_serves_demo_replies_and_is_quiet(self, tmp_path: Path) -> None:
        """The URL is printed and filed, the replies are dealt out to the applications, and that is all."""
        arguments = ["--demo-replies=21", "--app-id=1400000001", "--app-id=1400000002"]
        command = [sys.executable, "-m", "sms_source.simulator", f"--url-file={tmp_path / 'url'}", *arguments]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert process.stdout
        url = process.stdout.readline().strip()
        assert (tmp_path / "url").read_text() == f"{url}\n"
        defaults = Simulator()
        defaults.url = url
        client = Client(defaults)
        sizes = [len(client.pull(app_id=f"140000000{n}").response["PullSmsReplyStatusSet"]) for n in (1, 2)]
        assert sizes == [11, 10]
        process.terminate()
        assert process.communicate() == ("", "")
        assert process.returncode == 0

    def test_help_exits_with_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--help describes the options."""
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        assert "--demo-replies" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--port", "many"],
            ["--port", "65536"],
            ["--latency", "-1"],
            ["--rate-limit", "-5"],
            ["--host", "0.0.0.0"],
            ["--host", "example.com"],
            ["--unknown"],
        ],
    )
    def test_bad_arguments_exit_with_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong option, or an address that is not loopback, is wrong usage."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "error:" in capsys.readouterr().err
