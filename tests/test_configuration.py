"""The options: each is checked before anything is pulled, and the error says what to correct."""

from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration import resolve_configuration

from sms_source import sms_source
from sms_source.cli.explain import explain
from sms_source.configuration import BOUNDS, SECTIONS, SmsSourceConfiguration
from sms_source.errors import ConfigurationError
from tests.conftest import APP
from tests.helpers.jobs import start_job

GIVEN = {"credentials": {"secret_id": "AKIDexample", "secret_key": "example"}, "sms_sdk_app_ids": APP}


def resolve(**options: Any) -> SmsSourceConfiguration:
    """Return the configuration with these options, as they are given in code."""
    return resolve_configuration(
        SmsSourceConfiguration(), sections=SECTIONS, explicit_value={**GIVEN, **options}
    )


def message_of(**options: Any) -> str:
    """Return what a person is told of options that can't be right."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - dlt's or ours: what is told of it counts
        resolve(**options)
    message, status = explain(caught.value)
    assert status == 2
    return message


def test_every_option_that_is_a_number_has_bounds() -> None:
    """One that is added later can't be forgotten."""
    fields = SmsSourceConfiguration.get_resolvable_fields()
    assert {name for name, hint in fields.items() if hint in (int, float)} == set(BOUNDS)


@pytest.mark.parametrize("option", BOUNDS)
@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), float("nan"), 1e12, 10**20, -1, -0.5, "many", "", True, [1], {}, b"1"],
)
def test_a_number_that_is_none_or_out_of_bounds_is_refused_in_code(option: str, value: Any) -> None:
    """Option, value and what is expected; at first use it would be an OverflowError, and replies lost."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(**{option: value})
    assert str(caught.value).startswith(f"{option} is {value!r}; expected {BOUNDS[option]}. Set it in [sou")


@pytest.mark.parametrize("option", BOUNDS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e12", "-1", "many", "", "true", "[1]", "9" * 40])
def test_a_number_that_is_none_or_out_of_bounds_is_refused_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    """A whole number's text is made a number by dlt, whose own error names no value and no bounds."""
    monkeypatch.setenv(f"SOURCES__SMS_SOURCE__{option.upper()}", value)
    message = message_of()
    assert message.startswith(f"{option} is ")
    assert f"; expected {BOUNDS[option]}. Set it in [sources.sms_source]." in message


@pytest.mark.parametrize("option", BOUNDS)
def test_the_bounds_themselves_are_allowed(option: str) -> None:
    """Both ends, and the default between them."""
    kind, minimum, maximum, _ = BOUNDS[option]
    for value in (minimum, maximum):
        assert getattr(resolve(**{option: kind(value)}), option) == value
    assert BOUNDS[option].hold(getattr(resolve(), option))


def test_a_whole_number_has_no_fraction() -> None:
    """`Limit` goes to the API as it is."""
    assert "pull_limit is 5.5; expected a whole number from 1 to 100" in message_of(pull_limit=5.5)
    assert "pull_limit is 5.0" in message_of(pull_limit=5.0)
    assert resolve(pull_timeout=5).pull_timeout == 5


def test_the_source_refuses_as_the_job_does() -> None:
    """Whoever uses the source in a pipeline of their own is told the same."""
    with pytest.raises(
        ConfigurationError, match=r"^pull_timeout is inf; expected a number from 0\.1 to 3600 sec"
    ):
        sms_source(**GIVEN, pull_timeout=float("inf"))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["replies", ["replies"], ("replies", "replies"), '["replies"]', None])
def test_feeds_are_a_list_or_one(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """As `sms_sdk_app_ids` are; replies alone unless others are asked for."""
    assert resolve(**({} if given is None else {"pull_feeds": given})).pull_feeds == ["replies"]
    if isinstance(given, str):
        monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", given)
        assert resolve().pull_feeds == ["replies"]


@pytest.mark.parametrize(
    "given", ["reply", ["replies", "nothing"], '["replies"', "[" * 5_000, '{"a": 1}', 5, [None], "[1]", ""]
)
def test_a_feed_that_does_not_exist_is_refused(given: Any) -> None:
    """Before the first pull, naming those that there are."""
    message = message_of(pull_feeds=given)
    assert message.startswith("pull_feeds is ")
    assert "expected a list of 'replies'" in message
    assert len(message) < 400


@pytest.mark.parametrize("given", [[], "[]", ()])
def test_no_feed_at_all_is_refused(given: Any) -> None:
    """Nobody wants a job that does nothing."""
    assert "without any, nothing would be drained" in message_of(pull_feeds=given)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://user:a-password@sms.tencentcloudapi.com",
        "https://[::1",
        "https://sms.tencentcloudapi.com:99999",
        "https://sms.tencentcloudapi.com:x",
        "https://sms.tencent\ncloudapi.com",
        "https://sms.tencentcloudapi.com/x",
        "https://sms.tencentcloudapi.com?x",
        "https://",
        "ftp://sms.tencentcloudapi.com",
    ],
)
def test_an_endpoint_is_a_scheme_and_a_host(endpoint: str) -> None:
    """Anything else is refused, and a password in it is not repeated."""
    message = message_of(api_endpoint=endpoint)
    assert message.startswith("api_endpoint is ")
    assert "a-password" not in message
    assert message.isprintable()


def test_a_key_in_the_wrong_place_is_not_repeated() -> None:
    """People paste into the line above."""
    key = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    for options in ({"api_region": key}, {"sms_sdk_app_ids": [f"{key}!"]}, {"pull_feeds": key}):
        message = message_of(**options)
        assert key not in message
        assert "***" in message


@pytest.mark.parametrize("field", ["secret_id", "secret_key", "token"])
def test_a_placeholder_that_nobody_replaced_is_told_as_one(field: str) -> None:
    """Of example.secrets.toml, as it is copied."""
    keys = {**GIVEN["credentials"], field: "<SecretId, 36 characters that begin with AKID>"}  # type: ignore[dict-item]
    message = message_of(credentials=keys)
    assert message.startswith(f"{field} in ")
    assert "placeholder" in message
    assert "update" not in message


@pytest.mark.parametrize("value", ["two words", "退订", "a\nb", "“quoted”"])
def test_what_can_be_no_key_is_refused_without_repeating_it(value: str) -> None:
    """Sent, it would be an error of the HTTP library, after which nobody knows what was sent."""
    message = message_of(credentials={"secret_id": "AKIDexample", "secret_key": value})
    assert message.startswith("secret_key in ")
    assert value not in message


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "text", "line", "reason"),
    [
        (
            "config.toml",
            "[sources.sms_source]\nx = [\n  1,\n]\n\n[sources.sms_source]\npull_limit = 5\n[runtime]\n",
            6,
            "already exists",
        ),
        ("config.toml", '[sources.sms_source]\nsms_sdk_app_ids = [1400\napi_region = "x"\n', 3, "character"),
        ("secrets.toml", "[sources.sms_source.credentials]\nsecret_key = 5x9\n", 2, ""),
    ],
)
@pytest.mark.parametrize("arguments", [["--check"], ["--demo"]])
def test_a_file_that_is_no_toml_is_named_with_its_line_and_the_reason(
    own_folders: Path, file: str, text: str, line: int, reason: str, arguments: list[str]
) -> None:
    """A block that is pasted below one that is there makes the file unreadable."""
    path = own_folders / ".dlt" / file
    path.parent.mkdir()
    path.write_text(text)
    process = start_job(*arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith(f"ERROR: {path}, line {line}, is not TOML: ")
    assert reason in err
    assert err.count("\n") == 1
