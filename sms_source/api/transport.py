"""An adapter of `requests` on which one deadline holds for a whole request, whatever the peer sends.

The timeouts of `requests` begin anew with each byte that arrives, leave out the look-up of the host's name,
and are spent once for each of its addresses. Here a request has an `Exchange`, which says how long it may
still take: before each wait for the network the socket's timeout is what is left of it. So headers that come
a byte a second, informational answers without an end and a TLS handshake that drips end at the deadline, all
without a thread that watches (one is needed only to resolve a name, which a new connection does).

The exchange also says how far the request has come, which decides what a failure means: until the headers
begin to go out, the queue can't have handed out anything.
"""

import errno
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any

from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import allowed_gai_family

from sms_source.settings import CONNECT_TIMEOUT


class Stage(Enum):
    """How far a request has come; only one that was `SENT` can have been executed."""

    PREPARING = auto()
    RESOLVING = auto()
    CONNECTING = auto()
    PROXY = auto()
    TLS = auto()
    SENT = auto()


class Exchange:
    """One request on its way: how far it has come, and until when it may take.

    Args:
        seconds: from now to the answer's last byte; for the connection alone, `CONNECT_TIMEOUT` at most.
        before_sending: is called when all is ready to be sent; what it takes is not counted.
    """

    def __init__(self, seconds: float, before_sending: Callable[[], None] = lambda: None) -> None:
        now = time.monotonic()
        self.stage = Stage.PREPARING
        self._before_sending = before_sending
        self._deadline = now + seconds
        self._until = min(self._deadline, now + CONNECT_TIMEOUT)

    def left(self) -> float:
        """Return the seconds that the network may still take. Raises `TimeoutError` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request has taken its time")
        return left

    def send(self) -> None:
        """Note that the request may have been executed from here on."""
        ready_at = time.monotonic()
        self._before_sending()
        self._deadline += time.monotonic() - ready_at
        self._until = self._deadline
        self.left()
        self.stage = Stage.SENT


CURRENT: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange of the request that this thread sends: no way through `requests` and urllib3 carries it."""


class _Reader(io.RawIOBase):
    """What a socket receives; waits no longer than the exchange may take."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(CURRENT.get().left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer, or a proxy's, whose every byte comes through a `_Reader`."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    """A connection that keeps to the exchange, and tells it how far it has come."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Resolve the name and connect; whatever fails is a `NewConnectionError`."""
        exchange = CURRENT.get()
        stages = (Stage.PROXY, Stage.PROXY) if self.proxy else (Stage.RESOLVING, Stage.CONNECTING)
        try:
            exchange.stage = stages[0]
            addresses = _resolve(self._dns_host, self.port, exchange.left())
            exchange.stage = stages[1]
            sock = self._connect_to_any(addresses, exchange)
        except (OSError, NotDoneError, UnicodeError) as error:
            raise NewConnectionError(self, f"no connection ({type(error).__name__})") from error
        if not self.proxy:
            exchange.stage = Stage.TLS
        return sock

    def _connect_to_any(self, addresses: list[Any], exchange: Exchange) -> socket.socket:
        """Return the first address that lets us in; each may take its share of what is left."""
        for count, (family, kind, protocol, _, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(exchange.left() / count)
                sock.connect(address)
                sock.settimeout(exchange.left())  # to which Python's handshake keeps as a whole
            except OSError:
                sock.close()
                if count == 1:
                    raise
            else:
                return sock
        raise OSError("the name has no address")

    def _tunnel(self) -> None:
        """Have the proxy make a connection, for TLS to go through."""
        super()._tunnel()
        exchange = CURRENT.get()
        exchange.stage = Stage.TLS
        self.sock.settimeout(exchange.left())

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Note the last moment at which it is certain that nothing was sent."""
        if self.sock is None:
            self.connect()
        exchange = CURRENT.get()
        exchange.send()
        self.sock.settimeout(exchange.left())
        super().endheaders(*args, **kwargs)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same, with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """Sends a request once, within the time that the current exchange gives it.

    The `timeout` that `requests` hands down must be no shorter than that. Each adapter is for one host, with
    the same proxies and certificates each time.
    """

    _pool: Any = None

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make connections of our own."""
        super().init_poolmanager(*args, **kwargs)
        _keep_to_the_exchange(self.poolmanager)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the host's connections, which `requests` would look up anew for each request."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return connections of our own for a proxy, too; one of SOCKS has its own, without a deadline."""
        if proxy.lower().startswith("socks"):
            raise InvalidSchema("a SOCKS proxy can't be used")
        manager = super().proxy_manager_for(proxy, **kwargs)
        _keep_to_the_exchange(manager)
        return manager


def _keep_to_the_exchange(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Return the addresses of a host; raise `NotDoneError` (of `concurrent.futures`) when it takes longer."""

    def ask(flags: int) -> list[Any]:
        return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM, 0, flags)

    with suppress(socket.gaierror):
        return ask(socket.AI_NUMERICHOST)
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(ask(0))
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            found.set_exception(error)

    # The system's resolver can't be interrupted. A daemon does not keep the interpreter from ending.
    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
    except RuntimeError as error:  # the system has none left
        raise OSError(errno.EAGAIN, str(error)) from None
    return found.result(timeout=seconds)
