"""An HTTP server in a thread, with limits on connections, headers and time.

Uvicorn reads and writes HTTP. It bounds neither how many connections there are nor how long a request may be
on its way, so what is below does; how large a body may be, and how long it may take, is the application's.
"""

import asyncio
import socket
import threading
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sms_source.errors import ConfigurationError
from sms_source.receiving.asgi import Application

MAX_CONNECTIONS = 256
HEADER_SECONDS = 10.0
"""For a request's line and headers to come, from the connection or from their first byte."""
IDLE_SECONDS = 30
"""Without a request, after which a connection closes that had one."""
LAST_SECONDS = 5
"""For what has begun to arrive when the server ends."""
MAX_HEADER_BYTES = 16 << 10


class LimitedProtocol(H11Protocol):
    """A connection that closes when a request is too long on its way, or when others need its place."""

    waits_since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Make room for it: the connection that has waited for a request for longest goes."""
        super().connection_made(transport)
        self.waits_since = time.monotonic()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._close)
        if len(self.connections) > MAX_CONNECTIONS:  # some of which are about to close
            others = [one for one in self.connections if isinstance(one, LimitedProtocol) and one.is_open]
            if len(others) > MAX_CONNECTIONS:
                waiting = (one for one in others if one.is_waiting)
                min(waiting, key=lambda one: one.waits_since).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on; the time for headers runs until they are whole."""
        super().data_received(data)
        if not self.is_waiting:
            self._cancel()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        self._cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.waits_since = time.monotonic()
        super().on_response_complete()

    @property
    def is_waiting(self) -> bool:
        """Whether no whole request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it yet."""
        return not self.transport.is_closing()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        if self.is_waiting:
            self.transport.abort()


class Server:
    """An application, served at an address until the end of the context.

    Args:
        application: of ASGI.
        host, port: where to listen; port 0 for any that is free.

    Raises:
        ConfigurationError: nothing can listen there.
    """

    def __init__(self, application: Application, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # a line may hold the token
                access_log=False,
                proxy_headers=True,
                forwarded_allow_ips=["127.0.0.1", "::1"],
                server_header=False,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=LAST_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._serve, name=f"http-{self.port}", daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Accept no more connections, answer what has arrived, and end."""
        self._server.should_exit = True
        self._thread.join()

    def is_alive(self) -> bool:
        """Return whether it still serves."""
        return self._thread.is_alive()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def _listen(host: str, port: int) -> socket.socket:
    listening = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # By the protocol asyncio knows TCP, and sends at once: else an answer waits 40 ms for its peer.
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)  # from now on: who connects waits until the thread has begun
    except OSError as error:
        if listening:
            listening.close()
        raise ConfigurationError(
            f"Nothing can listen on {host}:{port} ({error.strerror or error}): name an address of this "
            "machine, and a port that no other process uses."
        ) from None
    return listening
