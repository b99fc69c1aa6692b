"""One pull is one signed POST: it returns the answer, or raises one of three kinds of error.

Nothing here, nor beneath, sends a request a second time: the queue hands a reply out once, so a
repetition fetches the next replies and throws the first ones away. A plain `requests.Session` retries
nothing (urllib3 gets `Retry(0, read=False)`), its adapters follow no redirect, and every request is signed
by itself. (dlt's `requests` helper repeats any method up to five times, the official SDK's
retryer sends a failed request twice more: measured.)
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from sms_source import settings
from sms_source.api.answers import Answer, parse_answer
from sms_source.api.brackets import NotAnAnswerError
from sms_source.api.catalogue import error_for
from sms_source.api.signing import TC3Auth
from sms_source.api.transport import CURRENT, DeadlineAdapter, Exchange, Stage
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import PullError
from sms_source.feeds import Feed

CHECK_PHONE_NUMBER = "+8610000000000"
"""Asked about by `SmsClient.check`: the form of a Chinese number, in a range that no operator has."""

_UNSENT = {
    Stage.RESOLVING: ("Client.NameResolution", "the name of {host} can't be resolved"),
    Stage.CONNECTING: ("Client.ConnectionRefused", "no connection to {host}"),
    Stage.PROXY: ("Client.Proxy", "the proxy made no connection to {host}"),
    Stage.TLS: ("Client.TLS", "no secure connection to {host}"),
}
"""What a failure means that came before the request went out."""


class RawAnswer(NamedTuple):
    """An answer read, and its body as it came (after HTTP's own decoding)."""

    answer: Answer
    body: bytes


class SmsClient:
    """Requests to the API of one region, over one kept-alive connection; not for several threads.

    Args:
        credentials: whose `current()` gives the keys of each request.
        endpoint: `https://host[:port]`; the host is part of what is signed.
        region: `X-TC-Region`; each region has queues of its own.
        language: of error messages, `en-US` or `zh-CN`.
        timeout: seconds for a whole request, from connecting to the last byte.
    """

    def __init__(
        self,
        credentials: TencentCloudCredentials,
        *,
        endpoint: str = settings.API_ENDPOINT,
        region: str = settings.API_REGION,
        language: str = settings.API_LANGUAGE,
        timeout: float = settings.PULL_TIMEOUT,
    ) -> None:
        self._credentials = credentials
        url = f"{endpoint.rstrip('/')}/"
        self._host = urlsplit(url).netloc
        self._timeout = timeout
        self._sign = TC3Auth(credentials.current)
        self._session = requests.Session()
        self._session.mount(url, DeadlineAdapter())
        self._session.headers.update(
            {
                "Content-Type": "application/json",
                "X-TC-Version": settings.API_VERSION,
                "X-TC-Region": region,
                "X-TC-Language": language,
            }
        )
        # What requests would find out anew for each request, which was half of a pull's CPU (measured):
        # the URL and the headers, the adapter, the proxies and the certificates that the environment names.
        self._blank = requests.Request("POST", url, headers=self._session.headers).prepare()
        self._adapter = self._session.get_adapter(url)
        # http:// is for this machine: by a proxy that the environment names, it would leave it in clear.
        no_proxy = {"http": ""} if url.startswith("http://") else {}
        self._environment: Mapping[str, Any] = self._session.merge_environment_settings(
            url, proxies=no_proxy, stream=True, verify=None, cert=None
        )

    @classmethod
    def of(cls, options: SmsSourceConfiguration) -> "SmsClient":
        """Return a client with these options."""
        return cls(
            options.credentials,
            endpoint=options.api_endpoint,
            region=options.api_region,
            language=options.api_language,
            timeout=options.pull_timeout,
        )

    def __enter__(self) -> "SmsClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def pull(
        self,
        feed: Feed,
        sms_sdk_app_id: str,
        limit: int,
        before_sending: Callable[[], None] = lambda: None,
    ) -> RawAnswer:
        """Take up to `limit` records (1 to 100) out of the application's queue, for good.

        `before_sending` is called when nothing is left to do but to send the request: it may wait.

        Raises:
            NotExecutedError: nothing was taken; pulling again is safe.
            InDoubtError: up to `limit` records may have been taken and lost; its `body` is what came.
            RefusedError: nothing was taken, and pulling again won't help.
        """
        parameters = {"SmsSdkAppId": sms_sdk_app_id, "Limit": limit}
        return self._post(feed, feed.action, parameters, before_sending)

    def look_up(
        self,
        feed: Feed,
        sms_sdk_app_id: str,
        phone_number: str,
        begin: int,
        end: int,
        *,
        limit: int = settings.MAX_PULL_LIMIT,
        before_sending: Callable[[], None] = lambda: None,
    ) -> RawAnswer:
        """Ask for the records of one phone number (E.164) from `begin` to `end` (Unix seconds).

        At most `limit` (1 to 100) come back, and there is no next page: halve the time when there are so
        many. `begin` may be 7 days ago; whether the ends belong to it is not documented. In all that is
        known a look-up takes nothing out of the queue. `before_sending` is called as by `pull`.

        Raises:
            PullError: as `pull`; it may be repeated, whatever it is.
        """
        parameters = {
            "SmsSdkAppId": sms_sdk_app_id,
            "PhoneNumber": phone_number,
            "BeginTime": begin,
            "EndTime": end,
            "Offset": 0,
            "Limit": limit,
        }
        return self._post(feed, feed.look_up_action, parameters, before_sending)

    def check(self, feed: Feed, sms_sdk_app_id: str) -> None:
        """Prove network, signature, permission and application id without taking a record.

        Looks up one second of a number that nobody has; were the look-up a queue as well, this question
        still takes nothing.

        Raises:
            PullError: as `look_up`.
        """
        now = int(time.time())
        try:
            self.look_up(feed, sms_sdk_app_id, CHECK_PHONE_NUMBER, now - 1, now, limit=1)
        except PullError as error:
            # The number is looked at after the signature, the permission and the application id.
            if error.code != "InvalidParameterValue.IncorrectPhoneNumber":
                raise

    def _post(
        self, feed: Feed, action: str, parameters: Mapping[str, Any], before_sending: Callable[[], None]
    ) -> RawAnswer:
        failure = partial(self._failure, feed, action, parameters["SmsSdkAppId"])
        exchange = Exchange(self._timeout, before_sending)
        CURRENT.set(exchange)
        received = bytearray()
        try:
            request = self._blank.copy()
            request.headers["X-TC-Action"] = action
            request.prepare_body(json.dumps(parameters).encode(), None)
            request.prepare_auth(self._sign)
            with self._adapter.send(request, timeout=self._timeout, **self._environment) as response:
                is_whole = _read(response, received)
        except (OSError, HTTPError) as error:  # those of requests are OSErrors
            code, message = self._lost(exchange, error, len(received))
            # Without its cause, which quotes what the peer sent, and which --verbose would show.
            raise failure(code, message, body=bytes(received)) from None
        body = bytes(received)
        if response.status_code != 200:
            message = f"HTTP status {response.status_code} from {self._host}"
            raise failure("Client.HTTPStatus", message, body=body)
        if not is_whole:
            raise failure("Client.BodyTooLarge", f"more than {settings.MAX_BODY_BYTES} bytes", body=body)
        try:
            answer = parse_answer(feed, body)
        except NotAnAnswerError as error:
            code = "Client.NoResponse" if "no Response" in str(error) else "Client.NotJSON"
            raise failure(code, str(error), body=body) from None
        if answer.error is not None:
            refused = failure(*answer.error, request_id=answer.request_id, body=body)
            if refused.code == "AuthFailure.TokenFailure":
                self._credentials.refresh(request.headers.get("X-TC-Token"))
            raise refused
        return RawAnswer(answer, body)

    def _failure(
        self,
        feed: Feed,
        action: str,
        sms_sdk_app_id: str,
        code: str,
        message: str,
        *,
        request_id: str | None = None,
        body: bytes = b"",
    ) -> PullError:
        failure = error_for(code, message, request_id, action=action)
        failure.feed = feed.name
        failure.sms_sdk_app_id = sms_sdk_app_id
        failure.is_look_up = action == feed.look_up_action
        failure.body = body
        return failure

    def _lost(self, exchange: Exchange, error: Exception, received: int) -> tuple[str, str]:
        """Return code and message of a failure beneath HTTP; how far the request came decides them."""
        causes = list(_causes(error))
        # The system's own words, or OpenSSL's; never an exception's text, which may quote what a peer sent.
        reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
        reason = f" ({reasons[0]})" if reasons else ""
        is_late = any(isinstance(cause, TimeoutError) for cause in causes)
        if exchange.stage is Stage.SENT:
            if is_late:
                return "Client.ReadTimeout", f"no whole answer within {self._timeout:g} s"
            if received:
                return "Client.TruncatedBody", f"the answer ended after {received} bytes{reason}"
            return "Client.ConnectionReset", f"the connection to {self._host} broke{reason}"
        if exchange.stage is Stage.CONNECTING and is_late:
            return "Client.ConnectTimeout", f"no connection to {self._host} in time"
        if exchange.stage is Stage.PREPARING:
            is_proxy = isinstance(error, (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL))
            return "Client.Proxy" if is_proxy else "Client.TLS", str(error)
        code, message = _UNSENT[exchange.stage]
        return code, message.format(host=self._host) + reason


def _read(response: requests.Response, received: bytearray) -> bool:
    """Append the body to `received`, piece by piece as it arrives; what came is there even if it breaks off.

    False if there is more than an answer can have: then the rest is left unread. A compressed body is
    unpacked piece by piece, too, so that a small one can't fill the memory.
    """
    while chunk := response.raw.read1(64 << 10, decode_content=True):
        received += chunk
        if len(received) > settings.MAX_BODY_BYTES:
            del received[settings.MAX_BODY_BYTES :]
            return False
    return True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it wraps: `requests` keeps urllib3's errors as arguments and reasons."""
    pending: list[BaseException] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        pending.extend(cause for cause in wrapped if isinstance(cause, BaseException))
