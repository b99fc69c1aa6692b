"""A PostgreSQL server of its own: Debian's programs, a temporary directory, a loopback port."""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NEEDED = ("createdb", "initdb", "pg_dump", "pg_isready", "postgres", "psql")
UNPRIVILEGED = "nobody"
"""The server refuses to run as root; then it runs as this user."""


def find_programs() -> Path | None:
    """Return the folder of the server's programs, by PATH or Debian's newest; None if there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    complete = [folder for folder in folders if all((folder / name).exists() for name in NEEDED)]
    return complete[-1] if complete else None


class PostgresServer:
    """A server; a context manager that leaves nothing behind.

    Args:
        programs: the folder of the server's programs.
    """

    user = "loader"
    password = "not-a-secret"

    def __init__(self, programs: Path) -> None:
        self.database = "postgres"
        self._programs = programs
        self._numbers = itertools.count(1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> "PostgresServer":
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        password = self._folder / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        self._run(
            *("initdb", "--pgdata", str(self._folder / "data"), "--username", self.user, "--no-sync"),
            *("--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def environment(self) -> dict[str, str]:
        """dlt's configuration of the destination, as a user's environment would have it."""
        credentials = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE": self.database,
            "USERNAME": self.user,
            "PASSWORD": self.password,
        }
        return {f"DESTINATION__POSTGRES__CREDENTIALS__{name}": value for name, value in credentials.items()}

    @property
    def url(self) -> str:
        """The same in one line."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}"

    @property
    def _place(self) -> tuple[str, ...]:
        """The same for PostgreSQL's own programs."""
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", self.user)

    def create_database(self) -> None:
        """Make an empty database, which `environment` then leads to."""
        self.database = f"warehouse_{next(self._numbers)}"
        self._run("createdb", *self._place, self.database)

    def dump(self, schema: str) -> bytes:
        """Return what `pg_dump` makes of a schema."""
        return self._run("pg_dump", *self._place, "-n", schema, self.database)

    def restore(self, dump: bytes, schema: str) -> None:
        """Put a dump in the place of a schema, with `psql`, in one transaction."""
        script = f"drop schema if exists {schema} cascade;\n".encode() + dump
        options = ("-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", self.database)
        self._run("psql", *self._place, *options, given=script)

    def start(self) -> None:
        """Start the server, and wait until it answers; after a kill, it has then recovered."""
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._programs / "postgres"), "-D", str(self._folder / "data")),
                    *("-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)),
                    # Killed processes, not power cuts, are what the tests are about.
                    *("-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                **self._identity,
            )
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log.txt').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children see it and end by themselves."""
        self._process.kill()
        self._process.wait()
        # The next start needs the children gone, and does not wait for them.
        while self._has_children():
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server, without waiting for its clients."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def _has_children(self) -> bool:
        """Whether a process still has the data folder for its working directory."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").resolve() == self._folder / "data":
                    return True
            except OSError:
                continue
        return False

    def _run(self, program: str, *arguments: str, given: bytes = b"") -> bytes:
        """Return what a program prints, that is given something to read."""
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.PIPE,
            input=given,
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": self.password},
            **self._identity,
        )
        return done.stdout
