"""The subcommand `recover`: its options, the numbers that it reads, and its progress on a terminal."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sms_source.cli.arguments import add_places
from sms_source.cli.number_list import lines_of
from sms_source.cli.output import Output
from sms_source.cli.signals import stop_on_signals
from sms_source.feeds import FEEDS
from sms_source.loading.loader import PIPELINE, Loader, resolve_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a recovery to a parser."""
    parser.add_argument(
        "--numbers",
        metavar="FILE",
        help="CSV with a column phone_number, whom to ask about; - is standard input "
        "(whoever is in the tables of the last 7 days)",
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="ask for nothing before, such as 2026-11-20T08:00:00Z (7 days back, as far as can be)",
    )
    parser.add_argument("--feed", choices=list(FEEDS), help="recover this feed alone (all)")
    add_places(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Recover what pulls in doubt lost; raise what goes wrong."""
    from sms_source.recovery import Recovery

    numbers = None if args.numbers is None else _read(args.numbers)
    with (
        Loader(resolve_options({}), args.destination, args.dataset, args.pipeline or PIPELINE) as loader,
        stop_on_signals(output.notice, lambda: loader.at_risk) as stop,
        _progress(is_shown=args.log_format == "text" and sys.stderr.isatty()) as progress,
    ):
        summary = Recovery(
            loader,
            numbers=numbers,
            since=args.since,
            feeds=[args.feed] if args.feed else None,
            stop=stop,
            progress=progress.tell,
        ).run()
    output.recovered(summary)
    summary.raise_for_failure()


def _read(name: str) -> list[str]:
    from sms_source.recovery.numbers import read_numbers

    return read_numbers(lines_of(name), "standard input" if name == "-" else name)


class _Progress:
    """A bar that shows how far the recovery is, and an estimate of the rest."""

    def __init__(self, *, is_shown: bool) -> None:
        from tqdm import tqdm

        self.bar = tqdm(unit=" people", disable=not is_shown, leave=False, file=sys.stderr)

    def tell(self, asked: int, total: int) -> None:
        """Show how many people were asked about, and of how many."""
        self.bar.total = total
        self.bar.update(asked - self.bar.n)


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[_Progress]:
    progress = _Progress(is_shown=is_shown)
    try:
        yield progress
    finally:
        progress.bar.close()


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time in ISO 8601, such as 2026-11-20T08:00:00Z"
        ) from None
