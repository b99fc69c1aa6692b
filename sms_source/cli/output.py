"""How the main job speaks: in text to a person, or in JSON to whatever gathers logs and counts."""

import json
import logging
import os
import sys
import time
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dlt

from sms_source.cli.explain import code_of, explain
from sms_source.configuration import SmsSourceConfiguration
from sms_source.feeds import FEEDS, REPLIES
from sms_source.loading.lakehouse import configured_format
from sms_source.loading.summary import Summary

if TYPE_CHECKING:
    from sms_source.recovery.summary import RecoverySummary

HEARTBEAT_SECONDS = 60.0
"""A monitor of --follow hears so often that the job is alive, and a log stays small at any interval."""

ASKED = "No record was taken: the question was the look-up by phone number, about a number nobody has."
NOT_ASKED = "No record was taken, and Tencent Cloud was asked nothing: pull_feeds is empty."

_TIME = "%Y-%m-%d %H:%M:%S"

logger = logging.getLogger("sms_source.load_replies")


class Output(Protocol):
    """What happens, told; log lines go the way of `logging`."""

    def __init__(self, *, verbose: bool, timed: bool) -> None: ...

    def begin(self) -> None:
        """Set up `logging`."""

    def notice(self, text: str) -> None:
        """Tell something from a signal handler."""

    def checked(self, what: str, detail: str) -> None:
        """Tell of a part of --check that holds."""

    def no_record_taken(self, *, is_asked: bool) -> None:
        """Tell that all parts of --check hold, and whether Tencent Cloud was asked for one of them."""

    def summary(self, summary: Summary) -> None:
        """Tell what a run did."""

    def recovered(self, summary: "RecoverySummary") -> None:
        """Tell what a recovery did."""

    def round(self, summary: Summary) -> None:
        """Tell what a round of --follow did."""

    def end(self) -> None:
        """Tell what is left to tell: there are no more rounds."""

    def where(self, summary: Summary, options: SmsSourceConfiguration) -> None:
        """Tell where the rows are."""

    def error(self, error: Exception) -> int:
        """Tell what ended the job; return its exit status."""


class TextOutput:
    """Sentences: results on the standard output, log lines and errors on the standard error.

    Args:
        verbose: show more, and tracebacks.
        timed: begin the lines of a process that stays with the time.
    """

    def __init__(self, *, verbose: bool, timed: bool = False) -> None:
        self._verbose = verbose
        self._timed = timed

    def begin(self) -> None:
        """Write a line for each, as it is."""
        handler = logging.StreamHandler()
        time_of = "%(asctime)s UTC " if self._timed else ""
        formatter = logging.Formatter(f"{time_of}%(levelname)s: %(message)s", _TIME)
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        _set_levels(verbose=self._verbose)

    def notice(self, text: str) -> None:
        """Write a line past Python's buffers, which the signal may have interrupted."""
        os.write(2, f"{text}\n".encode())

    def checked(self, what: str, detail: str) -> None:
        """Print a line for each."""
        print(f"ok  {what:13}  {detail}")

    def no_record_taken(self, *, is_asked: bool) -> None:
        """Print how it can be known."""
        print(ASKED if is_asked else NOT_ASKED)

    def summary(self, summary: Summary) -> None:
        """Print some lines."""
        print(*summary.lines(), sep="\n", flush=True)

    def recovered(self, summary: "RecoverySummary") -> None:
        """Print some lines."""
        print(*summary.lines(), sep="\n", flush=True)

    def round(self, summary: Summary) -> None:
        """Print some lines, with the time; nothing when there was nothing to load."""
        if summary.is_notable:
            print(_now(), end="")
            self.summary(summary)

    def end(self) -> None:
        """Do nothing."""

    def where(self, summary: Summary, options: SmsSourceConfiguration) -> None:
        """Print a command that shows what matters most, where there is one."""
        _print_where(summary, options)

    def error(self, error: Exception) -> int:
        """Print one clear message; with --verbose the traceback, too."""
        if self._verbose:
            traceback.print_exception(error)
        message, status = explain(error, whereabouts=getattr(error, "whereabouts", ""))
        print(f"{_now() if self._timed else ''}ERROR: {message}", file=sys.stderr)
        return status


def _now() -> str:
    return f"{datetime.now(timezone.utc):{_TIME}} UTC "


class JsonOutput:
    """An object a line: summaries and checks on the standard output, all else on the standard error."""

    def __init__(self, *, verbose: bool, timed: bool = False) -> None:  # noqa: ARG002 - each line is
        self._verbose = verbose
        self._untold: Summary | None = None

    def begin(self) -> None:
        """Write an object for each, those of dlt, of other libraries and of Python's warnings too."""
        handler = _JsonHandler()
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
        logging.captureWarnings(capture=True)
        # dlt's logger passes nothing on; it uses the handler that it finds.
        logging.getLogger("dlt").handlers[:] = [handler]
        _set_levels(verbose=self._verbose)

    def notice(self, text: str) -> None:
        """Write an event past Python's buffers, which the signal may have interrupted."""
        os.write(2, f"{_event('info', logger.name, text)}\n".encode())

    def checked(self, what: str, detail: str) -> None:
        """Print an object for each."""
        self._print(event="check", check=what, detail=detail)

    def no_record_taken(self, *, is_asked: bool) -> None:
        """Print the last object."""
        self._print(event="checked", detail=ASKED if is_asked else NOT_ASKED)

    def summary(self, summary: Summary) -> None:
        """Print the counts."""
        self._print(event="summary", **summary.as_dict())

    def recovered(self, summary: "RecoverySummary") -> None:
        """Print the counts."""
        self._print(event="recovery", **summary.as_dict())

    def round(self, summary: Summary) -> None:
        """Print the counts since the line before: when there was something to tell, and as a heartbeat."""
        if self._untold:
            summary = summary.after(self._untold)
        self._untold = summary
        if summary.is_notable or summary.seconds >= HEARTBEAT_SECONDS:
            self.end()

    def end(self) -> None:
        """Print the counts of the rounds that were not told."""
        if self._untold:
            self.summary(self._untold)
            self._untold = None

    def where(self, summary: Summary, options: SmsSourceConfiguration) -> None:
        """Print nothing: the summary names destination and dataset."""

    def error(self, error: Exception) -> int:
        """Return the same message as in text, with its code and the exit status."""
        message, status = explain(error, whereabouts=getattr(error, "whereabouts", ""))
        fields = {"error": code_of(error), "exit_status": status}
        logger.error(message, extra={"fields": fields}, exc_info=error if self._verbose else None)
        return status

    def _print(self, **fields: Any) -> None:
        print(json.dumps({"time": _iso(time.time()), **fields}, ensure_ascii=False), flush=True)


class _JsonHandler(logging.StreamHandler):  # type: ignore[type-arg]  # a type alone in Python 3.10
    """Formats by itself, as dlt gives the handler of its logger a formatter of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        level = record.levelname.lower()
        return _event(level, record.name, record.getMessage(), record.created, **fields)


def _event(level: str, name: str, message: str, at: float | None = None, **fields: Any) -> str:
    moment = _iso(time.time() if at is None else at)
    event = {"time": moment, "level": level, "logger": name, "message": message, **fields}
    return json.dumps(event, ensure_ascii=False, default=str)


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _set_levels(*, verbose: bool) -> None:
    logging.getLogger("sms_source").setLevel(logging.INFO)
    if not verbose:
        logging.getLogger("dlt").addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Cut what dlt logs to its first line: a person has the error's message, and no row is shown."""
    lines = record.getMessage().partition("Traceback (most recent call last)")[0].splitlines()
    record.msg, record.args, record.exc_info = (lines or [""])[0].rstrip(), None, None
    return True


def _print_where(summary: Summary, options: SmsSourceConfiguration) -> None:
    """Print a command that shows who opted out, or else the newest rows; nothing is opened for it."""
    owner = summary.owner
    tables = options.pull_feeds or list(FEEDS)
    if options.create_views and REPLIES.name in tables:
        what = "Who opted out, the most urgent first"
        columns = "phone_number, sign_name, keyword, opted_out_at, honour_by"
        query = f"select {columns} from {owner.dataset}.opt_outs order by honour_by limit 5"  # noqa: S608 - printed
    else:
        what = f"The newest {tables[0]}"
        query = f"select * from {owner.dataset}.{tables[0]} order by pulled_at desc limit 5"  # noqa: S608 - likewise
    bucket: str | None = dlt.config.get("destination.filesystem.bucket_url")
    if owner.destination == "filesystem" and bucket:
        root = bucket if "://" in bucket else Path(bucket).absolute().as_uri()
        kind = configured_format().capitalize()
        print(f"The data is in {root.rstrip('/')}/{owner.dataset}, a folder of {kind} tables.")
        return
    if not owner.location:
        print(f"{what}:  {query}")
        return
    database = Path(owner.location)
    print(f"The data is in {database}. {what}:")
    code = f"import duckdb; duckdb.connect('{_short(database)}', read_only=True).sql('{query}').show()"
    print(f'  {_short(Path(sys.executable))} -c "{code}"')


def _short(path: Path) -> Path:
    """Return the path as it is typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
