"""Which records go to which callback URL, and what they look like there.

Documented are the bodies (one object a reply, an array of up to 100 receipts), the answer that counts as
success, and that a receipt is pushed twice more. Not documented are the pauses, the time that Tencent waits
for an answer, the content type, and whether a reply is pushed again.

Sources: the pages 短信下发状态通知 and 短信回复 of Tencent's own documents on GitHub
(tencentyun/qcloud-documents).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from .actions import RECEIPTS, REPLIES, feed_of
from .records import decode, encode

_BEIJING = dt.timezone(dt.timedelta(hours=8))
_REPLY_KEYS = {
    "extend": "ExtendCode",
    "mobile": "SubscriberNumber",
    "nationcode": "CountryCode",
    "sign": "SignName",
    "text": "ReplyContent",
    "time": "ReplyTime",
}
_RECEIPT_KEYS = {
    "user_receive_time": "UserReceiveTime",
    "nationcode": "CountryCode",
    "mobile": "SubscriberNumber",
    "report_status": "ReportStatus",
    "errmsg": "Description",
    "sid": "SerialNo",
    "ext": "SessionContext",
}
_OPTIONAL = {"extend", "ext"}
_SENTENCES = {"SUCCESS": "用户短信送达成功", "FAIL": "用户短信送达失败"}


class Callbacks:
    """The callback URLs: one for all replies of the account, one an application for its receipts."""

    def __init__(self, seed: int) -> None:
        self._urls: dict[tuple[str, str | None], str] = {}
        self.draw_from(seed)

    def draw_from(self, seed: int) -> None:
        """Begin anew with what the setting `delivery_seed` gives."""
        self._generator = random.Random(seed)

    def push_to(self, feed: str, url: str | None, app_id: str | None = None) -> None:
        """Set a callback URL, or end it with None. Raises `ValueError` for one that Tencent can't have."""
        if (feed_of(feed) == RECEIPTS) != (app_id is not None):
            raise ValueError("receipts have a callback URL for each app_id, replies have one for the account")
        if url is None:
            self._urls.pop((feed, app_id), None)
        else:
            self._urls[feed, app_id] = _checked(url)

    def url_of(self, feed: str, app_id: str) -> str:
        """Return the URL for a feed of an application, empty for none."""
        return self._urls.get((feed, app_id if feed == RECEIPTS else None), "")

    def divide(self, records: Sequence[bytes], delivery: str) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Return which records wait in the queue and which are pushed, by the setting `delivery`.

        ``queue`` is that there is no callback.
        """
        if delivery == "queue":
            return records, ()
        if delivery == "both":
            return records, records
        if delivery == "split":
            return (), records
        drawn: tuple[list[bytes], list[bytes]] = ([], [])
        for record in records:
            drawn[self._generator.random() < 0.5].append(record)
        return drawn


def _checked(url: str) -> str:
    """Return a callback URL as it is. Raises `ValueError` for one that can't be pushed to."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("a callback URL is http://HOST:PORT/PATH or https://HOST/PATH")
    return url


def callback_body(feed: str, record: bytes) -> bytes:
    """Return a record of a queue as a callback has it; what is no JSON object stays as it is."""
    values = decode(record)
    if not isinstance(values, dict):
        return record
    return encode(_reply(values) if feed == REPLIES else _receipt(values))


def _reply(values: Mapping[str, Any]) -> dict[str, Any]:
    return _renamed(values, _REPLY_KEYS)


def _receipt(values: Mapping[str, Any]) -> dict[str, Any]:
    receipt = _renamed(values, _RECEIPT_KEYS)
    time = receipt.get("user_receive_time")
    if isinstance(time, int):
        # Beijing time without a zone: the documents pair 17:18:37 with 1570526317.
        with contextlib.suppress(ValueError, OverflowError, OSError):  # no year that a calendar has
            receipt["user_receive_time"] = dt.datetime.fromtimestamp(time, _BEIJING).strftime(
                "%Y-%m-%d %H:%M:%S"
            )
    status = receipt.get("report_status")
    if isinstance(status, str):
        receipt["description"] = _SENTENCES.get(status, status)
    return receipt


def _renamed(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return values by other keys: those that are there, and optional ones that are not empty."""
    renamed = {key: values[name] for key, name in keys.items() if name in values}
    return {key: value for key, value in renamed.items() if value or key not in _OPTIONAL}
