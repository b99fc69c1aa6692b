"""The report: one page for who decides, and the views as CSV; made from the views alone.

Needs the extra `report`. The rooms, in the order in which the figures pass them:

    warehouse   opens the dataset to read it
    figures     what the views say, in the page's shape; with opt_outs, campaigns, receipts and care
    people      what people wrote and their numbers, as they may be shown
    charts      SVG without a script
    language    English and Chinese
    page        the template and its style, which make one file of it
"""

import csv
import os
import re
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dlt

from sms_source.errors import ConfigurationError, SmsSourceError
from sms_source.report.figures import Period
from sms_source.report.language import LANGUAGES, Language
from sms_source.report.warehouse import open_warehouse

MAX_DAYS = 365
"""The longest period of a page: in a longer one a day would have no room."""

_FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")  # the last four are full-width
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def write_report(
    pipeline: dlt.Pipeline,
    output: Path,
    *,
    language: str = "en",
    days: int = 30,
    full_numbers: bool = False,
    time_zone: str = "UTC",
    now: datetime | None = None,
) -> None:
    """Write the page about the replies in a pipeline's dataset: one file, which nobody else may read.

    Args:
        pipeline: for the destination and the dataset; it is not run. DuckDB and PostgreSQL are proved.
        output: is replaced when the page is whole; its folder must be there.
        language: `en` or `zh`.
        days: of the page's period, up to today; at most `MAX_DAYS`.
        full_numbers: whether phone numbers are shown in full, and not as `+86152****0000`.
        time_zone: of days and times, which should be the option `views_time_zone`.
        now: of the page; the time by this machine's clock when it is None.

    Raises:
        ConfigurationError: an argument is wrong, the extra is missing, or the dataset or its views are.
        SmsSourceError: the file can't be written, or another process is writing into the DuckDB file.
    """
    if language not in LANGUAGES:
        raise ConfigurationError(f"There is no report in the language {language!r}: choose en or zh.")
    if not 1 <= days <= MAX_DAYS:
        raise ConfigurationError(f"A report is about 1 to {MAX_DAYS} days, not {days}.")
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"{time_zone!r} is no time zone: give a name such as UTC or Asia/Shanghai."
        ) from error
    try:
        from sms_source.report import page  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The report needs {error.name}: pip install 'dlt-tencent-sms[report]'."
        ) from error

    period = Period((now or datetime.now(timezone.utc)).astimezone(zone), days, zone)
    with open_warehouse(pipeline) as warehouse:
        has_only_receipts = warehouse.lacks("replies") and not warehouse.lacks("receipts")
        view = "deliveries" if has_only_receipts else "unique_replies"
        if warehouse.lacks(view):
            raise ConfigurationError(
                f"The dataset {warehouse.dataset!r} has no view {view}, from which the report is "
                "made: load once with create_views = true."
            )
        figures = page.read(warehouse, period)
    html = page.render(
        figures, period, Language(language, period.now), dataset=warehouse.dataset, full_numbers=full_numbers
    )
    try:
        _write(output, html)
    except OSError as error:
        raise SmsSourceError(f"The report can't be written to {output}: {error.strerror}.") from error


def export_csv(pipeline: dlt.Pipeline, view: str, stream: TextIO) -> int:
    """Write all rows of a view as CSV, with full numbers; returns how many.

    Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection");
    a number such as `+8615291990000` stays as it is. Lines end with a newline, times are in UTC.

    Raises:
        ConfigurationError: the dataset has no such view.
        SmsSourceError: another process is writing into the DuckDB file.
    """
    with open_warehouse(pipeline) as warehouse:
        if view not in warehouse.views:
            there = ", ".join(warehouse.views) or "none"
            raise ConfigurationError(
                f"The dataset {warehouse.dataset!r} has no view {view!r}: it has {there}."
            )
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(warehouse.columns(view))
        count = 0
        for count, row in enumerate(warehouse.stream(view), start=1):  # noqa: B007 - the last one is the number
            writer.writerow(map(_cell, row))
        return count


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    text = str(value).replace("\0", "\ufffd")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _write(output: Path, text: str) -> None:
    """Write the whole file or nothing, readable by this user alone whatever the umask."""
    number, draft = tempfile.mkstemp(prefix=f".{output.name}.", suffix=".draft", dir=output.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(output)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
