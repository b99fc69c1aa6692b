"""Answers as HTTP messages, good ones and those that a fault spoils."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Sequence
from typing import Any

import orjson

from .actions import Action
from .faults import Fault, FaultKind


def good_body(action: Action, records: Sequence[bytes], request_id: str | None, empty_set: str) -> bytes:
    """Return the body of an answer; `empty_set` is how no records look."""
    response: dict[str, Any] = {}
    if records or empty_set != "absent":
        is_list = records or empty_set == "list"
        response[action.result_set] = [*map(orjson.Fragment, records)] if is_list else None
    if request_id is not None:
        response["RequestId"] = request_id
    return orjson.dumps({"Response": response})


def error_body(code: str, message: str, request_id: str) -> bytes:
    """Return the body of an answer that is an error."""
    return orjson.dumps({"Response": {"Error": {"Code": code, "Message": message}, "RequestId": request_id}})


def message_with(
    fault: Fault, action: Action, records: Sequence[bytes], request_id: str, empty_set: str
) -> bytes:
    """Return the message that a fault leaves of an answer."""
    body = good_body(action, records, request_id, empty_set)
    bodies = {
        FaultKind.NOT_JSON: b"<html><body>upstream request timeout</body></html>",
        FaultKind.NO_RESPONSE: orjson.dumps({"RequestId": request_id}),
        FaultKind.HTTP_STATUS: b"<html><h1>%d</h1></html>" % fault.status,
        FaultKind.API_ERROR: error_body(fault.code, "A fault that was asked for.", request_id),
        FaultKind.BODY: fault.body,
        FaultKind.GZIP: gzip.compress(body),
        FaultKind.NO_REQUEST_ID: good_body(action, records, None, empty_set),
    }
    types = dict.fromkeys((FaultKind.CONTENT_TYPE, FaultKind.BODY), fault.content_type)
    types[FaultKind.HTTP_STATUS] = "text/html"
    status = fault.status if fault.kind is FaultKind.HTTP_STATUS else 200
    extra = "Content-Encoding: gzip\r\n" if fault.kind is FaultKind.GZIP else ""
    body = bodies.get(fault.kind, body)
    message = http_message(body, types.get(fault.kind, "application/json"), status=status, extra=extra)
    return message[: -(len(body) // 2)] if fault.kind is FaultKind.TRUNCATE else message


def http_message(
    body: bytes, content_type: str = "application/json", *, status: int = 200, extra: str = ""
) -> bytes:
    """Return a whole HTTP message; `extra` are header lines, each with its end."""
    reason = http.client.responses.get(status, "")
    entity = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {reason}\r\n{entity}{extra}\r\n".encode("latin-1") + body
