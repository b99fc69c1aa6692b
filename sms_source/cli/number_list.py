"""Lists of phone numbers as people have them: a number a line, or a CSV with a column of that name."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sms_source.errors import ConfigurationError

COLUMN = "phone_number"


def lines_of(name: str) -> Iterator[str]:
    """Yield the lines of a file; of the standard input for `-`.

    Raises:
        ConfigurationError: it can't be read.
    """
    try:
        if name == "-":
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(encoding="utf-8-sig")  # spreadsheets begin a CSV with a mark
            yield from sys.stdin
        else:
            with Path(name).open(encoding="utf-8-sig", newline="") as lines:
                yield from lines
    except OSError as error:
        raise ConfigurationError(f"The file of numbers {name} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"The file of numbers {name} is no UTF-8 text: save it as CSV.") from None


def rows_in(lines: Iterable[str]) -> tuple[list[str] | None, int, Iterator[list[str]]]:
    """Return the header, if there is one, the place of the column of numbers, and the rows."""
    rows = (row for row in csv.reader(lines) if row)
    first = next(rows, [])
    names = [name.strip().lower() for name in first]
    if COLUMN in names:
        return first, names.index(COLUMN), rows
    return None, 0, _with_first(first, rows)


def numbers_in(lines: Iterable[str]) -> Iterator[str]:
    """Yield the numbers of a list."""
    _, column, rows = rows_in(lines)
    for row in rows:
        if column < len(row) and row[column].strip():
            yield row[column].strip()


def _with_first(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    if first:
        yield first
    yield from rows
