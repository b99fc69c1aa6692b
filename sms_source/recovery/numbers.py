"""The phone numbers to ask about: a CSV file's column, checked before anything is asked."""

import csv
import re
from collections.abc import Iterable

from sms_source.errors import ConfigurationError

COLUMN = "phone_number"
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")


def is_number(text: str) -> bool:
    """Return whether a text is a phone number in E.164: a plus sign, the country code and the number."""
    return _E164.fullmatch(text) is not None


def read_numbers(lines: Iterable[str], name: str) -> list[str]:
    """Return the distinct numbers of a CSV file, in their order; rows without one are passed over.

    Args:
        lines: of the file; the first one names the columns.
        name: of the file, for messages.

    Raises:
        ConfigurationError: there is no column `phone_number`, or a number is not in E.164. The message names
            the line, and never a number.
    """
    rows = csv.reader(lines)
    header = [column.strip().lstrip("\ufeff").lower() for column in next(rows, [])]
    if COLUMN not in header:
        raise ConfigurationError(
            f"{name} has no column {COLUMN} in its first line: write the column's name above the numbers."
        )
    position = header.index(COLUMN)
    return check_numbers(
        (row[position], f"{name}, line {rows.line_num},") for row in rows if len(row) > position
    )


def check_numbers(numbers: Iterable[tuple[str, str]]) -> list[str]:
    """Return distinct numbers, in their order.

    Args:
        numbers: each with the place where it stands.

    Raises:
        ConfigurationError: a number is not in E.164; names its place.
    """
    found: dict[str, None] = {}
    for given, place in numbers:
        number = given.strip()
        if number and not is_number(number):
            raise ConfigurationError(
                f"{place} has a phone number that is not in E.164: expected a plus sign, the country code "
                "and the number, such as +8613800000000. Correct it, and run again."
            )
        if number:
            found[number] = None
    return list(found)
