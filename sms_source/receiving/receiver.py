"""The callbacks' URLs: what is accepted, and what each push is answered.

    POST /<token>/replies               one reply, of an application that the URL does not tell
    POST /<token>/replies/<app id>      likewise, and it does
    POST /<token>/receipts/<app id>     up to 100 receipts

The answer is `{"result": 0, "errmsg": "OK"}`, and goes out when the journal has the body, flushed. Anything
else has a status that makes Tencent Cloud push again.
"""

import asyncio
import hmac
import json
import logging
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sms_source.api.pushes import UNKNOWN_APPLICATION, NotAPushError, parse_push
from sms_source.feeds import FEEDS, RECEIPTS, Feed
from sms_source.receiving.asgi import Receive, Scope, Send, answer
from sms_source.receiving.inbox import Inbox, OverloadedError

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 20
"""Of a body: 100 receipts are some 25 kB."""
MAX_BYTES_IGNORED = 8 << 20
"""Of a body that is too large: so much is read and thrown away, as a sender reads no answer before."""
MAX_BYTES_READING = 32 << 20
"""Of all bodies that are being read."""
LARGE = 64 << 10
"""Of a body that is read in a thread, so that it does not hold up others."""
BODY_SECONDS = 10.0
"""For a body to come, from the request's headers to its last byte."""

_OK = {"result": 0, "errmsg": "OK"}
_APP_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """What is answered instead: a status, and what is wrong."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Target(NamedTuple):
    """What a URL says."""

    feed: Feed
    sms_sdk_app_id: str


class Receiver:
    """An ASGI application that keeps what is pushed.

    Args:
        inbox: which keeps it.
        token: the first part of the URLs' path.
        networks: that may push; any may, when there are none.
        told: is given the status of each answer; and, when the push was kept, the feed and how many records.
    """

    def __init__(
        self,
        inbox: Inbox,
        token: str,
        networks: Iterable[str] = (),
        told: Callable[[int, str, int], None] | None = None,
    ) -> None:
        self._inbox = inbox
        self._token = token.encode()
        self._networks = [ip_network(network) for network in networks]
        self._told = told
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        feed, records = "", 0
        try:
            target = self._target(scope)
            records = await self._keep(target, scope, receive)
            status, said, feed = 200, _OK, target.feed.name
        except ConnectionError:
            return  # nobody waits for an answer
        except Refusal as refusal:
            status, said = refusal.status, {"result": refusal.status, "errmsg": refusal.reason}
        if self._told:
            self._told(status, feed, records)
        await answer(send, status, json.dumps(said).encode(), allow="POST" if status == 405 else "")

    def _target(self, scope: Scope) -> Target:
        """Return what the URL says, to whom may know it."""
        if self._networks and not self._is_allowed(scope):
            raise Refusal(403, "not from this network")
        path: bytes = scope["raw_path"]
        token, *parts = path.removeprefix(b"/").split(b"/")
        if not hmac.compare_digest(token, self._token):
            raise Refusal(404, "not found")
        if parts and not parts[-1]:  # a slash at the end
            parts.pop()
        name, app_id = parts if len(parts) == 2 else (b"".join(parts), UNKNOWN_APPLICATION.encode())
        feed = FEEDS.get(name.decode("ascii", "replace")) if parts else None
        is_known = len(parts) == 2 and _APP_ID.fullmatch(app_id) is not None
        if feed is None or not (is_known or (len(parts) == 1 and feed is not RECEIPTS)):
            raise Refusal(404, "not found: expected replies, replies/<app id> or receipts/<app id>")
        if scope["method"] != "POST":
            raise Refusal(405, "expected POST")
        return Target(feed, app_id.decode())

    def _is_allowed(self, scope: Scope) -> bool:
        try:
            address = ip_address((scope["client"] or ("",))[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    async def _keep(self, target: Target, scope: Scope, receive: Receive) -> int:
        """Keep a body; return how many records it has."""
        body = await self._body(scope, receive)
        try:
            # What is large does not hold up the others.
            pushed = (
                await asyncio.to_thread(parse_push, *target, body)
                if len(body) > LARGE
                else parse_push(*target, body)
            )
            records = len(pushed.records)
        except NotAPushError as error:
            raise Refusal(400, str(error)) from None
        if records:
            try:
                await asyncio.wrap_future(self._inbox.keep(*target, body, records))
            except OverloadedError:
                raise Refusal(503, "too much at once: push again") from None
            except Exception as error:  # noqa: BLE001 - whatever it is, it has to be pushed again
                logger.error("A push could not be written into the journal (%s): it was refused.", error)
                raise Refusal(503, "the journal does not take it: push again") from None
        return records

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body, once all of it has come."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = int(headers.get(b"content-length", b"0"))  # digits alone: h11 sees to it
        chunks: list[bytes] = []
        try:
            size = await asyncio.wait_for(self._read(receive, chunks, length), BODY_SECONDS)
        except asyncio.TimeoutError:
            if length > MAX_BYTES:
                raise Refusal(413, f"more than {MAX_BYTES:,} bytes") from None
            raise Refusal(408, f"no whole body within {BODY_SECONDS:.0f} seconds") from None
        finally:
            self._reading -= sum(map(len, chunks))
        if max(size, length) > MAX_BYTES:
            raise Refusal(413, f"more than {MAX_BYTES:,} bytes")
        return b"".join(chunks)

    async def _read(self, receive: Receive, chunks: list[bytes], length: int) -> int:
        """Read a body into chunks, without what is too large; return how long it is."""
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            chunk = message.get("body", b"")
            size += len(chunk)
            if max(size, length) <= MAX_BYTES:
                self._reading += len(chunk)
                chunks.append(chunk)
            if self._reading > MAX_BYTES_READING:
                raise Refusal(503, "too much at once: push again")
            if not message.get("more_body", False) or size > MAX_BYTES_IGNORED:
                return size
