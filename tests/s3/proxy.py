"""A proxy in front of the S3 server that can be told to fail, as a store or the way to it does."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

Fault = Literal["unavailable", "cut", "refused"]
"""unavailable: HTTP status 503. cut: the store takes the request, and the connection ends before its answer.
refused: the connections end, and none can be made."""

Conditions = Literal["kept", "ignored", "refused"]
"""What the store does with a conditional write: as S3; writes whatever the condition; answers 501."""

_CONDITIONS = ("if-match", "if-none-match")


class Proxy:
    """A proxy on a loopback port, a context manager; passes everything on until it is told otherwise.

    Args:
        upstream_port: of the server, on the loopback address.

    taken: methods and paths of the requests that the server has seen, in their order.
    conditional: methods, paths and conditions of those that had one.
    conditions: what becomes of them.
    delay: seconds before each answer.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.taken: list[tuple[str, str]] = []
        self.conditional: list[tuple[str, str, str]] = []
        self.conditions: Conditions = "kept"
        self.delay = 0.0
        self.connections: set[socket.socket] = set()
        self.one_by_one = threading.Lock()
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._listen(0)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def fail(
        self, fault: Fault, meant: Callable[[str, str], bool], *, after: int = 0, times: int | None = None
    ) -> None:
        """Fail requests, once so many of them went well; all that follow, or so many.

        Args:
            fault: what happens to them.
            meant: which are meant, by method and path.
            after: how many of them go well before.
            times: how many of them fail.
        """
        with self._lock:
            self._fault, self._meant, self._well, self._left = fault, meant, after, times

    def heal(self) -> None:
        """Fail nothing more."""
        with self._lock:
            refused = self._fault == "refused" and self._server.fileno() < 0
            self._fault = None
        if refused:
            self._listen(self.port)

    def fault_of(self, method: str, path: str) -> Fault | None:
        """Return what happens to a request; count it."""
        with self._lock:
            if self._fault is None or not self._meant(method, path):
                return None
            if self._well > 0:
                self._well -= 1
                return None
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    return None
            if self._fault == "refused":
                self._close()
            return self._fault

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            _end(connection)


_NOT_IMPLEMENTED = (
    b"<Error><Code>NotImplemented</Code><Message>A header is not implemented.</Message></Error>"
)


class _Server(ThreadingHTTPServer):
    proxy: Proxy
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that is gone is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connections.add(self.connection)

    def finish(self) -> None:
        self.server.proxy.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it overrides
        pass

    def _pass_on(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = proxy.fault_of(self.command, self.path)
        if fault == "unavailable":
            self._answer(503, {}, b"")
            return
        if fault == "refused":
            self.close_connection = True
            return
        time.sleep(proxy.delay)
        headers = dict(self.headers)
        condition = "".join(
            f"{name}: {value}" for name, value in headers.items() if name.lower() in _CONDITIONS
        )
        if condition:
            proxy.conditional.append((self.command, self.path, condition))
        if condition and proxy.conditions == "refused":
            self._answer(501, {}, _NOT_IMPLEMENTED)
            return
        if condition and proxy.conditions == "ignored":
            headers = {name: value for name, value in headers.items() if name.lower() not in _CONDITIONS}
        # The server looks at the condition and then writes; a store does both at once.
        with proxy.one_by_one if condition else contextlib.nullcontext():
            upstream = HTTPConnection("127.0.0.1", proxy.upstream_port)
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            content = response.read()
            upstream.close()
        proxy.taken.append((self.command, self.path))
        if fault == "cut":
            self.close_connection = True
            _end(self.connection)
        else:
            self._answer(response.status, dict(response.getheaders()), content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)


for _method in ("DELETE", "GET", "HEAD", "POST", "PUT"):
    setattr(_Handler, f"do_{_method}", _Handler._pass_on)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
