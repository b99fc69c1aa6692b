"""The error catalogue: every code has a kind and a remedy, and no error shows what is private."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_source.api.catalogue import CATALOGUE, error_for, meaning_of
from sms_source.cleaning import clean, clean_request_id, redact
from sms_source.errors import (
    ConfigurationError,
    InDoubtError,
    JournalError,
    JournalLockedError,
    NotExecutedError,
    PullError,
    RefusedError,
    SmsSourceError,
    decisive,
    is_configuration,
)
from sms_source.feeds import FEEDS

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
    "UnauthorizedOperation.SerivceSuspendDueToArrears",
    "UnauthorizedOperation.ServiceSuspendDueToArrears",
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail",
    "UnsupportedOperation",
]

LOOK_UP_CODES = [
    "InvalidParameterValue.BeginTimeVerifyFail",
    "InvalidParameterValue.EndTimeVerifyFail",
    "InvalidParameterValue.InvalidStartTime",
    "MissingParameter",
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
    "Client.BodyTooLarge": InDoubtError,
    "Client.ConnectionReset": InDoubtError,
    "Client.HTTPStatus": InDoubtError,
    "Client.Interrupted": InDoubtError,
    "Client.NoResponse": InDoubtError,
    "Client.NotJSON": InDoubtError,
    "Client.ReadTimeout": InDoubtError,
    "Client.TruncatedBody": InDoubtError,
}


# Refused, and no later run can be luckier: somebody has to change the configuration or the account.
CONFIGURATION_FAMILIES = {"AuthFailure", "UnauthorizedOperation", "UnsupportedOperation"}
CONFIGURATION_CODES = {
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidParameterValue.SdkAppIdNotExist",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "LimitExceeded",
    "NoSuchProduct",
    "NoSuchVersion",
    "ResourceNotFound",
    "ResponseSizeLimitExceeded",
    "UnsupportedProtocol",
    "UnsupportedRegion",
}


def documented_kind(code: str) -> type[PullError]:
    """Return the rule in words: what is neither known as not executed nor in doubt is refused."""
    family = code.partition(".")[0]
    if family == "RequestLimitExceeded" or code in {
        "AuthFailure.SignatureExpire",
        "AuthFailure.TokenFailure",
    }:
        return NotExecutedError
    if family in {"InternalError", "ServiceUnavailable", "ResourceUnavailable"}:
        return InDoubtError
    return RefusedError


@pytest.mark.parametrize("code", sorted({*PAGE_CODES, *LOOK_UP_CODES, *COMMON_CODES}))
def test_documented_code_has_an_entry_of_its_kind_and_a_remedy(code: str) -> None:
    """Every code that Tencent Cloud documents is in the catalogue, with the right kind and a remedy."""
    kind, remedy, is_configuration = CATALOGUE[code]
    assert kind is documented_kind(code)
    assert remedy.endswith(".")
    needs_a_person = code in CONFIGURATION_CODES or code.partition(".")[0] in CONFIGURATION_FAMILIES
    assert is_configuration is (kind is RefusedError and needs_a_person)


@pytest.mark.parametrize(("code", "kind"), CLIENT_KINDS.items())
def test_failure_on_the_way_says_whether_the_request_can_have_arrived(
    code: str, kind: type[PullError]
) -> None:
    """A failure before the request went out is not executed, any later one is in doubt."""
    assert CATALOGUE[code].kind is kind
    assert CATALOGUE[code].remedy


def test_catalogue_holds_nothing_but_the_codes_tested_here() -> None:
    """A code can't enter the catalogue without a decision about its kind in these tests."""
    assert set(CATALOGUE) == {
        *PAGE_CODES,
        *LOOK_UP_CODES,
        *COMMON_CODES,
        *CLIENT_KINDS,
        "AuthFailure",
        "Client",
    }


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
    assert meaning_of(code) == meaning_of(code.partition(".")[0])
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


def test_a_remedy_names_the_action_that_was_asked() -> None:
    """Somebody who opens a permission by an error's text must open the right one."""
    for feed in FEEDS.values():
        for action in (feed.action, feed.look_up_action):
            for code in ("AuthFailure.UnauthorizedOperation", "ActionOffline", "InvalidAction"):
                assert action in error_for(code, "", action=action).remedy
    assert not [code for code in CATALOGUE if "{" in error_for(code, "").remedy]


def test_error_says_whose_pull_it_was() -> None:
    """Among several applications and feeds, somebody has to know which one to look at."""
    error = error_for("UnauthorizedOperation.SdkAppIdIsDisabled", "no", "r-1")
    error.feed, error.sms_sdk_app_id = "replies", "1400006666"
    assert str(error).startswith("The pull of replies from application 1400006666 was refused, and nothing")
    error.is_look_up = True
    assert str(error).startswith("The look-up of replies from application 1400006666 was refused (Un")
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(twin), twin.is_configuration) == (str(error), True)


@pytest.mark.parametrize(
    ("codes", "decisive_code"),
    [
        (["AuthFailure", "UnsupportedRegion"], "AuthFailure"),
        (["AuthFailure", "Client.ReadTimeout", "UnsupportedRegion"], "Client.ReadTimeout"),
        (["RequestLimitExceeded", "AuthFailure"], "RequestLimitExceeded"),
        (["AuthFailure", "Unknown"], "Unknown"),
    ],
)
def test_a_run_that_a_later_one_may_outdo_is_no_configuration_error(
    codes: list[str], decisive_code: str
) -> None:
    """Only when nothing but a change can help may a scheduler give up."""
    chosen = decisive([error_for(code, "") for code in codes])
    assert isinstance(chosen, PullError)
    assert chosen.code == decisive_code
    assert is_configuration(chosen) is all(CATALOGUE.get(c, meaning_of(c)).is_configuration for c in codes)
    assert is_configuration(ConfigurationError())
    assert not is_configuration(JournalError())


def test_what_an_object_store_says_of_the_journal_is_cleaned_too() -> None:
    """It is a peer as any other; a path stays as it is, or nobody would find it."""
    error = JournalLockedError(
        "/data/1400006666\x1b[2J\r\nERROR: forged AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE"
    )
    assert str(error) == "/data/1400006666 [2J ERROR: forged ***"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


HOSTILE = "\x1b[2J\x1b]0;owned\x07 ok\r\nERROR: forged\u202e txt \u2066\x00\ud800\u2028end"


def test_nothing_that_a_peer_says_drives_a_terminal_or_forges_a_line() -> None:
    """Escapes, new lines, direction overrides: gone from all that an error is made of."""
    error = error_for(HOSTILE, HOSTILE, HOSTILE)
    for text in (error.code, error.message, error.request_id, str(error)):
        assert text is not None
        assert text.isprintable()
        assert "ERROR: forged" in text  # in the middle of a line, where it forges nothing
    assert all(isinstance(arg, bool) or arg.isprintable() for arg in error.args)


WIDE_DIGITS = "".join(chr(0xFF10 + int(digit)) for digit in "15291990000")


@pytest.mark.parametrize("number", ["+8615291990000", "+86 152 9199 0000", "152-9199-0000", WIDE_DIGITS])
def test_a_number_in_groups_or_in_wide_digits_is_a_number(number: str) -> None:
    """People write their numbers in more than one way."""
    shown = str(error_for("FailedOperation", f"to {number}!", number))
    assert number not in shown
    assert "9199" not in shown


@pytest.mark.parametrize(
    ("as_it_came", "stored"),
    [
        ("a0aabda6-cf91-4f3e-a81f-919812345678", "a0aabda6-cf91-4f3e-a81f-919812345678"),
        ("请求 7 " + "x" * 123, "请求 7 " + "x" * 123),
        ("x" * 129, "x" * 127 + "…"),
        ("a\x1b[31m\r\nb", "a [31m b"),
        ("\x00\ud800", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_a_request_id_is_stored_as_it_came_unless_it_can_not_be_printed(
    as_it_came: object, stored: str | None
) -> None:
    """Tencent Cloud's support asks for it, so that nothing of a proper one may be masked."""
    assert clean_request_id(as_it_came) == stored


@given(st.text(), st.integers(1, 200))
def test_cleaning_gives_one_short_printable_line_and_is_done_once(text: str, longest: int) -> None:
    """Whoever cleans what was cleaned before changes nothing."""
    line = clean(text, longest)
    assert len(line) <= longest
    assert line.isprintable()
    assert clean(line, longest) == line


@pytest.mark.parametrize("folder", ["customer_replies_2026_production", "a" * 60 + "2026"])
def test_the_name_of_a_folder_is_told_as_it_is(folder: str) -> None:
    """It looks like a key, and without it nobody would find the journal."""
    assert folder in str(JournalError(f"No room in the journal /data/{folder}/sms_journal."))
