"""The service over HTTP, a thread for each connection."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import socket
import socketserver
import struct
import threading

import orjson

from .faults import Fault, FaultKind
from .messages import http_message
from .records import LogEntry, to_json
from .service import Service

CONTROL_PATH = "/_simulator/"


class _Connection(http.server.BaseHTTPRequestHandler):
    """One client's connection."""

    server: Server
    connection: socket.socket
    protocol_version = default_request_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client may go when it likes
            super().handle()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        headers = {name.lower(): value.strip() for name, value in self.headers.items()}
        length = int(headers.get("content-length", "0"))
        if self.path.startswith(CONTROL_PATH):
            self.wfile.write(self._control(self.path.removeprefix(CONTROL_PATH), self.rfile.read(length)))
            return
        service = self.server.service
        with service.lock:
            delivery = service.begin(headers)
        if delivery is None and len(body := self.rfile.read(length)) == length:
            with service.lock:
                delivery = service.answer(self.requestline, headers, body)
        if delivery is None or self.server.stopping.is_set() or not self._deliver(*delivery):
            self.close_connection = True

    do_GET = do_PUT = do_POST  # noqa: N815 - http.server names them

    def _control(self, command: str, body: bytes) -> bytes:
        peer, own = self.client_address[0], self.connection.getsockname()[0]
        if peer != own and not is_loopback(peer):
            return http_message(b'{"error":"the control API is for this machine alone"}', status=403)
        method = self.server.service.commands.get(command)
        if method is None:
            return http_message(b'{"error":"no such command"}', status=404)
        try:
            arguments = orjson.loads(body or b"{}")
            with self.server.service.lock:
                result = method(**arguments)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return http_message(to_json({"error": _told(error)}), status=400)
        return http_message(to_json(result))

    def _deliver(self, message: bytes, fault: Fault | None, entry: LogEntry | None) -> bool:
        """Send an answer, or fail as its fault demands; true if the connection stays open."""
        kind = fault.kind if fault else None
        settings, stopping = self.server.service.settings, self.server.stopping
        if kind is FaultKind.CLOSE_UNREAD:
            # A close with bytes unread would be a reset: say that no more comes, then let the rest run dry.
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            while self.connection.recv(65536):
                pass
            return False
        wait = settings.latency + (fault.seconds if fault and kind is FaultKind.DELAY else 0)
        if kind is not FaultKind.RESET_UNREAD and wait and (stopping.wait(wait) or self._is_abandoned()):
            return False
        if kind in (FaultKind.RESET, FaultKind.RESET_UNREAD):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return False
        if kind is FaultKind.CLOSE or (fault and kind is FaultKind.DELAY and not fault.pops):
            return False
        if not settings.keep_alive:
            message = message.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        if fault and kind is FaultKind.TRICKLE:
            size = len(message) // 16
            while len(message) > size:
                self.wfile.write(message[:size])
                message = message[size:]
                stopping.wait(fault.seconds / 16)
        self._note_sent(entry, sent=kind is not FaultKind.TRUNCATE)
        try:
            self.wfile.write(message)
        except OSError:
            self._note_sent(entry, sent=False)
            raise
        if kind is FaultKind.CLOSE_AFTER:
            self.connection.shutdown(socket.SHUT_WR)  # at once, not after the client's next request
        return settings.keep_alive and kind not in (FaultKind.TRUNCATE, FaultKind.CLOSE_AFTER)

    def _note_sent(self, entry: LogEntry | None, *, sent: bool) -> None:
        with self.server.service.lock:
            self.server.service.note_sent(entry, sent=sent)

    def _is_abandoned(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; the listen backlog takes a burst of clients."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int, service: Service) -> None:
        self.service = service
        self.stopping = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Connection)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own, without asking a name server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _told(error: Exception) -> str:
    """Return what went wrong; a `ValueError` says it by itself."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
