"""The command line: one set of options for the console script and for the main job's script."""

import argparse
import math
import sys
from importlib import import_module
from typing import Any, NamedTuple

DESCRIPTION = """\
What people answer to SMS sent through Tencent Cloud: from queues into a warehouse, each record exactly once.

Exit status: 0 done; 1 the run failed; 2 wrong usage or configuration.
"""


class Command(NamedTuple):
    """A command of the console script.

    help: a line of what it does.
    module: has `add_arguments(parser)` and `run(args, output)`; imported for this command alone.
    """

    help: str
    module: str


COMMANDS = {
    "load": Command("empty the queues and load what they hold", "sms_source.cli.load_command"),
    "check": Command("prove that a run can work, and take no record", "sms_source.cli.check_command"),
    "demo": Command("load from the bundled simulator, no account needed", "sms_source.cli.demo_command"),
    "recover": Command(
        "ask by phone number for what pulls in doubt lost, and load what is missing",
        "sms_source.cli.recover_command",
    ),
    "report": Command("make the page, or export a view", "sms_source.cli.report_command"),
    "forget": Command("erase people from the tables and the journal", "sms_source.cli.forget_command"),
    "pseudonym": Command("tell the pseudonyms of a list of numbers", "sms_source.cli.pseudonym_command"),
    "journal": Command("encrypt the journal's files anew", "sms_source.cli.journal_command"),
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the arguments of the console script. Ends the process with status 2 when they are wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="tencent-sms", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=f"{command.help.capitalize()}.")
        if name in arguments[:1]:
            _complete(subparser, import_module(command.module))
    return parser.parse_args(arguments)


def parse_job(arguments: list[str] | None) -> argparse.Namespace:
    """Return the arguments of the main job's script, which is three commands in one. Errors as `parse`."""
    from sms_source.cli import load_command

    parser = argparse.ArgumentParser(
        prog="load_replies.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("demo", "check"):
        parser.add_argument(f"--{name}", action="store_true", help=COMMANDS[name].help)
    _complete(parser, load_command)
    args = parser.parse_args(arguments)
    name = "check" if args.check else "demo" if args.demo else "load"
    args.run = import_module(COMMANDS[name].module).run
    return args


def add_places(parser: argparse.ArgumentParser, pipeline: str = "sms_replies") -> None:
    """Add where the rows are."""
    parser.add_argument("--destination", default="duckdb", metavar="NAME", help="dlt destination (duckdb)")
    parser.add_argument(
        "--pipeline", metavar="NAME", help=f"dlt pipeline; the DuckDB file is named so, too ({pipeline})"
    )
    parser.add_argument(
        "--dataset", default="sms", metavar="NAME", help="dataset, or schema, of the tables (sms)"
    )


def seconds(text: str) -> float:
    """Return a number of seconds. Raises `argparse.ArgumentTypeError` when it is none above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Return an address; without a host, it is a loopback one. Raises `argparse.ArgumentTypeError`."""
    host, _, port = text.rpartition(":")
    is_bare = ":" in host and not host.startswith("[")
    if is_bare or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def _complete(parser: argparse.ArgumentParser, module: Any) -> None:
    module.add_arguments(parser)
    parser.add_argument(
        "--log-format",
        default="text",
        choices=["text", "json"],
        help="text for a person, or one JSON object a line (text)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=module.run, error=parser.error)
