"""A local Tencent Cloud SMS API over real HTTP, for the demo, for tests and for load tests.

It answers ``PullSmsReplyStatus`` (a destructive queue per application id and region) and
``PullSmsReplyStatusByPhoneNumber`` (a search that consumes nothing), version 2021-01-11, and is as strict as
their documentation: signatures, headers, parameters, rate limits. It can fail on purpose in every way that a
network and an API can (`FaultKind`), and logs what it handed out (`Pull`), to be held against what arrived::

    with Simulator(["1400006666"]) as simulator:  # or SimulatorProcess([...])
        simulator.enqueue("1400006666", demo_replies(250, seed=1, now=int(time.time())))
        simulator.fail_next("reset", after=1)
        ...  # pull from simulator.url with simulator.secret_id and simulator.secret_key
        assert simulator.stats().handed_out == 250

From a shell, ``python -m sms_source.simulator --demo-replies 500`` prints its URL and serves until stopped.

Those methods are requests to the same port, which anything on this machine can make: ``POST`` to
``/_simulator/<command>``, one of `Service.commands`, with a JSON object of its arguments. The answer is
JSON, or 400 and ``{"error": …}``; bytes travel as Latin-1 text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

# Relative, as `SimulatorProcess` starts this package by itself.
from .admission import PULL, SEARCH
from .demo import demo_replies
from .records import (
    Account,
    Fault,
    FaultKind,
    HandedOut,
    Outcome,
    Pull,
    Settings,
    Stats,
    to_json,
    to_pull,
)
from .server import CONTROL_PATH, Server, is_loopback
from .service import DEFAULT_REGION, Service, encode

__all__ = [
    "DEFAULT_APP_ID",
    "DEFAULT_REGION",
    "DEFAULT_SECRET_ID",
    "DEFAULT_SECRET_KEY",
    "PULL",
    "SEARCH",
    "Account",
    "Fault",
    "FaultKind",
    "HandedOut",
    "Outcome",
    "Pull",
    "Settings",
    "Simulator",
    "SimulatorProcess",
    "Stats",
    "demo_replies",
]

DEFAULT_APP_ID = "1400006666"
DEFAULT_SECRET_ID = "AKIDSimulatorEXAMPLE"
DEFAULT_SECRET_KEY = "SimulatorKeyEXAMPLE"


class Simulator:
    """The simulator in this process: serves in threads between ``with`` and its end.

    `settings` are fields of `Settings`; `clock` returns the server's Unix time. An address other than
    loopback is a ValueError unless `allow_remote` is true. `url` is known once the simulator is started.
    """

    url: str

    def __init__(
        self,
        app_ids: Sequence[str] = (DEFAULT_APP_ID,),
        *,
        secret_id: str = DEFAULT_SECRET_ID,
        secret_key: str = DEFAULT_SECRET_KEY,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        clock: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(f"{host} is not a loopback address, and others are not allowed")
        if port not in range(65536):
            raise ValueError("a port is 0 to 65535")
        self.secret_id, self.secret_key, self.token = secret_id, secret_key, token
        self._account = Account(secret_id, secret_key, app_ids, token)
        self._settings, self._clock = Settings(**settings), clock
        self._host, self._port = host, port

    def __enter__(self) -> Simulator:
        self._server = Server(self._host, self._port, Service(self._settings, self._clock))
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.add_account(self._account)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()  # whoever waits for an answer gets none
        self._server.shutdown()
        self._server.server_close()

    def enqueue(self, app_id: str, records: Iterable[Any], *, region: str = DEFAULT_REGION) -> int:
        """Append replies, which are JSON values or bytes to be sent as they are, and return their number."""
        total, encoded = 0, map(encode, records)
        while batch := list(itertools.islice(encoded, 10_000)):
            total += self._call("enqueue", app_id=app_id, raw=batch, region=region)
        return total

    def fail_next(
        self, fault: Fault | str, *, times: int = 1, after: int = 0, app_id: str | None = None, **options: Any
    ) -> None:
        """Make pulls fail, `times` in a row, once `after` others went well and earlier plans are over.

        `fault` is a `Fault`, or the name of a `FaultKind` with `options` for its other fields. With `app_id`,
        it waits for the pulls of that application alone.
        """
        self._call("fail_next", fault=fault, times=times, after=after, app_id=app_id, **options)

    def fail_repeatedly(self, faults: Iterable[Fault | str | None]) -> None:
        """Run through `faults` over and over, a pull each; None is a pull that goes well."""
        self._call("fail_repeatedly", faults=list(faults))

    def fail_randomly(self, mix: Mapping[Fault | str, float], *, seed: int) -> None:
        """Draw each pull's fault from `mix`, which maps faults to probabilities; the rest goes well."""
        self._call("fail_randomly", mix=list(mix.items()), seed=seed)

    def clear_faults(self) -> None:
        """Forget all faults to come."""
        self._call("clear_faults")

    def configure(self, **changes: Any) -> Settings:
        """Change fields of `Settings` and return them all."""
        return Settings(**self._call("configure", **changes))

    def add_account(self, account: Account) -> None:
        """Register an account and its application ids, or replace the one with its secret id."""
        self._call("add_account", **vars(account))

    def set_token(self, token: str | None, *, expires: float | None = None) -> None:
        """Ask for `token` from now on, until the Unix time `expires`; None asks for no token."""
        self.add_account(dataclasses.replace(self._account, token=token, token_expires=expires))

    def stats(self) -> Stats:
        """Return the counters."""
        return Stats(**self._call("stats"))

    def log(self, start: int = 0, stop: int | None = None) -> list[Pull]:
        """Return the pulls so far, or the slice of them from `start` to `stop`."""
        return list(self._pulls(start, stop))

    def handed_out(self, start: int = 0) -> Iterator[HandedOut]:
        """Yield each popped reply, a page of pulls at a time; `start` skips that many pulls."""
        for pull in self._pulls(start, None):
            for position, reply in enumerate(pull.replies):
                yield HandedOut(pull.request_id, position, reply, pull.delivered)

    def _pulls(self, start: int, stop: int | None) -> Iterator[Pull]:
        pulls = self.stats().pulls
        end = pulls if stop is None else min(stop, pulls)
        for page in range(start, end, 1000):
            yield from map(to_pull, self._call("log", start=page, stop=min(page + 1000, end)))

    def _call(self, command: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", CONTROL_PATH + command, to_json(arguments))
            response = connection.getresponse()
            result = orjson.loads(response.read())
        if response.status != 200:
            raise ValueError(result["error"])
        return result


class SimulatorProcess(Simulator):
    """The simulator in a process of its own, between ``with`` and its end; it dies with this process."""

    pid: int

    def __enter__(self) -> SimulatorProcess:
        # By itself, as `simulator`: `sms_source` imports dlt, which takes longer than all else here.
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from simulator.__main__ import main; main()"
        command = [sys.executable, "-c", start, str(Path(__file__).parents[1]), "--exit-with-parent"]
        command += [f"--host={self._host}", f"--port={self._port}"]
        command += [f"--secret-id={self.secret_id}", f"--secret-key={self.secret_key}"]
        command += [f"--app-id={app_id}" for app_id in self._account.app_ids]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.url = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self.url:
            self.__exit__()
            raise RuntimeError("the simulator did not start")
        self.add_account(self._account)
        self.configure(**vars(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
