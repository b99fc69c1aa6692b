"""From whatever ended a run, one message that a person can act on at three in the morning."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import tomlkit
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    ConfigValueCannotBeCoercedException,
    LookupTrace,
    LookupTraces,
)
from dlt.common.configuration.providers.toml import TomlProviderReadException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.pipeline.exceptions import PipelineStepFailed
from tomlkit.exceptions import ParseError

from sms_source.cleaning import MASK, redact
from sms_source.configuration import SECTIONS, SmsSourceConfiguration, not_coerced
from sms_source.errors import JournalError, PullError, SmsSourceError, is_configuration

FAILED = 1
WRONG_CONFIGURATION = 2

_QUOTES_VALUES = ("DatabaseError", "ArrowException")
"""Classes of errors, as each database's driver and Arrow name them, whose texts quote what a row holds."""
_QUOTED = re.compile(
    r"\b(?P<name>(column|table|relation|constraint|type|schema|view|index)\s+(\"[^\"]*\"|'[^']*'))"
    r"|[\"'].*[\"']",
    re.IGNORECASE,
)
"""From the first quote to the last, as a value may hold some; names of what a database has are no values."""


def explain(error: BaseException, *, whereabouts: str = "") -> tuple[str, int]:
    """Return a message of what is wrong, where, and what to do; and the exit status of the main job.

    Exit status 2 means that only a change of the configuration or of the account can help: a scheduler need
    not try again. Never holds a secret, nor a person's number or words.

    whereabouts: a sentence that says where what was pulled is now; ends the message of a failure after which
        somebody will ask.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, JournalError):
            return f"{cause} {whereabouts}".rstrip(), FAILED
        if isinstance(cause, (SmsSourceError, InterruptedError)):
            return str(cause), WRONG_CONFIGURATION if is_configuration(cause) else FAILED
        if isinstance(cause, (ConfigurationException, MissingDependencyException, UnknownDestinationModule)):
            return _configuration(cause), WRONG_CONFIGURATION
    message = _failure(causes)
    return f"{message} {whereabouts}".rstrip(), FAILED


def _failure(causes: list[BaseException]) -> str:
    for cause in reversed(causes):  # an outer error's text holds the inner one's
        text = str(cause)
        if "Could not set lock on file" in text or "being used by another process" in text:
            return (
                f"Another process holds the DuckDB file open ({_first_line(cause)}): "
                "close it (a notebook, a database viewer), then run again."
            )
        is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or "No space left" in text:
            return f"A disk is full ({_first_line(cause)}): free some room, then run again."
        # As every database's driver names it: not there, gone, not letting us in.
        is_operational = type(cause).__name__ == "OperationalError"
        if is_operational or isinstance(cause, DestinationConnectionError):
            return f"The destination does not answer ({_first_line(cause)})."
    step = next((cause.step for cause in causes if isinstance(cause, PipelineStepFailed)), None)
    where = f"dlt's step {step} failed" if step else "The run failed"
    root = causes[-1]
    return f"{where}: {type(root).__name__}: {_first_line(root)}. --verbose shows the traceback."


def code_of(error: BaseException) -> str:
    """Return what a program can tell errors apart by: the code of a pull's error, or the error's class."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PullError):
            return cause.code
        if isinstance(cause, SmsSourceError):
            return type(cause).__name__
    return type(causes[-1]).__name__


def _configuration(error: BaseException) -> str:
    """Return what is wrong with dlt's configuration, or with what is installed for it."""
    if isinstance(error, ConfigFieldMissingException):
        return _missing(error)
    if isinstance(error, ConfigValueCannotBeCoercedException):
        return str(not_coerced(error))
    if isinstance(error, TomlProviderReadException):
        return _not_toml(error)
    if isinstance(error, UnknownDestinationModule):
        return f"dlt knows no destination {error.ref!r}: name one of its own, such as duckdb."
    if isinstance(error, MissingDependencyException):
        packages = " ".join(f"'{package}'" for package in error.dependencies)
        return f"{error.caller} needs packages that are not here: pip install {packages}"
    return redact(str(error))


def _missing(error: ConfigFieldMissingException) -> str:
    """Return which settings are missing, by the names that they have in files and in the environment."""
    if isinstance(error.config, SmsSourceConfiguration):
        names, section = list(error.traces), ".".join(SECTIONS)
        file, hint = ".dlt/config.toml", "; .dlt/example.secrets.toml shows the whole configuration"
    else:  # the destination's own, or another part of dlt
        leaves = [_leaf(name, traces) for name, traces in error.traces.items()]
        settings = [(name, sections) for leaf in leaves for name, sections in leaf]
        names = [name for name, _ in settings]
        section = ".".join(settings[0][1])
        file, hint = ".dlt/secrets.toml", ""
    variables = ", ".join(f"{section}.{name}".replace(".", "__").upper() for name in names)
    return (
        f"The configuration lacks {', '.join(names)}. Set it in [{section}] of {file}, "
        f"or in the environment as {variables}{hint}."
    )


def _leaf(name: str, traces: list[LookupTrace | LookupTraces]) -> list[tuple[str, list[str]]]:
    """Return names and sections of what `name` lacks: of a nested configuration, its first form's."""
    first = traces[0]
    if isinstance(first, LookupTraces):
        return [leaf for inner, its_traces in first.traces.items() for leaf in _leaf(inner, its_traces)]
    # dlt looks in shorter sections, too; the longest one is what its documents name.
    return [(name, max((list(t.sections) for t in traces if isinstance(t, LookupTrace)), key=len))]


def _not_toml(error: TomlProviderReadException) -> str:
    """Return which file is not TOML, in which line and why; dlt names all the files that it looks for."""
    for path in map(Path, error.full_paths):
        text = ""
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            tomlkit.parse(text)
        except ParseError as reason:
            why = re.sub(r" at line \d+ col \d+$", "", str(reason)).rstrip(".")
            return (
                f"{path.absolute()}, line {_line_of(reason, text)}, is not TOML: {redact(why)}. Correct it; "
                "a section may stand in it only once: options belong below the one that is there."
            )
        except (OSError, ValueError) as reason:
            return f"{path.absolute()} can't be read: {redact(str(reason))}."
    return redact(str(error))


def _line_of(error: ParseError, text: str) -> int:
    """Return the line that is wrong. Of a name that is there twice, tomlkit tells where its section ends."""
    lines = text.splitlines(keepends=True)
    for number in range(1, len(lines) + 1):
        try:
            tomlkit.parse("".join(lines[:number]))
        except ParseError as reason:
            if type(reason) is type(error) is ParseError:
                return number
    return int(error.line)


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "no message")
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds.isdisjoint(_QUOTES_VALUES) and "OperationalError" not in kinds:
        line = _QUOTED.sub(lambda found: found["name"] or f"'{MASK}'", line)
    return redact(line).rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it, the outermost first."""
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
