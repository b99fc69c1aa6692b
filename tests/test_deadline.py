"""A request ends at its deadline whatever the peer sends, and how far it came decides what that means.

What these servers send has no end, so a deadline that does not hold makes a test hang, not fail by chance.
"""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import traceback
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sms_source import settings
from sms_source.api.client import SmsClient
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import InDoubtError, NotExecutedError, PullError
from sms_source.feeds import REPLIES
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.hostile import drip, flood, hostile_server, read_request

pytestmark = pytest.mark.timeout(60)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
AN_ANSWER = b'{"Response": {"RequestId": "r1", "PullSmsReplyStatusSet": [{"ReplyContent": "here"}, '


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy or certificates but those that a test names."""
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def failed_pull(endpoint: str, *, timeout: float = 0.5) -> PullError:
    """Return the error of a pull that fails."""
    keys = TencentCloudCredentials()
    keys.update({"secret_id": "AKIDexample", "secret_key": "example"})
    keys.resolve()
    with SmsClient(keys, endpoint=endpoint, timeout=timeout) as client, pytest.raises(PullError) as caught:
        client.pull(REPLIES, APP, 100)
    return caught.value


@pytest.mark.parametrize("send", [drip, flood])
@pytest.mark.parametrize(
    ("first", "for_ever"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="informational answers"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n", id="chunk trailers"),
        pytest.param(CHUNKED, b"1\r\n \r\n", id="chunks"),
    ],
)
def test_an_answer_that_never_ends_is_in_doubt_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, send: Any, first: bytes, for_ever: bytes
) -> None:
    """Each byte that arrives lets a socket's own timeout begin anew; the deadline stays."""
    monkeypatch.setattr(settings, "MAX_BODY_BYTES", 1 << 40)

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(first)
        send(connection, over, for_ever)

    with hostile_server(serve) as port:
        error = failed_pull(f"http://127.0.0.1:{port}")
    assert (type(error), error.code) == (InDoubtError, "Client.ReadTimeout")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="status line"),
        pytest.param(OK + b"X: ", id="header"),
        pytest.param(CHUNKED + b"1;", id="chunk extension"),
        pytest.param(OK + b"Content-Length: 99999\r\n\r\n" + AN_ANSWER, id="body"),
        pytest.param(OK + b"Connection: close\r\n\r\n" + AN_ANSWER, id="body without a length"),
    ],
)
def test_an_answer_that_drips_is_in_doubt_at_the_deadline(first: bytes) -> None:
    """A byte now and then is no progress; what arrived of a body is kept."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(first)
        drip(connection, over, b"a")

    with hostile_server(serve) as port:
        error = failed_pull(f"http://127.0.0.1:{port}")
    assert (type(error), error.code) == (InDoubtError, "Client.ReadTimeout")
    assert error.body.startswith(AN_ANSWER if AN_ANSWER in first else b"")


def test_a_handshake_that_drips_executed_nothing() -> None:
    """TLS is not set up, so nothing was asked."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a ServerHello of 16 kB begins
        drip(connection, over, b"\x03")

    with hostile_server(serve) as port:
        error = failed_pull(f"https://127.0.0.1:{port}")
    assert (type(error), error.code) == (NotExecutedError, "Client.TLS")


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Provide a certificate for 127.0.0.1 that the client trusts."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return context


def test_the_deadline_holds_through_tls(tls: ssl.SSLContext) -> None:
    """What drips inside of TLS drips all the same."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            read_request(secure)
            secure.sendall(OK + b"Connection: close\r\n\r\n" + AN_ANSWER)
            drip(secure, over, b" ")

    with hostile_server(serve) as port:
        error = failed_pull(f"https://127.0.0.1:{port}")
    assert (type(error), error.code) == (InDoubtError, "Client.ReadTimeout")
    assert error.body.startswith(AN_ANSWER)


def test_a_certificate_that_nobody_trusts_executed_nothing(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request would have gone to somebody else."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    def serve(connection: socket.socket, over: threading.Event) -> None:
        tls.wrap_socket(connection, server_side=True).close()

    with hostile_server(serve) as port:
        error = failed_pull(f"https://127.0.0.1:{port}", timeout=5)
    assert (type(error), error.code) == (NotExecutedError, "Client.TLS")


def test_certificates_that_are_not_there_are_named_and_executed_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong path in the environment is no pull in doubt."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    error = failed_pull("https://127.0.0.1:1")
    assert (type(error), error.code) == (NotExecutedError, "Client.TLS")
    assert "/nowhere/ca.pem" in str(error)


def test_a_name_that_is_not_resolved_in_time_executed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs can't be interrupted; it is not waited for."""
    over = threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: str, port: int, family: int, kind: int, protocol: int, flags: int) -> Any:
        if not flags:
            over.wait(300)
        return resolve(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    error = failed_pull("http://localhost:1")
    over.set()
    assert (type(error), error.code) == (NotExecutedError, "Client.NameResolution")


def test_a_name_for_which_no_thread_can_be_had_executed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so nothing is in doubt; it is tried again."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    error = failed_pull("http://localhost:1")
    assert (type(error), error.code) == (NotExecutedError, "Client.NameResolution")
    assert "can't start new thread" in str(error)


@pytest.fixture
def deaf() -> Iterator[int]:
    """Provide the port of a listener that lets nobody in: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        stack.enter_context(closing(socket.create_connection(listener.getsockname())))
        yield int(listener.getsockname()[1])


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, deaf: int
) -> None:
    """A host has several addresses, and often one of them is dead: IPv6, where there is none."""
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        for port in (deaf, int(simulator.url.rpartition(":")[2]))
    ]
    simulator.enqueue(APP, [a_reply()])
    keys = TencentCloudCredentials()
    keys.update({"secret_id": simulator.secret_id, "secret_key": simulator.secret_key})
    keys.resolve()
    with monkeypatch.context() as patch, SmsClient(keys, endpoint=simulator.url, timeout=4) as client:
        patch.setattr(socket, "getaddrinfo", lambda *args: addresses)
        assert len(client.pull(REPLIES, APP, 1).answer.records) == 1


def test_all_addresses_together_take_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch, deaf: int
) -> None:
    """Ten thousand dead addresses are ten thousand small shares."""
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", deaf))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [address] * 10_000)
    error = failed_pull("http://sms.example")
    assert (type(error), error.code) == (NotExecutedError, "Client.ConnectTimeout")


def answer_and_close(answer: bytes, connection: socket.socket, over: threading.Event) -> None:
    """Hold a server's or proxy's whole conversation."""
    read_request(connection)
    connection.sendall(answer)


def drip_after_request(connection: socket.socket, over: threading.Event) -> None:
    """Be a proxy that never comes to the end of its first line."""
    read_request(connection)
    drip(connection, over, b"a")


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(partial(answer_and_close, b""), id="closes"),
        pytest.param(partial(answer_and_close, b"HTTP/1.1 407 No\r\n\r\n"), id="refuses"),
        pytest.param(drip_after_request, id="drips"),
    ],
)
def test_a_proxy_that_makes_no_connection_executed_nothing(
    monkeypatch: pytest.MonkeyPatch, serve: Any
) -> None:
    """It was asked for a connection, and for nothing else."""
    with hostile_server(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = failed_pull("https://sms.example")
    assert (type(error), error.code) == (NotExecutedError, "Client.Proxy")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "socks5h://127.0.0.1:1"])
def test_a_proxy_that_can_not_be_used_executed_nothing(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """One that is not there, or that speaks SOCKS, over which no deadline could be held."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = failed_pull("https://sms.example")
    assert (type(error), error.code) == (NotExecutedError, "Client.Proxy")


def test_a_pull_goes_through_a_proxy_with_its_deadline(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext
) -> None:
    """Behind the tunnel, TLS and the request are as they are without one."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        assert read_request(connection).startswith(b"CONNECT 127.0.0.1:1 ")
        connection.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
        with tls.wrap_socket(connection, server_side=True) as secure:
            assert b"PullSmsReplyStatus" in read_request(secure)
            secure.sendall(OK + b"X: ")
            drip(secure, over, b"a")

    with hostile_server(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = failed_pull("https://127.0.0.1:1", timeout=2)
    assert (type(error), error.code) == (InDoubtError, "Client.ReadTimeout")


def test_a_body_without_end_is_kept_up_to_its_limit() -> None:
    """No answer is so large; what it held may be somebody's reply all the same."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(OK + b"Connection: close\r\n\r\n" + AN_ANSWER)
        flood(connection, over, b" ")

    with hostile_server(serve) as port:
        error = failed_pull(f"http://127.0.0.1:{port}", timeout=30)
    assert (type(error), error.code) == (InDoubtError, "Client.BodyTooLarge")
    assert error.body.startswith(AN_ANSWER)
    assert len(error.body) == settings.MAX_BODY_BYTES


@pytest.mark.parametrize("layers", [1, 2])
def test_a_compressed_body_fills_no_memory(monkeypatch: pytest.MonkeyPatch, layers: int) -> None:
    """A gigabyte of blanks packs into one megabyte, and that into some kilobytes."""
    monkeypatch.setattr(settings, "MAX_BODY_BYTES", 1 << 20)
    bomb = gzip.compress(AN_ANSWER) + gzip.compress(b" " * (64 << 20)) * 16
    if layers == 2:
        bomb = gzip.compress(bomb)
    encoding = b", ".join([b"gzip"] * layers)
    head = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(bomb))
    with hostile_server(partial(answer_and_close, head + bomb)) as port:
        tracemalloc.start()
        try:
            error = failed_pull(f"http://127.0.0.1:{port}", timeout=30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (type(error), error.code) == (InDoubtError, "Client.BodyTooLarge")
    assert error.body.startswith(AN_ANSWER)
    assert len(error.body) == 1 << 20
    assert peak < 16 << 20


def test_nothing_that_a_peer_sends_is_in_an_error_or_its_causes() -> None:
    """A traceback shows what led to an error, and the library's errors quote the peer."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(b"\x1b[2J\x1b]0;owned\x07 +8615291990000 ERROR: forged\r\n\r\n")

    with hostile_server(serve) as port:
        error = failed_pull(f"http://127.0.0.1:{port}")
    assert (type(error), error.code) == (InDoubtError, "Client.ConnectionReset")
    shown = "".join(traceback.format_exception(error))
    assert "\x1b" not in shown
    assert "15291990000" not in shown
    assert "forged" not in shown
