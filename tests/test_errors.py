"""The error catalogue: every code has a kind and a remedy, and no error shows what is private."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source import errors
from sms_source.errors import (
    CATALOGUE,
    ConfigurationError,
    InDoubtError,
    JournalError,
    JournalLockedError,
    NotExecutedError,
    PullError,
    RefusedError,
    SmsSourceError,
    error_for,
    look_up,
    redact,
)

PAGE_CODES = [
    "FailedOperation.FailResolvePacket",
    "FailedOperation.JsonParseFail",
    "FailedOperation.PhoneNumberInBlacklist",
    "InternalError.OtherError",
    "InternalError.RequestTimeException",
    "InternalError.RestApiInterfaceNotExist",
    "InternalError.SendAndRecvFail",
    "InternalError.SigFieldMissing",
    "InternalError.SigVerificationFail",
    "InternalError.Timeout",
    "InternalError.UnknownError",
    "InvalidParameter",
    "InvalidParameterValue.IncorrectPhoneNumber",
    "InvalidParameterValue.SdkAppIdNotExist",
    "MissingParameter",
    "UnauthorizedOperation.RequestIpNotInWhitelist",
    "UnauthorizedOperation.RequestPermissionDeny",
    "UnauthorizedOperation.SdkAppIdIsDisabled",
    "UnauthorizedOperation.ServiceSuspendDueToArrears",
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail",
    "UnsupportedOperation",
]

COMMON_CODES = [
    "ActionOffline",
    "AuthFailure.InvalidAuthorization",
    "AuthFailure.InvalidSecretId",
    "AuthFailure.MFAFailure",
    "AuthFailure.SecretIdNotFound",
    "AuthFailure.SignatureExpire",
    "AuthFailure.SignatureFailure",
    "AuthFailure.TokenFailure",
    "AuthFailure.UnauthorizedOperation",
    "DryRunOperation",
    "FailedOperation",
    "InternalError",
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidRequest",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "LimitExceeded",
    "MissingParameter",
    "NoSuchProduct",
    "NoSuchVersion",
    "RequestLimitExceeded",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
    "RequestLimitExceeded.IPLimitExceeded",
    "RequestLimitExceeded.UinLimitExceeded",
    "RequestSizeLimitExceeded",
    "ResourceInUse",
    "ResourceInsufficient",
    "ResourceNotFound",
    "ResourceUnavailable",
    "ResponseSizeLimitExceeded",
    "ServiceUnavailable",
    "UnauthorizedOperation",
    "UnknownParameter",
    "UnsupportedOperation",
    "UnsupportedProtocol",
    "UnsupportedRegion",
]

CLIENT_KINDS = {
    "Client.ConnectionRefused": NotExecutedError,
    "Client.ConnectTimeout": NotExecutedError,
    "Client.NameResolution": NotExecutedError,
    "Client.Proxy": NotExecutedError,
    "Client.TLS": NotExecutedError,
    "Client.ConnectionReset": InDoubtError,
    "Client.HTTPStatus": InDoubtError,
    "Client.Interrupted": InDoubtError,
    "Client.NoResponse": InDoubtError,
    "Client.NotJSON": InDoubtError,
    "Client.ReadTimeout": InDoubtError,
    "Client.TruncatedBody": InDoubtError,
}


def documented_kind(code: str) -> type[PullError]:
    """The rule in words: what is neither known as not executed nor in doubt is refused."""
    family = code.partition(".")[0]
    if family == "RequestLimitExceeded" or code in {
        "AuthFailure.SignatureExpire",
        "AuthFailure.TokenFailure",
    }:
        return NotExecutedError
    if family in {"InternalError", "ServiceUnavailable", "ResourceUnavailable"}:
        return InDoubtError
    return RefusedError


@pytest.mark.parametrize("code", sorted({*PAGE_CODES, *COMMON_CODES}))
def test_documented_code_has_an_entry_of_its_kind_and_a_remedy(code: str) -> None:
    """Every code that Tencent Cloud documents is in the catalogue, with the right kind and a remedy."""
    kind, remedy = CATALOGUE[code]
    assert kind is documented_kind(code)
    assert remedy.endswith(".")


@pytest.mark.parametrize(("code", "kind"), CLIENT_KINDS.items())
def test_failure_on_the_way_says_whether_the_request_can_have_arrived(
    code: str, kind: type[PullError]
) -> None:
    """A failure before the request went out is not executed, any later one is in doubt."""
    assert CATALOGUE[code].kind is kind
    assert CATALOGUE[code].remedy


def test_catalogue_holds_nothing_but_the_codes_tested_here() -> None:
    """A code can't enter the catalogue without a decision about its kind in these tests."""
    assert set(CATALOGUE) == {*PAGE_CODES, *COMMON_CODES, *CLIENT_KINDS, "AuthFailure", "Client"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestLimitExceeded.Tomorrow", NotExecutedError),
        ("InternalError.Tomorrow", InDoubtError),
        ("InternalError.Tomorrow.Deeper", InDoubtError),
        ("ServiceUnavailable.Tomorrow", InDoubtError),
        ("ResourceUnavailable.Tomorrow", InDoubtError),
        ("AuthFailure.Tomorrow", RefusedError),
        ("Client.Tomorrow", InDoubtError),
        ("UnsupportedOperation.", RefusedError),
    ],
)
def test_unknown_code_of_a_known_family_is_treated_like_its_family(code: str, kind: type[PullError]) -> None:
    """A code that Tencent Cloud adds tomorrow inherits kind and remedy from the part before the dot."""
    assert look_up(code) == look_up(code.partition(".")[0])
    assert type(error_for(code, "", "r-1")) is kind


@pytest.mark.parametrize("code", ["Tomorrow", "Tomorrow.New", "", ".", "requestlimitexceeded"])
def test_unknown_code_is_refused_and_leads_to_support(code: str) -> None:
    """A code of no known family is refused, and its remedy names the RequestId and Tencent's support."""
    error = error_for(code, "what is this", "r-1")
    assert type(error) is RefusedError
    assert "RequestId" in error.remedy
    assert "support" in error.remedy


def test_error_says_what_happened_the_code_the_request_id_and_what_to_do() -> None:
    """The text of an error is enough to act on."""
    error = error_for("AuthFailure.SignatureExpire", "Signature expired.", "a0aabda6-cf91")
    assert str(error) == (
        "The pull was not executed, and nothing left the queue "
        "(AuthFailure.SignatureExpire: Signature expired.; RequestId a0aabda6-cf91). "
        "This machine's clock is too far from Tencent Cloud's: synchronise it with NTP "
        "(`timedatectl` shows its state)."
    )


def test_error_without_answer_says_that_there_is_no_request_id() -> None:
    """A pull that was never answered has no RequestId, and says so."""
    error = error_for("Client.ReadTimeout", "")
    assert error.request_id is None
    assert "(Client.ReadTimeout; RequestId none)" in str(error)


@given(st.integers(min_value=0, max_value=10**20), st.text(max_size=20), st.text(max_size=20))
def test_phone_numbers_never_show(number: int, before: str, after: str) -> None:
    """Wherever a server puts a phone number in its message, no error shows it."""
    phone = f"{number:07d}"
    shown = str(error_for("FailedOperation.PhoneNumberInBlacklist", f"{before}+{phone} {after}", "r-1"))
    assert phone not in shown


@given(st.from_regex(r"[a-zA-Z]{12,16}[0-9][a-zA-Z0-9]{19,23}", fullmatch=True))
def test_keys_never_show(key: str) -> None:
    """A secret id or key that a server echoes is masked in the message and in its code."""
    error = error_for(f"Odd.{key}", f"the secret id {key} is not found", "r-1")
    assert key not in str(error) + repr(error) + error.message


def test_redaction_keeps_words_codes_and_request_ids() -> None:
    """Masking leaves what a reader needs: words, error codes, short numbers and RequestIds."""
    text = "RequestLimitExceeded.GlobalRegionUinLimitExceeded at 100/s, a0aabda6-cf91-4f3e-a81f-9198af4aa279"
    assert redact(text) == text


@given(st.text())
def test_redaction_gives_one_short_printable_line(text: str) -> None:
    """No server can write control characters, new lines or pages of text into a log."""
    line = redact(text)
    assert len(line) <= 500
    assert line.isprintable()


def test_pull_error_survives_pickling() -> None:
    """An error can cross from a worker process to its parent."""
    error = error_for("InternalError.Timeout", "slow", "r-1")
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(twin), str(twin)) == (type(error), str(error))


def test_everything_is_caught_by_the_base_class() -> None:
    """One except clause catches all that this package raises on purpose."""
    for kind in (ConfigurationError, JournalError, PullError):
        assert issubclass(kind, SmsSourceError)
    assert issubclass(JournalLockedError, JournalError)
    for kind in (NotExecutedError, InDoubtError, RefusedError):
        assert issubclass(kind, PullError)


def test_module_needs_only_the_standard_library() -> None:
    """The catalogue can be read where nothing is installed."""
    script = f"import runpy; runpy.run_path({errors.__file__!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)
