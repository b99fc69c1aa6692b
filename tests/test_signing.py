"""TC3-HMAC-SHA256: the published vector, the SDK as an oracle, and what ends up on the wire."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from tencentcloud.common.sign import Sign

from sms_source.api.signing import TC3Auth, canonical_request, sign

SECRET_ID = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
SECRET_KEY = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"


def signed(
    body: bytes | str | None = b"{}",
    url: str = "https://sms.tencentcloudapi.com",
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> requests.PreparedRequest:
    """Return a request as `requests` would send it, signed at a fixed time."""
    auth = TC3Auth(lambda: (SECRET_ID, SECRET_KEY, token), clock=lambda: 1620734188.9)
    headers = {"Content-Type": "application/json"} | (headers or {})
    return requests.Request("POST", url, data=body, headers=headers, auth=auth).prepare()


def signature(request: requests.PreparedRequest) -> str:
    """Return the hexadecimal end of the Authorization header."""
    return request.headers["Authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("service", "timestamp", "content_type", "body", "expected"),
    [
        (
            "cvm",
            1551113065,
            "application/json; charset=utf-8",
            rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}',
            "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        ),
        (
            "sms",
            1620734188,
            "application/json",
            b'{"SmsSdkAppId": "1400006874", "Limit": 2}',
            "23dd5d714b8e3bd699f9b556674746f71744c2cdb7ccc57a0d6521d11b0409d1",
        ),
    ],
)
def test_known_vectors(service: str, timestamp: int, content_type: str, body: bytes, expected: str) -> None:
    """The signatures of Tencent Cloud's published example and of a pull come out as they should."""
    host = f"{service}.tencentcloudapi.com"
    canonical = canonical_request(host, content_type, body)
    assert sign(canonical, secret_key=SECRET_KEY, timestamp=timestamp, service=service) == expected

    auth = TC3Auth(lambda: (SECRET_ID, SECRET_KEY, None), service=service, clock=lambda: timestamp)
    headers = {"Content-Type": content_type}
    request = requests.Request("POST", f"https://{host}/", data=body, headers=headers, auth=auth).prepare()
    day = datetime.fromtimestamp(timestamp, tz=timezone.utc).date()
    assert request.headers["Authorization"] == (
        f"TC3-HMAC-SHA256 Credential={SECRET_ID}/{day}/{service}/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={expected}"
    )


keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(
    body=st.binary(max_size=300),
    timestamp=st.integers(0, 4102444799),
    secret_key=keys,
    host=hosts,
    port=st.none() | st.integers(1, 65535),
)
def test_agrees_with_the_sdk(
    body: bytes, timestamp: int, secret_key: str, host: str, port: int | None
) -> None:
    """Whatever the body, the time, the key and the host, the SDK signs the same."""
    url = f"https://{host}" if port is None else f"https://{host}:{port}"
    auth = TC3Auth(lambda: (SECRET_ID, secret_key, None), clock=lambda: timestamp + 0.5)
    headers = {"Content-Type": "application/json"}
    prepared = requests.Request("POST", url, data=body, headers=headers, auth=auth).prepare()

    sent_host = host if port in (None, 443) else f"{host}:{port}"
    sent_body = prepared.body or b""
    assert isinstance(sent_body, bytes)
    assert sent_body == body
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{sent_host}\n\ncontent-type;host\n"
        + hashlib.sha256(sent_body).hexdigest()
    )
    day = datetime.fromtimestamp(timestamp, tz=timezone.utc).strftime("%Y-%m-%d")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{day}/sms/tc3_request\n{digest}"
    assert signature(prepared) == Sign.sign_tc3(secret_key, day, "sms", text)
    assert prepared.headers["Host"] == sent_host


def test_timestamp_is_in_whole_seconds() -> None:
    """The header carries the second that was signed."""
    assert signed().headers["X-TC-Timestamp"] == "1620734188"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://sms.tencentcloudapi.com", "sms.tencentcloudapi.com"),
        ("https://SMS.TencentCloudAPI.com:443/", "sms.tencentcloudapi.com"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost:80", "localhost"),
        ("http://localhost:443", "localhost:443"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_host_has_its_port_unless_it_is_the_schemes_own(url: str, host: str) -> None:
    """The host that is signed is the host that is sent."""
    assert signed(url=url).headers["Host"] == host


def test_text_is_signed_as_the_utf8_that_is_sent() -> None:
    """A body of text is sent as the bytes that were signed."""
    text = '{"SignName": "腾讯云"}'
    request = signed(text)
    assert request.body == text.encode()
    assert request.headers["Content-Length"] == str(len(text.encode()))
    assert signature(request) == signature(signed(text.encode()))


def test_request_without_body_is_signed() -> None:
    """No body is signed as an empty one."""
    assert signature(signed(None)) == signature(signed(b""))


def test_token_goes_along_with_temporary_keys() -> None:
    """Temporary credentials send their token."""
    assert signed(token="t-1").headers["X-TC-Token"] == "t-1"


def test_stale_token_is_removed() -> None:
    """Lasting keys never go out with the token of earlier temporary ones."""
    assert "X-TC-Token" not in signed(headers={"X-TC-Token": "old"}).headers


def test_each_request_takes_the_keys_of_its_moment() -> None:
    """Credentials that rotate between two requests sign each with their own."""
    rotation = iter([("id-1", "key-1", "token-1"), ("id-2", "key-2", None)])
    auth = TC3Auth(lambda: next(rotation), clock=lambda: 0)
    headers = {"Content-Type": "application/json"}
    template = requests.Request("POST", "https://localhost", data=b"{}", headers=headers, auth=auth)
    first, second = template.prepare(), template.prepare()
    assert "Credential=id-1/" in first.headers["Authorization"]
    assert first.headers["X-TC-Token"] == "token-1"
    assert "Credential=id-2/" in second.headers["Authorization"]
    assert "X-TC-Token" not in second.headers


def test_signature_changes_with_the_utc_day() -> None:
    """The scope is the UTC day, whatever the machine's time zone."""
    canonical = canonical_request("localhost", "application/json", b"")
    last, first = (sign(canonical, secret_key="k", timestamp=86400 - i, service="sms") for i in (1, 0))
    assert last != first


def test_request_without_content_type_is_refused() -> None:
    """What can't be signed is an error here, not a refusal by the server."""
    auth = TC3Auth(lambda: (SECRET_ID, SECRET_KEY, None))
    with pytest.raises(ValueError, match="Content-Type"):
        requests.Request("POST", "https://localhost", data=b"{}", auth=auth).prepare()


def chunks() -> Iterator[bytes]:
    """Yield a body that is only known as it is sent."""
    yield b"{}"


@pytest.mark.parametrize("body", [io.BytesIO(b"{}"), chunks()])
def test_stream_is_refused(body: object) -> None:
    """A stream can't be hashed before it is sent, so it is refused."""
    with pytest.raises(TypeError, match="can't be signed"):
        signed(body)  # type: ignore[arg-type]
