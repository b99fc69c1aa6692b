"""Who means ill, or is broken: others are answered meanwhile, the drain goes on, memory stays flat."""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sms_source.receiving.server import MAX_CONNECTIONS
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import wait_until
from tests.receiving.receiving_job import OK, TOKEN, ReceivingJob, a_pushed_receipt, a_pushed_reply

GROWTH = 64 << 20
"""Bytes by which the process may grow: the first load takes most of them."""
HEAD = f"POST /{TOKEN}/replies HTTP/1.1\r\nHost: x\r\n".encode()
GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    b"GET / HTTP/9.9\r\n\r\n",
    b"\r\n" * 100_000,
    HEAD + b"X: " + b"y" * 100_000,
    HEAD + b"X: y\r\n" * 20_000,
    b"POST /" + b"a" * 100_000,
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 100_000,
    HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
]


def memory(receiver: ReceivingJob) -> int:
    """Return the bytes that the process has in memory."""
    status = Path(f"/proc/{receiver.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection without an answer; wait for it."""
    try:
        return connection.recv(1_000) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def loading(
    receiver: ReceivingJob, configured: SimulatorProcess, warehouse: Warehouse
) -> Iterator[ReceivingJob]:
    """Provide a receiver that has loaded something; in the end all has gone on, in flat memory."""
    receiver.push("replies", a_pushed_reply("first"))
    configured.enqueue(APP, [a_reply("pulled first")])
    metric = re.compile(rb'sms_records_total\{feed="replies"\} ([0-9.]+)')

    def loaded() -> float:
        found = metric.search(receiver.status("/metrics").body)
        return float(found[1]) if found else 0

    wait_until(lambda: loaded() == 2)
    before = memory(receiver)
    yield receiver
    assert receiver.push("replies", a_pushed_reply("last")).json == OK
    configured.enqueue(APP, [a_reply("pulled last")])
    wait_until(lambda: loaded() >= 4)
    assert memory(receiver) - before < GROWTH
    assert receiver.status("/healthz").status == 200
    assert receiver.terminate() == 0
    expected = {"first", "last", "pulled first", "pulled last"}
    assert expected <= set(warehouse.contents())


@pytest.mark.long
def test_idle_connections_take_no_place(loading: ReceivingJob) -> None:
    """A thousand of them: those that have waited longest go, and who pushes is answered."""
    with ExitStack() as stack:
        idle = [stack.enter_context(loading.connect()) for _ in range(1_000)]
        for number in range(20):
            assert loading.push("replies", a_pushed_reply(f"beside {number}")).json == OK
        assert is_closed(idle[0])
        open_files = len(list(Path(f"/proc/{loading.process.pid}/fd").iterdir()))
        assert open_files < MAX_CONNECTIONS + 100


@pytest.mark.long
def test_slow_senders_are_cut_off(loading: ReceivingJob) -> None:
    """Of headers after ten seconds, of a body with 408; others do not wait for them."""
    with (
        loading.connect() as of_headers,
        loading.connect() as of_body,
        loading.connect() as of_much,
        loading.connect() as of_nothing,
    ):
        of_body.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        of_much.sendall(HEAD + b"Content-Length: 2000000\r\n\r\n{")
        stop = threading.Event()

        def trickle() -> None:
            for byte in HEAD:
                if stop.wait(0.5):
                    return
                try:
                    of_headers.sendall(bytes([byte]))
                    of_body.sendall(b" ")
                except OSError:
                    return

        sender = threading.Thread(target=trickle)
        sender.start()
        assert loading.push("replies", a_pushed_reply("beside")).json == OK
        assert b" 408 " in of_body.recv(1_000)
        assert b" 413 " in of_much.recv(1_000)
        assert is_closed(of_headers)
        assert is_closed(of_nothing)
        stop.set()
        sender.join()


@pytest.mark.long
def test_half_sent_bodies_leave_nothing(loading: ReceivingJob, own_folders: Path) -> None:
    """Who goes away in the middle has pushed nothing."""
    for number in range(200):
        with loading.connect() as connection:
            connection.sendall(HEAD + b'Content-Length: 99999\r\n\r\n{"text": "half of it' + b"x" * number)
    assert loading.push("replies", a_pushed_reply("beside")).json == OK
    assert not [f for f in own_folders.rglob("*.callback") if b"half of it" in f.read_bytes()]


@pytest.mark.long
def test_garbage_is_refused(receiver: ReceivingJob) -> None:
    """With an error, or by closing the connection; never by an end of the server."""
    for garbage in GARBAGE:
        with receiver.connect() as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(10_000)
            except TimeoutError:
                raise
            except OSError:  # closed, before or after what was sent arrived
                answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (garbage[:100], answer)
        assert receiver.push("replies", a_pushed_reply()).json == OK, garbage[:100]
    assert receiver.terminate() == 0


@pytest.mark.long
def test_large_bodies_keep_memory_flat(loading: ReceivingJob) -> None:
    """A gzip bomb is never unpacked; a megabyte of brackets is refused; more is not read to its end."""
    bomb = gzip.compress(b"0" * (200 << 20))
    for _ in range(3):
        assert loading.push("replies", bomb, Content_Encoding="gzip").status == 400
        for body in (b"[" * (1 << 20), b'{"a":' * 200_000, b'"' * (1 << 20), b"[" * 500_000 + b"]" * 500_000):
            assert loading.push("replies", body).status in (200, 400)
        assert loading.push("replies", b"[" * (2 << 20)).status == 413
    many = json.dumps([a_pushed_receipt(str(n)) for n in range(4_000)]).encode()
    assert loading.push(f"receipts/{APP}", many).json == OK


@pytest.mark.long
def test_an_endless_body_is_cut_off(loading: ReceivingJob) -> None:
    """In chunks, without a length, so that nothing tells beforehand."""
    with loading.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        sent = 0
        while sent < 10_000:
            try:
                connection.sendall(chunk)
            except ConnectionError:
                break
            sent += 1
        assert sent < 10_000
