"""A TCP server that answers as no server should: each test says what it sends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def hostile_server(serve: Serve) -> Iterator[int]:
    """Run `serve` for each connection, in a thread; yield the port. `over` is set when the test ends."""
    over = threading.Event()
    connections: list[socket.socket] = []

    def handle(connection: socket.socket) -> None:
        with suppress(OSError):
            serve(connection, over)
        connection.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()


def read_request(connection: socket.socket) -> bytes:
    """Return a whole request: its headers, and the body that they announce."""
    text = b""
    while b"\r\n\r\n" not in text:
        received = connection.recv(65_536)
        if not received:
            raise ConnectionError("the client went away")
        text += received
    head, _, body = text.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def drip(connection: socket.socket, over: threading.Event, text: bytes, *, pause: float = 0.02) -> None:
    """Send a byte at a time, over and over, until the client gives up or the test ends."""
    while not over.is_set():
        for byte in text:
            connection.sendall(bytes((byte,)))
            if over.wait(pause):
                return


def flood(connection: socket.socket, over: threading.Event, text: bytes) -> None:
    """Send as fast as the client reads, until it gives up or the test ends."""
    piece = text * max(1, 65_536 // len(text))
    while not over.is_set():
        connection.sendall(piece)
