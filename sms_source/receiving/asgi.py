"""What an ASGI application is called with, and the answer that ours give."""

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer(
    send: Send, status: int, body: bytes, content_type: str = "application/json", *, allow: str = ""
) -> None:
    """Send an answer; after any but a good one, the connection closes, whatever else would come over it."""
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(b"allow", allow.encode())] if allow else []
    headers += [(b"connection", b"close")] if status != 200 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
