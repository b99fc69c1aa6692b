"""One pull is one signed POST: it returns the answer, or raises one of three kinds of error.

Nothing here, nor beneath, sends a request a second time: the queue hands a reply out once, so a
repetition fetches the next replies and throws the first ones away. A plain `requests.Session` retries
nothing (urllib3 gets `Retry(0, read=False)`), its adapters follow no redirect, and every request is signed
by itself. (dlt's `requests` helper repeats any method up to five times, the official SDK's
retryer sends a failed request twice more: measured.)
"""

import json
import ssl
import time
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from sms_source import settings
from sms_source.api.answers import Answer, NotAnAnswerError, parse_answer
from sms_source.api.signing import TC3Auth
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import PullError, error_for
from sms_source.feeds import Feed

CHECK_PHONE_NUMBER = "+8610000000000"
"""Asked about by `SmsClient.check`: the form of a Chinese number, in a range that no operator has."""


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
        self._environment: Mapping[str, Any] = self._session.merge_environment_settings(
            url, proxies={}, stream=True, verify=None, cert=None
        )

    @classmethod
    def of(cls, options: SmsSourceConfiguration) -> "SmsClient":
        """A client with these options."""
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
        """Closes the connection."""
        self._session.close()

    def pull(self, feed: Feed, sms_sdk_app_id: str, limit: int) -> RawAnswer:
        """Takes up to `limit` replies (1 to 100) out of the application's queue, for good.

        Raises:
            NotExecutedError: nothing was taken; pulling again is safe.
            InDoubtError: up to `limit` replies may have been taken and lost; its `body` is what came.
            RefusedError: nothing was taken, and pulling again won't help.
        """
        return self._post(feed.action, {"SmsSdkAppId": sms_sdk_app_id, "Limit": limit})

    def check(self, feed: Feed, sms_sdk_app_id: str) -> None:
        """Proves network, signature, permission and application id without taking a reply.

        Asks PullSmsReplyStatusByPhoneNumber for one second of a number that nobody has. That action is a
        look-up in all that is known of it; were it a queue as well, this question still takes nothing.

        Raises:
            PullError: as `pull`; nothing is ever in danger.
        """
        now = int(time.time())
        try:
            self._post(
                feed.look_up_action,
                {
                    "SmsSdkAppId": sms_sdk_app_id,
                    "PhoneNumber": CHECK_PHONE_NUMBER,
                    "BeginTime": now - 1,
                    "EndTime": now,
                    "Offset": 0,
                    "Limit": 1,
                },
            )
        except PullError as error:
            # The number is looked at after the signature, the permission and the application id.
            if error.code != "InvalidParameterValue.IncorrectPhoneNumber":
                raise

    def _post(self, action: str, parameters: Mapping[str, Any]) -> RawAnswer:
        deadline = time.monotonic() + self._timeout
        connect_timeout = min(self._timeout, settings.CONNECT_TIMEOUT)
        try:
            request = self._blank.copy()
            request.headers["X-TC-Action"] = action
            request.prepare_body(json.dumps(parameters).encode(), None)
            request.prepare_auth(self._sign)
            response = self._adapter.send(
                request, timeout=(connect_timeout, self._timeout), **self._environment
            )
        except requests.RequestException as error:
            raise self._transport_error(error) from error
        with response:
            body = self._read(response, deadline)
        if response.status_code != 200:
            raise _doubt("Client.HTTPStatus", f"HTTP status {response.status_code} from {self._host}", body)
        try:
            answer = parse_answer(body)
        except NotAnAnswerError as error:
            code = "Client.NoResponse" if "no Response" in str(error) else "Client.NotJSON"
            raise _doubt(code, str(error), body) from None
        if answer.error is not None:
            failure = error_for(*answer.error, request_id=answer.request_id)
            failure.body = body
            if failure.code == "AuthFailure.TokenFailure":
                self._credentials.refresh(response.request.headers.get("X-TC-Token"))
            raise failure
        return RawAnswer(answer, body)

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """The whole body, within the deadline: the timeout of a socket restarts with every byte.

        Reads what has arrived, piece by piece, so that an answer that breaks off leaves what came of it.
        """
        body = bytearray()
        try:
            while chunk := response.raw.read1(64 << 10, decode_content=True):
                body += chunk
                if time.monotonic() > deadline:
                    message = f"no whole answer within {self._timeout:g} s"
                    raise _doubt("Client.ReadTimeout", message, bytes(body))
        except (HTTPError, OSError) as error:
            failure = self._transport_error(error)
            if failure.code == "Client.ConnectionReset":
                failure = error_for("Client.TruncatedBody", f"the answer ended after {len(body)} bytes")
            failure.body = bytes(body)
            raise failure from error
        return bytes(body)

    def _transport_error(self, error: Exception) -> PullError:
        """What a failure beneath HTTP means: before the request went out, or after."""
        causes = list(_causes(error))

        def caused_by(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        if any(_in_handshake(cause) for cause in causes) or caused_by(ssl.SSLCertVerificationError):
            code, message = "Client.TLS", f"no secure connection to {self._host}"
        elif caused_by(requests.exceptions.ProxyError):
            code, message = "Client.Proxy", f"the proxy made no connection to {self._host}"
        elif caused_by(NameResolutionError):
            code, message = "Client.NameResolution", f"the name of {self._host} can't be resolved"
        elif caused_by(NewConnectionError):
            code, message = "Client.ConnectionRefused", f"no connection to {self._host}"
        elif caused_by(ConnectTimeoutError):
            code, message = "Client.ConnectTimeout", f"no connection to {self._host} in time"
        elif caused_by(ReadTimeoutError, TimeoutError):
            code, message = "Client.ReadTimeout", f"no answer within {self._timeout:g} s"
        else:
            code, message = "Client.ConnectionReset", f"the connection to {self._host} broke"
        return error_for(code, message)


def _doubt(code: str, message: str, body: bytes) -> PullError:
    failure = error_for(code, message)
    failure.body = body
    return failure


def _in_handshake(error: BaseException) -> bool:
    """Whether an error was raised while TLS was being set up, before a byte of the request went out.

    An SSL error's own text does not tell: a handshake and an answer can break off alike.
    """
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == "do_handshake" for frame, _ in frames)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps: `requests` keeps urllib3's errors as arguments and reasons."""
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
