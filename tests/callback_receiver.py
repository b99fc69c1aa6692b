"""A receiver of callbacks, over real HTTP, that answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading
from collections import deque
from typing import Any, NamedTuple


class Received(NamedTuple):
    """A push as it came."""

    path: str
    body: Any


class Receiver:
    """Serves between ``with`` and its end; `answers` are the next (status, body), else success."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[tuple[int, bytes]] = deque()

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(self.path, json.loads(body)))
                good = (200, b'{"result": 0, "errmsg": "OK"}')
                status, answer = receiver.answers.popleft() if receiver.answers else good
                if not status:
                    return  # the connection closes without an answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
