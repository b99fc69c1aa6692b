"""Whether a request is in order: its signature and its parameters."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson
from tencentcloud.common.sign import Sign

from .actions import Action
from .queues import Window
from .records import Account

Headers = Mapping[str, str]
"""Of a request; the names in lower case."""

_MAX_CLOCK_SKEW = 300
_UNIX_TIMES = range(4102444800)
_MAX_WINDOW_AGE = 7 * 86400
_PULL_PARAMETERS: dict[str, Any] = {"Limit": range(1, 101), "SmsSdkAppId": str}
_WINDOW = {"BeginTime": _UNIX_TIMES, "EndTime": _UNIX_TIMES, "Offset": range(1), "PhoneNumber": str}
_OPTIONAL = frozenset({"EndTime"})
_WRONG_VALUE = "InvalidParameterValue"
_WRONG_BEGIN = "InvalidParameterValue.BeginTimeVerifyFail"
_WRONG_VALUES = {"BeginTime": _WRONG_BEGIN, "EndTime": "InvalidParameterValue.EndTimeVerifyFail"}
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 +Credential=(?P<secret_id>[^/,\s]+)/(?P<scope>[^/,\s]+/[^/,\s]+/tc3_request), *"
    r"SignedHeaders=(?P<signed>[a-z0-9-]+(?:;[a-z0-9-]+)*), *Signature=(?P<signature>[0-9a-f]{64})"
)


class ApiError(Exception):
    """An error as the API answers it: its code and its message."""


def check(holds: object, code: str, message: str) -> None:
    """Raise the `ApiError` with this code and message unless something holds."""
    if not holds:
        raise ApiError(code, message)


def authenticate(headers: Headers, body: bytes, accounts: Mapping[str, Account], now: float) -> Account:
    """Return the account whose TC3-HMAC-SHA256 signature a POST of / bears, or raise the `ApiError` due."""
    for name in ("Host", "Content-Type", "X-TC-Action", "X-TC-Version", "X-TC-Timestamp"):
        check(headers.get(name.lower()), "MissingParameter", f"The request is missing the header {name}.")
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    signed = match["signed"].split(";") if match else []
    if match is None or signed != sorted(set(signed)) or not {"content-type", "host"} <= set(signed):
        message = "Authorization is malformed, or SignedHeaders are unsorted or lack content-type or host."
        raise ApiError("AuthFailure.InvalidAuthorization", message)
    timestamp = headers["x-tc-timestamp"]
    check(re.fullmatch("[0-9]{1,11}", timestamp), "InvalidParameterValue", "X-TC-Timestamp is no Unix time.")
    is_now = abs(now - int(timestamp)) <= _MAX_CLOCK_SKEW
    check(is_now, "AuthFailure.SignatureExpire", "X-TC-Timestamp is over 5 minutes off the server's time.")
    account = accounts.get(match["secret_id"])
    if account is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId does not exist.")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(timestamp)))
    scope = f"{date}/sms/tc3_request"
    canonical_headers = "".join(f"{name}:{headers.get(name, '').lower()}\n" for name in signed)
    canonical = f"POST\n/\n\n{canonical_headers}\n{match['signed']}\n{hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    signature = Sign.sign_tc3(account.secret_key, date, "sms", to_sign)
    is_whole = match["scope"] == scope and all(name in headers for name in signed)
    is_right = is_whole and hmac.compare_digest(signature, match["signature"])
    check(is_right, "AuthFailure.SignatureFailure", "The signature does not fit the request.")
    is_valid = account.token_expires is None or now < account.token_expires
    is_valid = is_valid and headers.get("x-tc-token") == account.token
    check(is_valid, "AuthFailure.TokenFailure", "The token is wrong or has expired.")
    return account


def parameters_of(action: Action, body: bytes) -> Any:
    """Return the parameters of a request, or raise the `ApiError` due."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError("FailedOperation.JsonParseFail", "The request body is not JSON.") from None
    check(isinstance(values, dict), "InvalidParameter", "The request body is not a JSON object.")
    domains = _PULL_PARAMETERS | _WINDOW if action.is_look_up else _PULL_PARAMETERS
    for name in values:
        check(name in domains, "UnknownParameter", f"The parameter {name!r} is not recognized.")
    for name, domain in domains.items():
        if name in values:
            is_typed = type(values[name]) is (str if domain is str else int)
            check(is_typed, "InvalidParameter", f"The type of the parameter {name} is wrong.")
            fits, code = domain is str or values[name] in domain, _WRONG_VALUES.get(name, _WRONG_VALUE)
            check(fits, code, f"The value of the parameter {name} is not allowed.")
        else:
            check(name in _OPTIONAL, "MissingParameter", f"The request is missing the parameter {name}.")
    return values


def window_of(parameters: Mapping[str, Any], now: int) -> Window:
    """Return what a look-up asks for at the Unix time `now`, or raise the `ApiError` due."""
    phone_number, begin = parameters["PhoneNumber"], parameters["BeginTime"]
    end = parameters.get("EndTime", now)
    is_number = _E164.fullmatch(phone_number)
    check(is_number, "InvalidParameterValue.IncorrectPhoneNumber", "The phone number is not in E.164.")
    check(now - _MAX_WINDOW_AGE <= begin, _WRONG_BEGIN, "BeginTime is over 7 days back.")
    check(begin <= end, "InvalidParameterValue.InvalidStartTime", "BeginTime is after EndTime.")
    return Window(phone_number, begin, end)
