"""The commands of a shell that drive a simulator which serves, given its URL."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from .actions import ACTIONS, RECEIPTS, REPLIES
from .control import Control
from .faults import FaultKind
from .records import to_json
from .service import DEFAULT_REGION, REGIONS
from .settings import Settings
from .simulator import DEFAULT_APP_ID

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no other name for it

_SETTINGS = dataclasses.fields(Settings)


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add all of them to those of a parser."""
    for add in (_add_enqueue, _add_fail, _add_configure, _add_push_to, _add_stats, _add_logs):
        add(commands)


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, help_text: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a command; its examples are what follows the URL."""
    lines = [f"  %(prog)s http://127.0.0.1:8765 {example}".rstrip() for example in examples]
    command = commands.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog="\n".join(["examples:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("url", metavar="URL", type=_url, help="of the simulator, as `serve` prints it")
    return command


def _url(text: str) -> str:
    if not text.startswith("http://"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with http://")
    return text


def _add_enqueue(commands: Commands[argparse.ArgumentParser]) -> None:
    examples = ("--made-up 500", "--feed receipts --made-up 500 --seed 7", "--file replies.jsonl", "--file -")
    command = _command(commands, "enqueue", "append replies or receipts to a queue", *examples)
    command.add_argument("--feed", choices=(REPLIES, RECEIPTS), default=REPLIES, help="default: %(default)s")
    command.add_argument("--app-id", default=DEFAULT_APP_ID, metavar="ID", help="default: %(default)s")
    command.add_argument("--region", choices=REGIONS, default=DEFAULT_REGION, help="default: %(default)s")
    command.add_argument("--seed", type=int, default=1, help="what the made-up depend on; default: 1")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--made-up", type=int, metavar="N", help="so many, of the last days")
    what.add_argument("--file", metavar="PATH", help="those of a file, a JSON value a line; - is the input")
    command.set_defaults(run=_enqueue)


def _enqueue(options: argparse.Namespace) -> int:
    control, place = Control(options.url), {"feed": options.feed, "region": options.region}
    if options.file is None:
        count = control.make_up(options.app_id, options.made_up, seed=options.seed, **place)
    else:
        count = control.enqueue(options.app_id, list(_lines(options.file)), **place)
    print(f"Enqueued {count:,} {options.feed}.")
    return 0


def _lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a file, each of them JSON. Raises `ValueError` for one that is not."""
    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number} of {path} is not JSON: {error}") from None
            yield line


def _add_fail(commands: Commands[argparse.ArgumentParser]) -> None:
    examples = ["reset", "http_status --status 503 --times 5 --after 2", "api_error --code InternalError"]
    examples += ["delay --seconds 30 --action PullSmsSendStatus", "reset=0.05 gzip=0.1 --seed 1", "--clear"]
    command = _command(commands, "fail", "make requests fail", *examples)
    kinds = ", ".join(kind.value for kind in FaultKind)
    command.add_argument(
        "faults",
        nargs="*",
        metavar="FAULT",
        help=f"one for the next requests, or FAULT=SHARE to draw each request's: {kinds}",
    )
    command.add_argument("--clear", action="store_true", help="forget all faults to come, first")
    command.add_argument("--times", type=int, default=1, metavar="N", help="in a row; default: 1")
    command.add_argument(
        "--after", type=int, default=0, metavar="N", help="requests that go well; default: 0"
    )
    command.add_argument("--app-id", metavar="ID", help="those of one application; default: of any")
    command.add_argument(
        "--action",
        choices=ACTIONS,
        metavar="ACTION",
        help=f"one of {', '.join(ACTIONS)}; default: both queues",
    )
    command.add_argument("--code", help="of an api_error; default: InternalError")
    command.add_argument("--status", type=int, help="of an http_status; default: 502")
    command.add_argument("--seconds", type=float, help="of a delay or a trickle; default: 1")
    command.add_argument(
        "--popped",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the records leave the queue; default: as the kind of fault has it",
    )
    command.add_argument("--seed", type=int, default=1, help="what is drawn from; default: 1")
    command.set_defaults(run=_fail)


def _fail(options: argparse.Namespace) -> int:
    control, faults = Control(options.url), options.faults
    shares = dict(fault.split("=", 1) for fault in faults if "=" in fault)
    if len(shares) < len(faults) and len(faults) > 1:
        raise ValueError("give one FAULT, or FAULT=SHARE for each of several")
    if not faults and not options.clear:
        raise ValueError("give a FAULT, or --clear")
    if options.clear:
        control.clear_faults()
    if shares:
        mix: dict[Any, float] = {kind: float(share) for kind, share in shares.items()}
        control.fail_randomly(mix, seed=options.seed, action=options.action)
    elif faults:
        names = ("times", "after", "app_id", "action", "code", "status", "seconds", "popped")
        given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        control.fail_next(faults[0], **given)
    print(f"{control.stats().planned_faults} faults wait for their request.")
    return 0


def _add_configure(commands: Commands[argparse.ArgumentParser]) -> None:
    examples = ("", "latency=0.05 rate_limit=0", "empty_set=null", "look_up_consumes=true delivery=either")
    command = _command(commands, "configure", "change settings, and print them all", *examples)
    command.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="of the settings below")
    lines = [
        f"  {field.name}={_text(field.default)}\n      {field.metadata['meaning']}" for field in _SETTINGS
    ]
    command.epilog = "\n".join(["settings, with their defaults:", *lines, "", command.epilog or ""])
    command.set_defaults(run=_configure)


def _configure(options: argparse.Namespace) -> int:
    texts = {field.name for field in _SETTINGS if isinstance(field.default, str)}
    changes: dict[str, Any] = {}
    for change in options.changes:
        name, sign, value = change.partition("=")
        if not sign:
            raise ValueError(f"{change!r} is not NAME=VALUE")
        try:
            changes[name] = value if name in texts else orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError(f"the value of {name} is a number, true or false, and not {value!r}") from None
    return _show(Control(options.url).configure(**changes))


def _add_push_to(commands: Commands[argparse.ArgumentParser]) -> None:
    receipts = "receipts http://127.0.0.1:8080/token/receipts/1400006666 --app-id 1400006666"
    examples = ("replies http://127.0.0.1:8080/token/replies", receipts, "replies off")
    command = _command(commands, "push-to", "push what is enqueued from now on to a callback URL", *examples)
    command.add_argument("feed", choices=(REPLIES, RECEIPTS), help="what is pushed")
    command.add_argument("callback", metavar="CALLBACK", help="the URL; off ends it")
    command.add_argument("--app-id", metavar="ID", help="whose receipts; replies are the whole account's")
    command.set_defaults(run=_push_to)


def _push_to(options: argparse.Namespace) -> int:
    callback = None if options.callback == "off" else options.callback
    Control(options.url).push_to(options.feed, callback, app_id=options.app_id)
    return 0


def _add_stats(commands: Commands[argparse.ArgumentParser]) -> None:
    command = _command(commands, "stats", "print the counters as JSON", "", "--feed receipts")
    command.add_argument("--feed", choices=(REPLIES, RECEIPTS), help="default: both")
    command.set_defaults(run=lambda options: _show(Control(options.url).stats(options.feed)))


def _add_logs(commands: Commands[argparse.ArgumentParser]) -> None:
    for name, help_text in (
        ("log", "print the pulls so far, a JSON object a line"),
        ("look-ups", "print the look-ups so far, a JSON object a line"),
        ("pushes", "print the pushes so far, a JSON object a line"),
    ):
        command = _command(commands, name, help_text, "", "--start 100 --stop 200")
        command.add_argument("--start", type=int, default=0, metavar="N", help="how many to skip; default: 0")
        command.add_argument("--stop", type=int, metavar="N", help="where to end; default: at the last")
        command.set_defaults(run=_print_log, log=name.replace("-", "_"))


def _print_log(options: argparse.Namespace) -> int:
    for entry in getattr(Control(options.url), options.log)(options.start, options.stop):
        print(to_json(entry).decode())
    return 0


def _show(value: Any) -> int:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    return 0


def _text(value: Any) -> str:
    """Return a setting's value as NAME=VALUE has it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
