"""From whatever ended a run, one message: what is wrong, where, what to do, and the exit status."""

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.providers.toml import ConfigTomlProvider, TomlProviderReadException
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source.api.catalogue import error_for
from sms_source.cli.explain import code_of, explain
from sms_source.configuration import SECTIONS, SmsSourceConfiguration
from sms_source.errors import ConfigurationError, JournalError, JournalLockedError

HERE = "It is here."


def failed_step(error: BaseException) -> PipelineStepFailed:
    """Return what dlt raises when its first step fails with an error."""
    pipeline = dlt.pipeline("sms_replies", destination="duckdb", dataset_name="sms")

    def rows() -> Any:
        yield {"a": 1}
        raise error

    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.extract(rows, table_name="rows")
    return caught.value


class OperationalError(Exception):
    """As each database's driver names it."""


# ------------------------------------------------------------------------------------------ the configuration


@pytest.mark.parametrize(
    ("destination", "section", "settings"),
    [
        (
            "postgres",
            "destination.postgres.credentials",
            ["DESTINATION__POSTGRES__CREDENTIALS__PASSWORD", "DESTINATION__POSTGRES__CREDENTIALS__HOST"],
        ),
        ("filesystem", "destination.filesystem", ["DESTINATION__FILESYSTEM__BUCKET_URL"]),
        (
            "bigquery",
            "destination.bigquery.credentials",
            ["DESTINATION__BIGQUERY__CREDENTIALS__PROJECT_ID"],
        ),
    ],
)
def test_a_destination_s_missing_settings_are_its_own(
    destination: str, section: str, settings: list[str]
) -> None:
    """Names that do not exist would be set, and nothing would change."""
    pipeline = dlt.pipeline(f"x_{destination}", destination=destination, dataset_name="sms")
    with pytest.raises(ConfigFieldMissingException) as caught:
        pipeline.destination_client()
    message, status = explain(caught.value)
    assert status == 2
    assert f"Set it in [{section}] of .dlt/secrets.toml" in message
    assert all(setting in message for setting in settings)
    assert "SMS_SOURCE" not in message
    assert pipeline.pipeline_name.upper() not in message


def test_missing_options_of_the_source_are_named_as_documented() -> None:
    """With the section that the documents have."""
    given = {"credentials": {"secret_id": "AKIDexample", "secret_key": "example"}, "sms_sdk_app_ids": None}
    with pytest.raises(ConfigFieldMissingException) as caught:
        resolve_configuration(SmsSourceConfiguration(), sections=SECTIONS, explicit_value=given)
    message, status = explain(caught.value)
    assert status == 2
    assert "lacks sms_sdk_app_ids. Set it in [sources.sms_source] of .dlt/config.toml" in message
    assert "as SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS;" in message


def test_a_file_that_is_no_text_is_named(own_folders: Path) -> None:
    """dlt says which files it looks for; somebody needs the one that is wrong, and why it is."""
    folder = own_folders / ".dlt"
    folder.mkdir()
    (folder / "config.toml").write_bytes(b"a = '\xff'\n")
    with pytest.raises(TomlProviderReadException) as caught:
        ConfigTomlProvider(str(folder))
    message, status = explain(caught.value)
    assert message.startswith(f"{folder / 'config.toml'} can't be read: ")
    assert status == 2


def test_packages_that_are_not_here_are_named_as_pip_takes_them() -> None:
    """Quoted, as a shell would read the brackets of an extra."""
    error = MissingDependencyException("the destination", ["dlt[postgres]", "psycopg2-binary>=2.9"])
    message = "the destination needs packages that are not here: pip install 'dlt[postgres]' 'psycopg2-binary"
    assert explain(error) == (f"{message}>=2.9'", 2)


def test_what_is_wrong_within_a_step_of_dlt_s_is_told_as_itself() -> None:
    """Whoever reads it need not know in which step it came up; a scheduler gives up for the same reason."""
    error = ConfigurationError("The destination is refused.")
    assert explain(failed_step(error)) == ("The destination is refused.", 2)
    assert code_of(failed_step(error)) == "ConfigurationError"


# ------------------------------------------------------------------------------------------------- a failure


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EDQUOT, "Quota exceeded"),
            f"A disk is full ([Errno {errno.EDQUOT}] Quota exceeded): ",
        ),
        (duckdb.IOException("IO Error: No space left on device"), "A disk is full (IO Error: No space left"),
        (
            duckdb.IOException('IO Error: Could not set lock on file "a.duckdb": held by PID 5.\nSee more'),
            'Another process holds the DuckDB file open (IO Error: Could not set lock on file "a.duckdb": ',
        ),
        (
            duckdb.IOException("Cannot open file: it is being used by another process."),
            "Another process holds the DuckDB file open",
        ),
        (
            OperationalError("server closed the connection\nunexpectedly"),
            "The destination does not answer (server closed the connection).",
        ),
        (
            DestinationConnectionError("postgres", "sms", "refused", OSError("refused")),
            "The destination does not answer (Connection with",
        ),
    ],
)
def test_what_usually_goes_wrong_has_a_sentence_of_its_own(error: Exception, told: str) -> None:
    """At any depth: by itself, or within a step of dlt's, with the same words; and where the replies are."""
    for failure in (error, failed_step(error)):
        message, status = explain(failure, whereabouts=HERE)
        assert message.startswith(told)
        assert message.endswith(HERE)
        assert "\n" not in message
        assert status == 1


def test_anything_else_is_the_innermost_error_and_the_step_that_it_ended() -> None:
    """In one line: the rest is in the traceback, and --verbose shows that."""
    error = failed_step(ZeroDivisionError("first\nsecond"))
    told = "dlt's step extract failed: ZeroDivisionError: first. --verbose shows the traceback."
    assert explain(error) == (told, 1)
    told = "The run failed: ValueError: no message. --verbose shows the traceback."
    assert explain(ValueError()) == (told, 1)


@pytest.mark.parametrize("error", [RuntimeError, OperationalError, lambda text: OSError(errno.ENOSPC, text)])
def test_no_number_and_no_key_is_told(error: Any) -> None:
    """What a library quotes may be a row, or what somebody has configured."""
    key = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    message, _ = explain(failed_step(error(f"no +8615291990000 with {key}")))
    assert "15291990000" not in message
    assert key not in message
    assert "***" in message


def test_errors_that_led_to_each_other_are_gone_through_once() -> None:
    """Libraries make circles of them; a message comes all the same."""
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert explain(first) == ("The run failed: RuntimeError: second. --verbose shows the traceback.", 1)
    assert code_of(first) == "RuntimeError"


# --------------------------------------------------------------------------- where the replies are, and codes


def test_where_what_was_pulled_is_now_is_said_by_who_knows() -> None:
    """Only after a failure at which somebody will ask."""
    assert explain(RuntimeError("x"), whereabouts=HERE)[0].endswith(
        "--verbose shows the traceback. It is here."
    )
    full = explain(OSError(28, "No space left on device"), whereabouts=HERE)
    assert full == (
        "A disk is full ([Errno 28] No space left on device): free some room, then run again. It is here.",
        1,
    )
    assert HERE not in explain(ConfigurationError("wrong"), whereabouts=HERE)[0]
    assert explain(RuntimeError("x"))[0].endswith("traceback.")


def test_a_journal_that_fails_says_where_things_are_and_a_pull_that_fails_need_not() -> None:
    """What was pulled before is loaded then; a journal that can't be written leaves the question open."""
    assert explain(JournalError("The disk is full."), whereabouts=HERE) == (f"The disk is full. {HERE}", 1)
    for code, status in (("Client.ReadTimeout", 1), ("AuthFailure.SignatureFailure", 2)):
        error = error_for(code, "x", "r")
        assert explain(error, whereabouts=HERE) == (str(error), status)
    stopped = "Stopped by a signal before the queues were empty."
    assert explain(InterruptedError(stopped), whereabouts=HERE) == (stopped, 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (error_for("RequestLimitExceeded.UinLimitExceeded", ""), "RequestLimitExceeded.UinLimitExceeded"),
        (JournalLockedError("x"), "JournalLockedError"),
        (ZeroDivisionError("x"), "ZeroDivisionError"),
    ],
)
def test_a_program_tells_errors_apart_by_their_code(error: Exception, code: str) -> None:
    """Whatever wraps them."""
    assert code_of(error) == code_of(failed_step(error)) == code


WORDS = 'Zhang\'s "divorce": call me'


def conversion(words: str) -> Exception:
    """Return what DuckDB raises for a text that a column can't hold."""
    with duckdb.connect() as connection, pytest.raises(duckdb.ConversionException) as caught:
        connection.execute("select ?::integer", [words])
    return caught.value


class DatabaseError(Exception):
    """As each database's driver names it."""


@pytest.mark.parametrize("words", ["divorced", WORDS])
@pytest.mark.parametrize(
    "error",
    [
        conversion,
        lambda words: DatabaseError(f'invalid input syntax for type integer: "{words}"'),
        lambda words: DatabaseError(f"(1366, \"Incorrect value: '{words}' for column `reply_content`\")"),
    ],
)
def test_a_person_s_words_are_in_no_message(error: Callable[[str], Exception], words: str) -> None:
    """A database quotes the value that a column can't hold."""
    message, status = explain(failed_step(error(words)), whereabouts=HERE)
    assert status == 1
    assert not {"divorce", "Zhang", "call"} & set(re.findall(r"[a-zA-Z]+", message))
    assert re.search("INT32|type integer|1366", message)


def test_names_of_what_is_in_the_database_are_told() -> None:
    """Without them nobody knows what to look at."""
    error = DatabaseError('null value in column "port" of relation "replies" violates a constraint')
    message, _ = explain(failed_step(error), whereabouts=HERE)
    assert 'column "port" of relation "replies"' in message
