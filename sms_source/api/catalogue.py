"""The error catalogue: what each code means for a destructive pull, and what to do about it.

Which code is of which kind decides whether records count as lost, and with which exit status a run ends, so
it stands in one place: `CATALOGUE`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from sms_source import settings
from sms_source.errors import InDoubtError, NotExecutedError, PullError, RefusedError


class Failure(NamedTuple):
    """What a code means.

    kind: the class of error that it is raised as.
    remedy: what to do next; `{action}` in it stands for the API's action that was asked.
    is_configuration: whether that is a change of the configuration or of the account, without which running
        again can't help.
    """

    kind: type[PullError]
    remedy: str
    is_configuration: bool = False


_KEYS_PAGE = "https://console.cloud.tencent.com/cam/capi"
_CONTACT = "contact Tencent Cloud's SMS Helper, naming the RequestId"
_CLOCK = (
    "This machine's clock is too far from Tencent Cloud's: synchronise it with NTP "
    "(`timedatectl` shows its state)."
)
_RATE = "Too many requests: lower `pulls_per_second`, and stop other programs that call this API."
_SERVER_SIDE = f"The fault is on Tencent Cloud's side. If it lasts, {_CONTACT}."
_CONNECTOR = (
    "The request did not fit the API: check `api_endpoint`, update this connector, "
    "and report the code if that does not help."
)
_ENDPOINT = (
    f"What answers at `api_endpoint` does not know {{action}}: use {settings.API_ENDPOINT}, or another "
    "endpoint of SMS; if it is one, update this connector."
)
_WINDOW = (
    "The times of the look-up do not fit: it goes back at most 7 days, and ends after it begins. "
    "Check this machine's clock (`timedatectl` shows its state)."
)
_ADDRESS = "Add this machine's public IP address to the allowlist in Tencent Cloud's console"
_PERMISSION = (
    "Let the owner of this key use {action} of SMS, in access management (CAM) of Tencent Cloud's console."
)
_APP_ID = (
    "Check `sms_sdk_app_ids` against the application list in the SMS console; "
    "each must belong to the account of `credentials.secret_id`."
)
_APP_ID_OR_LIMIT = f"{_APP_ID} Check `pull_limit` too: it goes from 1 to {settings.MAX_PULL_LIMIT}."
_ARREARS = "The service is suspended for outstanding fees: pay them in Tencent Cloud's console."
_NETWORK = "Check this machine's network, firewall and proxy, and the host in `api_endpoint`."
_LOST_ON_THE_WAY = "The next pull fetches the next records. If it happens often, check the network"
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
    "Client.Proxy": (
        "The proxy did not let the request through: check `HTTPS_PROXY` and `NO_PROXY`; "
        "they name an HTTP proxy, not a SOCKS one."
    ),
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
    "Client.BodyTooLarge": f"The answer was larger than any answer can be. {_NOT_TENCENT}",
    "Client.ConnectionReset": f"{_LOST_ON_THE_WAY}.",
    "Client.HTTPStatus": f"The answer's HTTP status was not 200. {_NOT_TENCENT}",
    "Client.Interrupted": "The process ended before the answer was in the journal; let a run end by itself.",
    "Client.NoResponse": f"The answer had no `Response`. {_NOT_TENCENT}",
    "Client.NotJSON": f"The answer was not JSON. {_NOT_TENCENT}",
    "Client.ReadTimeout": f"{_LOST_ON_THE_WAY}, and raise `pull_timeout`.",
    "Client.TruncatedBody": f"{_LOST_ON_THE_WAY}.",
}

_REFUSED_UNTIL_CONFIGURED = {
    "AuthFailure": f"Tencent Cloud did not accept the credentials: check them on {_KEYS_PAGE}.",
    "AuthFailure.InvalidAuthorization": (
        "Tencent Cloud could not read the signature's header: check that `credentials.secret_id` is whole "
        f"({_KEYS_PAGE}); if it is, update this connector."
    ),
    "AuthFailure.InvalidSecretId": (
        f"`credentials.secret_id` is not a key of this API: create one on {_KEYS_PAGE}."
    ),
    "AuthFailure.MFAFailure": "This account's keys need multi-factor authentication: use one that does not.",
    "AuthFailure.SecretIdNotFound": (
        f"`credentials.secret_id` does not exist, or was disabled or deleted: check it on {_KEYS_PAGE}."
    ),
    "AuthFailure.SignatureFailure": (
        "Check that `credentials.secret_key` is the key that belongs to `credentials.secret_id` "
        f"({_KEYS_PAGE}), whole and without blanks."
    ),
    "AuthFailure.UnauthorizedOperation": _PERMISSION,
    "InvalidAction": _ENDPOINT,
    "InvalidParameter": _APP_ID_OR_LIMIT,
    "InvalidParameterValue": _APP_ID_OR_LIMIT,
    "InvalidParameterValue.SdkAppIdNotExist": f"The application id does not exist. {_APP_ID}",
    "IpInBlacklist": (
        "This machine's public IP address is on a blocklist: "
        "remove it there in Tencent Cloud's console, or run elsewhere."
    ),
    "IpNotInWhitelist": f"{_ADDRESS}, or run elsewhere.",
    "LimitExceeded": f"A quota of the account is used up: raise it in the console, or {_CONTACT}.",
    "NoSuchProduct": _ENDPOINT,
    "NoSuchVersion": _ENDPOINT,
    "ResourceNotFound": f"Something this request names does not exist. {_APP_ID}",
    "ResponseSizeLimitExceeded": "The answer would be too large: lower `pull_limit`.",
    "UnauthorizedOperation": f"{_PERMISSION} If it is allowed already, {_CONTACT}.",
    "UnauthorizedOperation.RequestIpNotInWhitelist": f"{_ADDRESS}, or {_CONTACT}.",
    "UnauthorizedOperation.RequestPermissionDeny": (
        f"This account may not use the API: {_CONTACT}, and ask for {{action}} to be activated."
    ),
    "UnauthorizedOperation.SdkAppIdIsDisabled": f"This application id has been disabled: {_CONTACT}.",
    # The API's page spells it so, its SDKs the other way.
    "UnauthorizedOperation.ServiceSuspendDueToArrears": _ARREARS,
    "UnauthorizedOperation.SerivceSuspendDueToArrears": _ARREARS,
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail": _APP_ID,
    "UnsupportedOperation": f"Check `api_region` and `api_endpoint`. If they are right, {_CONTACT}.",
    "UnsupportedProtocol": "Use an `api_endpoint` that begins with `https://`.",
    "UnsupportedRegion": (
        "`api_region` is not a region of SMS: use the region in which the application was created, "
        "such as `ap-guangzhou`."
    ),
}

_REFUSED = {
    "ActionOffline": f"Tencent Cloud has withdrawn {{action}}: update this connector, or {_CONTACT}.",
    "DryRunOperation": _CONNECTOR,
    "FailedOperation": f"Tencent Cloud could not carry out the request. If it lasts, {_CONTACT}.",
    "FailedOperation.FailResolvePacket": _CONNECTOR,
    "FailedOperation.JsonParseFail": _CONNECTOR,
    "FailedOperation.PhoneNumberInBlacklist": f"A phone number is on the opt-out list: {_CONTACT}.",
    "InvalidParameterValue.BeginTimeVerifyFail": _WINDOW,
    "InvalidParameterValue.EndTimeVerifyFail": _WINDOW,
    "InvalidParameterValue.IncorrectPhoneNumber": (
        "The phone number of a look-up has to be in E.164: a plus sign, the country code and the number."
    ),
    "InvalidParameterValue.InvalidStartTime": _WINDOW,
    "InvalidRequest": _CONNECTOR,
    "MissingParameter": _CONNECTOR,
    "RequestSizeLimitExceeded": _CONNECTOR,
    "ResourceInUse": f"Something this request needs is in use. If it lasts, {_CONTACT}.",
    "ResourceInsufficient": f"Tencent Cloud lacks a resource for this request. If it lasts, {_CONTACT}.",
    "UnknownParameter": _CONNECTOR,
}

CATALOGUE: Mapping[str, Failure] = MappingProxyType(
    {
        code: Failure(kind, remedy, is_configuration)
        for kind, remedies, is_configuration in (
            (NotExecutedError, _NOT_EXECUTED, False),
            (InDoubtError, _IN_DOUBT, False),
            (RefusedError, _REFUSED_UNTIL_CONFIGURED, True),
            (RefusedError, _REFUSED, False),
        )
        for code, remedy in remedies.items()
    }
)
"""Every code of the pages of the queues' actions and look-ups, every common code of API 3.0, and this
package's own (`Client.…`, for failures on the way)."""


def meaning_of(code: str) -> Failure:
    """Return what `code` means: its own entry, else that of its family (before the dot), else refused."""
    family, _, _ = code.partition(".")
    return CATALOGUE.get(code) or CATALOGUE.get(family) or _UNKNOWN


def error_for(
    code: str, message: str, request_id: str | None = None, *, action: str = "this action"
) -> PullError:
    """Return the error to raise for `code`, of the right kind; what the peer said is cleaned in it."""
    kind, remedy, is_configuration = meaning_of(code)
    return kind(code, message, request_id, remedy.replace("{action}", action), is_configuration)
