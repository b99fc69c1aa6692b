"""The subcommand `report`: its options, and what it prints. Needs nothing but a dlt pipeline."""

import argparse
import io
import os
import sys
from pathlib import Path

import dlt

from sms_source.report import MAX_DAYS, export_csv, write_report
from sms_source.report.language import LANGUAGES

OUTPUT = Path("replies.html")
"""Where the page goes, in the current directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the report to a parser."""
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help=f"the page that is written ({OUTPUT})"
    )
    parser.add_argument(
        "--language", default="en", choices=LANGUAGES, help="of the page: English or Chinese (en)"
    )
    parser.add_argument(
        "--days", type=_days, default=30, metavar="N", help=f"days up to today, at most {MAX_DAYS} (30)"
    )
    parser.add_argument("--full-numbers", action="store_true", help="do not mask phone numbers on the page")
    parser.add_argument(
        "--csv",
        metavar="VIEW",
        help="write this view as CSV to standard output, with full numbers, and no page",
    )


def run(args: argparse.Namespace, pipeline: dlt.Pipeline, *, time_zone: str = "UTC") -> None:
    """Do what the options say, with a pipeline for the destination and the dataset.

    Errors are those of `write_report` and `export_csv`.
    """
    if args.csv is None:
        write_report(
            pipeline,
            args.output,
            language=args.language,
            days=args.days,
            full_numbers=args.full_numbers,
            time_zone=time_zone,
        )
        print(f"The page is in {args.output.resolve()}. It holds what people wrote: only you may read it.")  # noqa: T201
        return
    if sys.stdout.isatty():
        print(  # noqa: T201
            f"These are people's full phone numbers; into a file: --csv {args.csv} > {args.csv}.csv",
            file=sys.stderr,
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    try:
        export_csv(pipeline, args.csv, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has enough; what Python flushes at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 1 to {MAX_DAYS}")
    return int(text)
