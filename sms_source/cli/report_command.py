"""`tencent-sms report`: the page, or a view as CSV."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt

from sms_source.cli.arguments import add_places
from sms_source.cli.output import Output
from sms_source.errors import ConfigurationError
from sms_source.loading.keeping import as_found
from sms_source.loading.loader import PIPELINE
from sms_source.loading.target import place_of
from sms_source.report import command, write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the page to a parser."""
    command.add_arguments(parser)
    add_places(parser)


def run(args: argparse.Namespace, output: Output) -> None:  # noqa: ARG001 - it speaks for itself
    """Make the page, or write the CSV."""
    time_zone: str = dlt.config.get("sources.sms_source.views_time_zone") or "UTC"
    with _reader(args.destination, args.dataset, args.pipeline or PIPELINE) as pipeline:
        command.run(args, pipeline, time_zone=time_zone)


def make_page(destination: str, dataset: str, name: str, page: str) -> str:
    """Make the page with its defaults; return a sentence that says where it is, or what it needs."""
    try:
        with _reader(destination, dataset, name) as pipeline:
            write_report(pipeline, Path(page))
    except ConfigurationError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        return f"No page for who decides yet. {error}"
    return f"The page for who decides: {Path(page).absolute()}"


@contextmanager
def _reader(destination: str, dataset: str, name: str) -> Iterator[dlt.Pipeline]:
    """Yield a pipeline that reads: in a working directory of its own, so that it disturbs no job's."""
    with tempfile.TemporaryDirectory(prefix="tencent-sms-") as folder, as_found():
        yield dlt.pipeline(
            name, pipelines_dir=folder, destination=place_of(destination), dataset_name=dataset
        )
