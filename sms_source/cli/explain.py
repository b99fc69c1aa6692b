"""From whatever ended a run, one message that a person can act on at three in the morning."""

import errno
from collections.abc import Iterator

from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    ConfigValueCannotBeCoercedException,
)
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source.errors import ConfigurationError, PullError, SmsSourceError, redact

FAILED = 1
WRONG_CONFIGURATION = 2

SAFE = "What was pulled is safe, in the journal or in pending packages; the next run loads it once."


def explain(error: BaseException) -> tuple[str, int]:
    """A message of what is wrong, where, and what to do; and the exit status of the main job.

    Never holds a secret, nor a person's number.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ConfigurationError):
            return str(cause), WRONG_CONFIGURATION
        if isinstance(cause, (SmsSourceError, InterruptedError)):
            return str(cause), FAILED
        if isinstance(cause, ConfigFieldMissingException):
            return _missing(cause), WRONG_CONFIGURATION
        if isinstance(cause, ConfigValueCannotBeCoercedException):
            expected = getattr(cause.hint, "__name__", str(cause.hint))
            message = f"{cause.field_name} in dlt's configuration is not of the type {expected}: correct it."
            return message, WRONG_CONFIGURATION
        if isinstance(cause, (UnknownDestinationModule, MissingDependencyException)):
            return _no_destination(cause), WRONG_CONFIGURATION
        if isinstance(cause, ConfigurationException):
            return _first_line(cause), WRONG_CONFIGURATION
    for cause in reversed(causes):  # an outer error's text holds the inner one's
        text = str(cause)
        if "Could not set lock on file" in text or "being used by another process" in text:
            message = (
                f"Another process holds the DuckDB file open ({_first_line(cause)}): "
                f"close it (a notebook, a database viewer), then run again. {SAFE}"
            )
            return message, FAILED
        if (
            isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        ) or "No space left" in text:
            return f"A disk is full ({_first_line(cause)}): free some room, then run again. {SAFE}", FAILED
        # As every database's driver names it: not there, gone, not letting us in.
        is_operational = type(cause).__name__ == "OperationalError"
        if is_operational or isinstance(cause, DestinationConnectionError):
            return f"The destination does not answer ({_first_line(cause)}). {SAFE}", FAILED
    step = next((cause.step for cause in causes if isinstance(cause, PipelineStepFailed)), None)
    where = f"dlt's step {step} failed" if step else "The run failed"
    root = causes[-1]
    return (
        f"{where}: {type(root).__name__}: {_first_line(root)}. {SAFE} --verbose shows the traceback.",
        FAILED,
    )


def code_of(error: BaseException) -> str:
    """What a program can tell errors apart by: the code of a pull's error, or else the error's class."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PullError):
            return cause.code
        if isinstance(cause, SmsSourceError):
            return type(cause).__name__
    return type(causes[-1]).__name__


def _no_destination(error: UnknownDestinationModule | MissingDependencyException) -> str:
    if isinstance(error, UnknownDestinationModule):
        return f"dlt knows no destination {error.ref!r}: name one of its own, such as duckdb."
    packages = " ".join(f"'{package}'" for package in error.dependencies)
    return f"{error.caller} needs packages that are not here: pip install {packages}"


def _missing(error: ConfigFieldMissingException) -> str:
    fields = ", ".join(error.traces) if error.traces else ", ".join(error.fields)
    variables = ", ".join(f"SOURCES__SMS_SOURCE__{field.upper()}" for field in error.fields)
    return (
        f"The configuration lacks {fields}. Set it in [sources.sms_source] of .dlt/config.toml, or in the "
        f"environment as {variables}; .dlt/example.secrets.toml shows the whole configuration."
    )


def _first_line(error: BaseException) -> str:
    return redact(next(iter(str(error).strip().splitlines()), "no message")).rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        nested = getattr(current, "exception", None)
        current = (
            current.__cause__
            or (nested if isinstance(nested, BaseException) else None)
            or current.__context__
        )
