"""A MariaDB server of its own. Requirements: the extra `mysql`, and Debian's package (install.sh)."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.conftest import Rows

USER, PASSWORD = "loader", "not-a-secret"


class MariaServer:
    """A server whose databases are Latin-1 unless they say otherwise; a context manager."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/base"

    def __enter__(self) -> "MariaServer":
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        user = "mysql" if os.geteuid() == 0 else getpass.getuser()
        shutil.chown(self._folder, user)
        # A server that starts takes away what looks like temporary tables in its folder for them.
        common = ["--no-defaults", f"--user={user}", f"--datadir={self._folder / 'data'}"]
        common.append(f"--tmpdir={self._folder}")
        subprocess.run(
            ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(shutil.which("mariadbd") or "/usr/sbin/mariadbd", *common),
                    *(
                        f"--port={self.port}",
                        "--bind-address=127.0.0.1",
                        f"--socket={self._folder / 'socket'}",
                    ),
                    *(f"--pid-file={self._folder / 'pid'}", "--character-set-server=latin1"),
                    # Killed processes, not power cuts, are what the tests are about.
                    "--innodb-flush-log-at-trx-commit=0",
                ],
                stdout=log,
                stderr=log,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise RuntimeError(f"MariaDB did not start:\n{(self._folder / 'log.txt').read_text()}")
            time.sleep(0.05)
        self.execute(
            f"create user {USER}@'127.0.0.1' identified by '{PASSWORD}'",
            f"grant all on *.* to {USER}@'127.0.0.1'",
            "create database base",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def execute(self, *statements: str) -> Rows:
        """Rows of the last of some statements, in one transaction."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = list(cursor.fetchall())
            connection.commit()
            return rows

    def connect(self) -> Any:
        """Provide a session of the server's owner."""
        return pymysql.connect(unix_socket=str(self._folder / "socket"), user="root", charset="utf8mb4")

    def _answers(self) -> bool:
        with contextlib.suppress(pymysql.Error):
            self.connect().close()
            return True
        return False


@pytest.fixture(scope="session")
def server() -> Iterator[MariaServer]:
    """Provide a server for all tests."""
    with MariaServer() as server:
        yield server


@pytest.fixture
def mariadb(server: MariaServer, monkeypatch: pytest.MonkeyPatch) -> MariaServer:
    """Provide the server without tables, and dlt's configuration in the environment pointing to it."""
    for (name,) in server.execute("show databases like 'sms%'"):
        server.execute(f"drop database {name}")
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", server.url)
    return server
