"""A simulator to run: in this process, or in one of its own."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .control import Control
from .records import Account
from .server import Server, is_loopback
from .service import Service
from .settings import Settings

DEFAULT_APP_ID = "1400006666"
DEFAULT_SECRET_ID = "AKIDSimulatorEXAMPLE"
DEFAULT_SECRET_KEY = "SimulatorKeyEXAMPLE"


class Simulator(Control):
    """The simulator in this process: serves in threads between ``with`` and its end.

    `settings` are fields of `Settings`; `clock` returns the server's Unix time. An address other than
    loopback is a ValueError unless `allow_remote` is true. `url` is known once the simulator is started.
    """

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
        super().__init__("")
        self.secret_id, self.secret_key, self.token = secret_id, secret_key, token
        self._account = Account(secret_id, secret_key, app_ids, token)
        self._settings, self._clock = Settings(**settings), clock
        self._host, self._port = host, port

    def __enter__(self) -> Simulator:
        self._service = Service(self._settings, self._clock)
        self._server = Server(self._host, self._port, self._service)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.add_account(self._account)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()  # whoever waits for an answer gets none
        self._service.close()
        self._server.shutdown()
        self._server.server_close()

    def set_token(self, token: str | None, *, expires: float | None = None) -> None:
        """Ask for `token` from now on, until the Unix time `expires`; None asks for no token."""
        self.add_account(dataclasses.replace(self._account, token=token, token_expires=expires))


class SimulatorProcess(Simulator):
    """The simulator in a process of its own, between ``with`` and its end; it dies with this process."""

    pid: int

    def __enter__(self) -> SimulatorProcess:
        # By itself, as `simulator`: `sms_source` imports dlt, which takes longer than all else here.
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from simulator.__main__ import main; main()"
        command = [sys.executable, "-c", start, str(Path(__file__).parents[1]), "serve", "--exit-with-parent"]
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
