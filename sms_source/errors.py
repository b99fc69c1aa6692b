"""What can go wrong, what it means for a destructive pull, and what to do about it.

SmsSourceError
├── ConfigurationError        wrong configuration: the main job ends with exit status 2
├── JournalError              the journal can't be read or written
│   └── JournalLockedError    another process is at work on the same journal
└── PullError                 a pull came back without replies
    ├── NotExecutedError      nothing left the queue: wait, and pull again
    ├── InDoubtError          up to `Limit` replies may have left the queue and be lost
    └── RefusedError          nothing left the queue, and nothing will until somebody acts

Which code is of which kind decides whether replies count as lost, so it stands in one place: `CATALOGUE`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

MASK = "***"
_LONGEST_MESSAGE = 500
_SECRETIVE = re.compile(
    r"\d{7,}"  # phone numbers, of whatever country
    r"|(?=[A-Za-z_]*\d)[A-Za-z0-9_]{24,}"  # secret ids, secret keys, tokens; never a word or a UUID
)


def redact(text: str) -> str:
    """`text` on one printable line of at most 500 characters, without phone numbers and without keys."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    masked = _SECRETIVE.sub(MASK, line)
    return masked if len(masked) <= _LONGEST_MESSAGE else masked[: _LONGEST_MESSAGE - 1] + "…"


class SmsSourceError(Exception):
    """The base of everything that this package raises on purpose."""


class ConfigurationError(SmsSourceError):
    """The configuration is wrong or incomplete; running again without changing it can't help."""


class JournalError(SmsSourceError):
    """The journal can't be read or written, so nothing may be pulled: replies would have no safe place."""


class JournalLockedError(JournalError):
    """Another process is at work on the same journal."""


class PullError(SmsSourceError):
    """A pull that came back without replies; one of its three subclasses says what that means.

    Args:
        code: Tencent Cloud's error code, or one of this package's own, which begin with `Client.`.
        message: what the server or the transport said, with phone numbers and keys masked.
        request_id: Tencent Cloud's `RequestId`, which its support asks for; None when there was no answer.
        remedy: what to do next.

    `body` is what arrived of the answer, for the journal alone: it may hold people's replies.
    """

    meaning: ClassVar[str] = "The pull failed"

    def __init__(self, code: str, message: str, request_id: str | None, remedy: str) -> None:
        super().__init__(code, message, request_id, remedy)
        self.code = code
        self.message = message
        self.request_id = request_id
        self.remedy = remedy
        self.body = b""
        self.about = ""

    def __str__(self) -> str:
        """What happened, the code and RequestId, and what to do next; never a phone number or a key."""
        said = f"{self.code}: {self.message}" if self.message else self.code
        about = f" for {self.about}" if self.about else ""
        return f"{self.meaning}{about} ({said}; RequestId {self.request_id or 'none'}). {self.remedy}"


class NotExecutedError(PullError):
    """Nothing left the queue, and the next attempt may succeed."""

    meaning = "The pull was not executed, and nothing left the queue"


class InDoubtError(PullError):
    """Nobody can know whether the queue handed out replies that never arrived."""

    meaning = "The pull is in doubt: replies may have left the queue without arriving"


class RefusedError(PullError):
    """Nothing left the queue, and nothing will until somebody acts on the remedy."""

    meaning = "The pull was refused, and nothing left the queue"


class Failure(NamedTuple):
    """What a code means: the class of error it is raised as, and what to do next."""

    kind: type[PullError]
    remedy: str


_KEYS_PAGE = "https://console.cloud.tencent.com/cam/capi"
_CONTACT = "contact Tencent Cloud's SMS Helper, naming the RequestId"
_CLOCK = (
    "This machine's clock is too far from Tencent Cloud's: synchronise it with NTP "
    "(`timedatectl` shows its state)."
)
_RATE = "Too many requests: lower `pulls_per_second`, and stop other programs that call this API."
_SERVER_SIDE = f"The fault is on Tencent Cloud's side. If it lasts, {_CONTACT}."
_SIGNATURE = (
    "Check that `credentials.secret_key` is the key that belongs to `credentials.secret_id` "
    f"({_KEYS_PAGE}), whole and without blanks."
)
_CONNECTOR = (
    "The request did not fit the API: check `api_endpoint`, update this connector, "
    "and report the code if that does not help."
)
_ADDRESS = "Add this machine's public IP address to the allowlist in Tencent Cloud's console"
_PERMISSION = (
    "Let the owner of this key use the action PullSmsReplyStatus of SMS, in access management (CAM) "
    "of Tencent Cloud's console."
)
_APP_ID = (
    "Check `sms_sdk_app_ids` against the application list in the SMS console; "
    "each must belong to the account of `credentials.secret_id`."
)
_NETWORK = "Check this machine's network, firewall and proxy, and the host in `api_endpoint`."
_LOST_ON_THE_WAY = "The next pull fetches the next replies. If it happens often, check the network"
_NOT_TENCENT = (
    "What answered may not be Tencent Cloud: check `api_endpoint`, and whether a proxy or a login page "
    "of the network stands in between."
)
_UNKNOWN = Failure(
    RefusedError,
    "This code is not known to the connector: look it up in Tencent Cloud's list of error codes, "
    "or ask Tencent Cloud's support, naming the RequestId.",
)

_NOT_EXECUTED = {
    "AuthFailure.SignatureExpire": _CLOCK,
    "AuthFailure.TokenFailure": (
        "The temporary credentials have expired or were revoked: "
        "provide a new secret id, secret key and token together."
    ),
    "RequestLimitExceeded": _RATE,
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": _RATE,
    "RequestLimitExceeded.IPLimitExceeded": _RATE,
    "RequestLimitExceeded.UinLimitExceeded": _RATE,
    "Client.ConnectionRefused": _NETWORK,
    "Client.ConnectTimeout": _NETWORK,
    "Client.NameResolution": "The host's name could not be resolved: check DNS and `api_endpoint`.",
    "Client.Proxy": "The proxy did not let the request through: check `HTTPS_PROXY` and `NO_PROXY`.",
    "Client.TLS": (
        "No trusted TLS connection: check this machine's clock, and whether a proxy replaces certificates; "
        "`REQUESTS_CA_BUNDLE` names its CA file."
    ),
}

_IN_DOUBT = {
    "InternalError": _SERVER_SIDE,
    "InternalError.OtherError": _SERVER_SIDE,
    "InternalError.RequestTimeException": _CLOCK,
    "InternalError.RestApiInterfaceNotExist": _CONNECTOR,
    "InternalError.SendAndRecvFail": f"Tencent Cloud timed out. Check the network; if it lasts, {_CONTACT}.",
    "InternalError.SigFieldMissing": _SERVER_SIDE,
    "InternalError.SigVerificationFail": _SERVER_SIDE,
    "InternalError.Timeout": _SERVER_SIDE,
    "InternalError.UnknownError": _SERVER_SIDE,
    "ResourceUnavailable": _SERVER_SIDE,
    "ServiceUnavailable": _SERVER_SIDE,
    "Client": f"{_LOST_ON_THE_WAY}.",
    "Client.ConnectionReset": f"{_LOST_ON_THE_WAY}.",
    "Client.HTTPStatus": f"The answer's HTTP status was not 200. {_NOT_TENCENT}",
    "Client.Interrupted": "The process ended before the answer was in the journal; let a run end by itself.",
    "Client.NoResponse": f"The answer had no `Response`. {_NOT_TENCENT}",
    "Client.NotJSON": f"The answer was not JSON. {_NOT_TENCENT}",
    "Client.ReadTimeout": f"{_LOST_ON_THE_WAY}, and raise `pull_timeout`.",
    "Client.TruncatedBody": f"{_LOST_ON_THE_WAY}.",
}

_REFUSED = {
    "ActionOffline": f"Tencent Cloud has withdrawn this API: update this connector, or {_CONTACT}.",
    "AuthFailure": f"Tencent Cloud did not accept the credentials: check them on {_KEYS_PAGE}.",
    "AuthFailure.InvalidAuthorization": _CONNECTOR,
    "AuthFailure.InvalidSecretId": (
        f"`credentials.secret_id` is not a key of this API: create one on {_KEYS_PAGE}."
    ),
    "AuthFailure.MFAFailure": "This account's keys need multi-factor authentication: use one that does not.",
    "AuthFailure.SecretIdNotFound": (
        f"`credentials.secret_id` does not exist, or was disabled or deleted: check it on {_KEYS_PAGE}."
    ),
    "AuthFailure.SignatureFailure": _SIGNATURE,
    "AuthFailure.UnauthorizedOperation": _PERMISSION,
    "DryRunOperation": _CONNECTOR,
    "FailedOperation": f"Tencent Cloud could not carry out the request. If it lasts, {_CONTACT}.",
    "FailedOperation.FailResolvePacket": _CONNECTOR,
    "FailedOperation.JsonParseFail": _CONNECTOR,
    "FailedOperation.PhoneNumberInBlacklist": f"A phone number is on the opt-out list: {_CONTACT}.",
    "InvalidAction": _CONNECTOR,
    "InvalidParameter": f"{_APP_ID} Check `pull_limit` too: it goes from 1 to 100.",
    "InvalidParameterValue": f"{_APP_ID} Check `pull_limit` too: it goes from 1 to 100.",
    "InvalidParameterValue.IncorrectPhoneNumber": _CONNECTOR,
    "InvalidParameterValue.SdkAppIdNotExist": f"The application id does not exist. {_APP_ID}",
    "InvalidRequest": _CONNECTOR,
    "IpInBlacklist": (
        "This machine's public IP address is on a blocklist: "
        "remove it there in Tencent Cloud's console, or run elsewhere."
    ),
    "IpNotInWhitelist": f"{_ADDRESS}, or run elsewhere.",
    "LimitExceeded": f"A quota of the account is used up: raise it in the console, or {_CONTACT}.",
    "MissingParameter": _CONNECTOR,
    "NoSuchProduct": _CONNECTOR,
    "NoSuchVersion": _CONNECTOR,
    "RequestSizeLimitExceeded": _CONNECTOR,
    "ResourceInUse": f"Something this request needs is in use. If it lasts, {_CONTACT}.",
    "ResourceInsufficient": f"Tencent Cloud lacks a resource for this request. If it lasts, {_CONTACT}.",
    "ResourceNotFound": f"Something this request names does not exist. {_APP_ID}",
    "ResponseSizeLimitExceeded": "The answer would be too large: lower `pull_limit`.",
    "UnauthorizedOperation": f"{_PERMISSION} If it is allowed already, {_CONTACT}.",
    "UnauthorizedOperation.RequestIpNotInWhitelist": f"{_ADDRESS}, or {_CONTACT}.",
    "UnauthorizedOperation.RequestPermissionDeny": (
        f"This account may not use the API: {_CONTACT}, and ask for PullSmsReplyStatus to be activated."
    ),
    "UnauthorizedOperation.SdkAppIdIsDisabled": f"This application id has been disabled: {_CONTACT}.",
    "UnauthorizedOperation.ServiceSuspendDueToArrears": (
        "The service is suspended for outstanding fees: settle them in Tencent Cloud's console."
    ),
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail": _APP_ID,
    "UnknownParameter": _CONNECTOR,
    "UnsupportedOperation": f"Check `api_region` and `api_endpoint`. If they are right, {_CONTACT}.",
    "UnsupportedProtocol": "Use an `api_endpoint` that begins with `https://`.",
    "UnsupportedRegion": (
        "`api_region` is not a region of SMS: use the region in which the application was created, "
        "such as `ap-guangzhou`."
    ),
}

CATALOGUE: Mapping[str, Failure] = MappingProxyType(
    {
        code: Failure(kind, remedy)
        for kind, remedies in (
            (NotExecutedError, _NOT_EXECUTED),
            (InDoubtError, _IN_DOUBT),
            (RefusedError, _REFUSED),
        )
        for code, remedy in remedies.items()
    }
)
"""Every code of the page of PullSmsReplyStatus, every common code of API 3.0, and this package's own
(`Client.…`, for failures on the way), with its kind and its remedy."""


def look_up(code: str) -> Failure:
    """What `code` means: its own entry, else that of its family (before the dot), else refused."""
    family, _, _ = code.partition(".")
    return CATALOGUE.get(code) or CATALOGUE.get(family) or _UNKNOWN


def error_for(code: str, message: str, request_id: str | None = None) -> PullError:
    """The error to raise for `code`, of the right kind, with phone numbers and keys masked in `message`."""
    kind, remedy = look_up(code)
    return kind(redact(code), redact(message), request_id, remedy)
