"""The command line: one set of options for the console script and for the main job's script."""

import argparse
import math
import sys

from sms_source.cli import recover_command

DESCRIPTION = """\
Empty the queues of Tencent Cloud SMS applications into a warehouse, each record exactly once.

Exit status: 0 the queues are drained and loaded; 1 the run failed; 2 wrong usage or configuration.
"""


def parse_job(arguments: list[str] | None, prog: str = "load_replies.py") -> argparse.Namespace:
    """Return the arguments of the main job's script. Ends the process with status 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        prog=prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--demo", action="store_true", help="run against the bundled simulator, no account needed"
    )
    parser.add_argument("--check", action="store_true", help="prove that a run can work, and take no record")
    _add_places(parser)
    _add_load(parser)
    _add_common(parser)
    return _checked(parser, parser.parse_args(arguments))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the arguments of the console script. Ends the process with status 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="tencent-sms", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    load = commands.add_parser("load", help="empty the queues and load what they hold")
    check = commands.add_parser("check", help="prove that a run can work, and take no record")
    demo = commands.add_parser("demo", help="load from the bundled simulator, no account needed")
    recover = commands.add_parser(
        "recover", help="ask by phone number for what pulls in doubt lost, and load what is missing"
    )
    recover_command.add_arguments(recover)
    for command in (load, check, demo, recover):
        _add_places(command)
        if command in (load, demo):
            _add_load(command)
        _add_common(command)
    args = parser.parse_args(arguments)
    defaults = {"follow": None, "replay": False, "progress": None}
    for name, value in defaults.items():
        setattr(args, name, getattr(args, name, value))
    args.check, args.demo = args.command == "check", args.command == "demo"
    return _checked(parser, args)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", default="duckdb", metavar="NAME", help="dlt destination (duckdb)")
    parser.add_argument("--pipeline", metavar="NAME", help="dlt pipeline, and DuckDB file (sms_replies)")
    parser.add_argument(
        "--dataset", default="sms", metavar="NAME", help="dataset, or schema, of the tables (sms)"
    )


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--follow", type=_seconds, metavar="SECONDS", help="keep draining, at this interval, until a signal"
    )
    parser.add_argument(
        "--replay", action="store_true", help="load the journal's archive again; pull nothing"
    )
    parser.add_argument(
        "--progress",
        metavar="NAME",
        choices=["tqdm", "log", "enlighten", "alive_progress"],
        help="dlt's progress display: tqdm (on a terminal), log, enlighten or alive_progress",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        default="text",
        choices=["text", "json"],
        help="text for a person, or one JSON object a line (text)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")


def _checked(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    if args.log_format == "json" and args.progress:
        parser.error("--progress is for a terminal, and --log-format json for a program")
    if args.follow is not None and args.replay:
        parser.error("--replay loads the archive once, and does not follow")
    if args.log_format == "text" and args.progress is None and not args.check and sys.stderr.isatty():
        args.progress = "tqdm"
    return args


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
