"""A local S3 server in its own process, and the main job with its journal there."""

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest
import s3fs

from sms_source.journal import lease
from sms_source.simulator import SimulatorProcess
from tests.s3.proxy import Proxy

BUCKET = "journals"
KEY_ID = "AKIDOFTHEJOURNALSSTORE"
SECRET_KEY = "the/secret+key/of/the/journals/store"
CREDENTIALS = "SOURCES__SMS_SOURCE__JOURNAL__CREDENTIALS__"


class S3Server:
    """moto's server: a strict enough S3, whose objects live in its memory."""

    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def files(self) -> s3fs.S3FileSystem:
        """Return a client of the server that sees what is there now."""
        return s3fs.S3FileSystem(
            key=KEY_ID,
            secret=SECRET_KEY,
            endpoint_url=self.url,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def stop(self) -> None:
        """End the server, with all that it holds."""
        self._process.kill()
        self._process.communicate()


_SERVE = """
import logging, sys, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Provide an S3 server with a bucket."""
    server = S3Server()
    server.files().mkdir(BUCKET)
    yield server
    server.stop()


@pytest.fixture
def journal_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide the URL of a new journal in the bucket, with credentials the dlt way in the environment."""
    url = f"s3://{BUCKET}/sms-{secrets.token_hex(4)}"
    monkeypatch.setenv(f"{CREDENTIALS}AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv(f"{CREDENTIALS}AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv(f"{CREDENTIALS}ENDPOINT_URL", s3.url)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", url)
    return url


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lease of this process end soon, so that a test need not wait for it."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)


@pytest.fixture
def proxy(s3: S3Server, journal_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Provide a proxy on the job's way to the journal."""
    assert journal_url
    with Proxy(s3.port) as proxy:
        monkeypatch.setenv(f"{CREDENTIALS}ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def configured_with_s3(configured: SimulatorProcess, journal_url: str) -> SimulatorProcess:
    """Provide the main job's configuration, with the journal in the bucket."""
    assert journal_url
    return configured
