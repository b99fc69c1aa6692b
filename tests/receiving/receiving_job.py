"""The main job that receives, in a process of its own, and who pushes to it."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.helpers.jobs import MAIN_JOB, home_in, options_for

TOKEN = "a-token-of-the-tests-0123456789"
OK = {"result": 0, "errmsg": "OK"}

_ADDRESS = re.compile(r"(Receiving callbacks on|Serving) http://[^\s/]+:(\d+)")


class Answer(NamedTuple):
    """What a push, or a look at the status, was answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class ReceivingJob:
    """A job that follows and receives, between `with` and its end.

    Args:
        arguments: of the main job, beside those that it needs to receive.
        port: where to receive; 0 for any.
        environment: in which it runs; by default this process's.
        receives: whether it receives, or only follows.
    """

    def __init__(
        self,
        *arguments: str,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        receives: bool = True,
    ) -> None:
        receive = ["--receive", f"127.0.0.1:{port}"] if receives else []
        self._arguments = ["--follow", "0.2", *receive, *arguments]
        self._receives = receives
        self._environment = {**(environment or os.environ), "SOURCES__SMS_SOURCE__CALLBACK_TOKEN": TOKEN}
        self.errors: list[str] = []
        self.port = self.status_port = 0

    def __enter__(self) -> "ReceivingJob":
        self.process = subprocess.Popen(
            [sys.executable, str(MAIN_JOB), *self._arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        while not (self.port if self._receives else self.status_port):
            line = self.process.stderr.readline()
            self.errors.append(line)
            if not line:
                raise RuntimeError(f"the job has ended: {''.join(self.errors)}")
            if found := _ADDRESS.search(line):
                name = "status_port" if found[1] == "Serving" else "port"
                setattr(self, name, int(found[2]))
        self._readers = [
            threading.Thread(target=self._read, daemon=True, args=[s]) for s in ("stderr", "stdout")
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self.errors.append(line)

    def terminate(self) -> int:
        """End it by a signal; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait()
        for reader in self._readers:
            reader.join()
        return status

    @property
    def output(self) -> str:
        """All that it said so far."""
        return "".join(self.errors)

    def url(self, path: str) -> str:
        """Return a callback's URL."""
        return f"http://127.0.0.1:{self.port}/{TOKEN}/{path}"

    def push(self, path: str, body: Any, method: str = "POST", **headers: str) -> Answer:
        """Push a body, which is made JSON unless it is bytes, to a path below the token."""
        return self.request(f"/{TOKEN}/{path}", body, method, **headers)

    def request(self, path: str, body: Any, method: str = "POST", **headers: str) -> Answer:
        """Make any request."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(self.port, method, path, encoded, headers)

    def status(self, path: str) -> Answer:
        """Look at the status."""
        return ask(self.status_port, "GET", path)

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


def configure(simulator: SimulatorProcess, folder: str) -> None:
    """Have this process, and those that it starts, work in a folder, with a simulator."""
    os.chdir(folder)
    os.environ.update({**home_in(folder), **options_for(simulator, APP)})


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Make a request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in (headers or {}).items()})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def a_pushed_reply(text: str = "TD", **fields: Any) -> dict[str, Any]:
    """Return a reply as Tencent Cloud pushes it."""
    return {
        "extend": "11",
        "mobile": "12000000001",
        "nationcode": "86",
        "sign": "Tencent Cloud",
        "text": text,
        "time": 1_620_734_188,
        **fields,
    }


def a_pushed_receipt(serial: str = "5000:1", **fields: Any) -> dict[str, Any]:
    """Return a receipt as Tencent Cloud pushes it, as in its documents."""
    return {
        "user_receive_time": "2015-10-17 08:03:04",
        "nationcode": "86",
        "mobile": "12000000001",
        "report_status": "SUCCESS",
        "errmsg": "DELIVRD",
        "description": "用户短信送达成功",
        "sid": serial,
        **fields,
    }
