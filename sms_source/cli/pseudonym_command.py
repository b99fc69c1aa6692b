"""`tencent-sms pseudonym`: the pseudonyms of a list of numbers, to match it with the tables."""

import argparse
import csv
import sys

import dlt

from sms_source.cli.number_list import lines_of, rows_in
from sms_source.cli.output import Output
from sms_source.errors import ConfigurationError
from sms_source.privacy.numbers import digits_of, is_international
from sms_source.privacy.pseudonym import pseudonym

KEY = "sources.sms_source.pseudonym_key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how numbers are read to a parser."""
    parser.description = (
        "Read phone numbers from the standard input, one a line or a CSV with a column phone_number, and "
        "write the same as CSV with the pseudonym of each in one more column."
    )
    parser.add_argument(
        "--country-code",
        metavar="CODE",
        default="",
        help="of numbers in their national form, which begin with neither + nor 00; without it, they have "
        "the pseudonyms of rows whose country is unknown",
    )


def run(args: argparse.Namespace, output: Output) -> None:  # noqa: ARG001 - it speaks for itself
    """Write the list with pseudonyms.

    Raises:
        ConfigurationError: there is no pseudonym_key.
    """
    key: str | None = dlt.secrets.get(KEY)
    if not key:
        raise ConfigurationError(f"There is no pseudonym_key: set it in [{KEY.rpartition('.')[0]}].")
    header, column, rows = rows_in(lines_of("-"))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow([*header, "pseudonym"])
    for row in rows:
        number = row[column].strip() if column < len(row) else ""
        writer.writerow([*row, pseudonym(_international(number, args.country_code), key) if number else ""])


def _international(number: str, country_code: str) -> str:
    is_whole = is_international(number) or not country_code
    return number if is_whole else f"+{digits_of(country_code)}{number}"
