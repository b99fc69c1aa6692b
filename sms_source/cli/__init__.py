"""The command line: the console script `tencent-sms`, and the main job's script."""

from sms_source.cli import startup as startup  # first: see there

# isort: split
import argparse
import gc
import os
import sys
from collections.abc import Callable

from sms_source.cli.arguments import parse, parse_job
from sms_source.cli.output import JsonOutput, Output, TextOutput


def main(arguments: list[str] | None = None) -> int:
    """Run a command of the console script; return the exit status."""
    return _run(parse(arguments))


def job(arguments: list[str] | None = None) -> int:
    """Run the main job's script; return the exit status."""
    return _run(parse_job(arguments))


def console(command: Callable[[], int] = main) -> None:
    """Be the whole process of a command."""
    startup.begin()
    status = command()
    gc.freeze()  # the process ends: nothing is worth collecting
    sys.exit(status)


def _run(args: argparse.Namespace) -> int:
    os.umask(0o077)  # what is written holds people's numbers and words
    kind = JsonOutput if args.log_format == "json" else TextOutput
    output: Output = kind(verbose=args.verbose, timed=getattr(args, "follow", None) is not None)
    output.begin()
    try:
        args.run(args, output)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one clear message
        return output.error(error)
    return 0
