"""Empties the reply queues of Tencent Cloud SMS applications into a warehouse, each reply exactly once.

    python pipelines/load_replies.py --demo     against the bundled simulator, no account needed
    python pipelines/load_replies.py --check    proves configuration and permission, takes no reply
    python pipelines/load_replies.py            the job

Exit status: 0 the queues are drained and loaded; 1 the run failed; 2 wrong usage or configuration.
"""

import argparse
import ctypes
import gc
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":
    # Run from a checkout, as the README does, the package is beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    # Nothing of what is imported is ever garbage; to look for it there takes half the time of an empty run.
    gc.disable()
    # Arrow, and glibc for each thread, keep what is freed for themselves: 60 MB, and more with each package.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX

import dlt
from dlt.common.configuration import resolve_configuration
from dlt.common.destination import AnyDestination, Destination
from dlt.common.storages.configuration import WithLocalFiles
from dlt.common.storages.load_storage import LoadStorage
from dlt.common.storages.normalize_storage import NormalizeStorage
from dlt.extract import DltSource

from sms_source import DrainReport, settings, sms_source
from sms_source.api.client import SmsClient
from sms_source.cli.output import JsonOutput, Output, TextOutput
from sms_source.configuration import SECTIONS, SmsSourceConfiguration, check_names
from sms_source.errors import ConfigurationError
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.loading import commits
from sms_source.loading.summary import Summary
from sms_source.pulling.concurrency import FanOut
from sms_source.pulling.drain import Drain

SOURCE = "sms_source"
PIPELINE = "sms_replies"
DEMO_PIPELINE = "sms_replies_demo"
DEMO_APP_IDS = ("1400006666", "1400007777")
DEMO_REPLIES = 1_500
KEPT_PACKAGES = 10

logger = logging.getLogger("sms_source.load_replies")


def load_replies(
    pipeline: dlt.Pipeline,
    options: SmsSourceConfiguration,
    *,
    replay: bool = False,
    stop: threading.Event | None = None,
) -> Summary:
    """Sees to what earlier runs left, then drains the queues and loads them, package by package.

    Args:
        pipeline: where to load; one pipeline for one journal.
        options: of the source, resolved.
        replay: load the journal's whole archive again instead of pulling.
        stop: ends pulling when it is set; what was pulled is still loaded.

    Returns:
        What was done. Its `raise_for_failure` raises what ended the drain of an application.

    Raises:
        ConfigurationError: the journal belongs to another pipeline.
        JournalLockedError: another process is using the journal.
        PipelineStepFailed: a step of dlt failed; what was pulled waits in the journal for the next run.
    """
    summary = Summary(pipeline)
    # dlt would leave its step at the first signal; here it ends pulling, and what was pulled is loaded.
    pipeline.runtime_config.intercept_signals = False
    following: list[Drain] = []
    fan_out = FanOut(options.pull_workers)

    def new_drain() -> Drain:
        return Drain(
            options,
            journal.open_drain(),
            most_replies=settings.PACKAGE_REPLIES,
            stop=stop or threading.Event(),
            report=DrainReport(),
            on_full=go_on,
            fan_out=fan_out,
        )

    def go_on() -> None:
        """Pulling does not wait until the package that is full now is loaded."""
        following.append(new_drain())
        following[0].start()

    _configure_dlt()
    with Journal(options.journal_url) as journal:
        _remove_drafts(pipeline)
        _settle_pending(pipeline, journal)
        if replay:
            _have_missing_tables_made(pipeline)
        drain = new_drain()
        try:
            while True:
                report = drain.report
                summary.reports.append(report)
                is_settled = not replay and _is_settled(pipeline, options, journal, drain)
                if is_settled and not drain.begin():
                    report.raise_for_failure()
                    return summary
                _forget_packages(pipeline)
                pipeline.run(_source(pipeline, options, replay=replay, fresh_drain=drain, report=report))
                if not following:
                    return summary
                drain = following.pop()
        finally:
            for open_drain in (drain, *following):
                open_drain.close()


def _is_settled(
    pipeline: dlt.Pipeline, options: SmsSourceConfiguration, journal: Journal, drain: Drain
) -> bool:
    """Whether all that earlier drains left is loaded: then an empty queue leaves nothing for dlt to do.

    Never before the first load, which makes the tables and looks at the destination before the first pull.
    """
    state = commits.state_of(pipeline)
    retention = timedelta(days=options.journal_retention_days)
    return bool(state) and set(commits.settle(journal, state, retention)) <= {drain.drain_id}


def _source(pipeline: dlt.Pipeline, options: SmsSourceConfiguration, **arguments: Any) -> DltSource:
    """The source; on a filesystem its tables are Delta tables, as nothing else there keeps a row once."""
    from sms_source.loading import destinations

    source = sms_source(**dict(options), **arguments)
    if destinations.kind_of(pipeline.destination) == "filesystem":
        for name in destinations.TABLES:
            source.resources[name].apply_hints(table_format="delta")
    return source


def _remove_drafts(pipeline: dlt.Pipeline) -> None:
    """Deletes the drafts of schemas that dlt was killed over: it would fail over them in every run to come.

    It takes all that is beside the schemas for one. A schema's name has dots, a draft's has none.
    """
    for path in Path(pipeline.working_dir, "schemas").iterdir():
        if "." not in path.name:
            path.unlink()


def _settle_pending(pipeline: dlt.Pipeline, journal: Journal) -> None:
    """Sees to the packages that an earlier run left: dlt's `run` would load them and extract nothing.

    A package that dlt was killed over can be half made, so the journal gives what it held again. Only when
    the journal has lost it is the package loaded as it is.
    """
    local = pipeline.state["_local"]
    if pipeline.has_pending_data:
        _finish_normalize(pipeline)
        journal_of_packages = local.get("sms_journal", journal.url)
        if journal_of_packages != journal.url:
            raise ConfigurationError(
                f"Pipeline {pipeline.pipeline_name!r} holds packages that are not loaded yet, of the journal "
                f"{journal_of_packages}; this run has {journal.url}. Run the job there first."
            )
        drains = commits.state_of(pipeline).get("drains", ())
        if set(drains) <= set(journal.uncommitted()):
            logger.info("An earlier run left packages pending: what they hold comes from the journal again.")
            pipeline.drop()
        else:
            logger.info("Loading what an earlier run left pending.")
            pipeline.normalize()
            pipeline.load()
    if pipeline.state["_local"].get("sms_journal") != journal.url:
        pipeline.set_local_state_val("sms_journal", journal.url)


def _finish_normalize(pipeline: dlt.Pipeline) -> None:
    """Deletes the extracted files of packages that are normalized.

    dlt does so itself, right after it has given the normalized package its place. Killed in between, it would
    fail over what is left, in every run to come.
    """
    extracted = Path(pipeline.working_dir, "normalize", NormalizeStorage.EXTRACTED_FOLDER)
    normalized = set(pipeline.list_normalized_load_packages())
    for load_id in normalized.intersection(pipeline.list_extracted_load_packages()):
        shutil.rmtree(extracted / load_id)


def _have_missing_tables_made(pipeline: dlt.Pipeline) -> None:
    """Has the next load make the tables that somebody dropped: dlt goes by its own note of what is there."""
    from dlt.destinations.exceptions import DatabaseUndefinedRelation
    from dlt.destinations.job_client_impl import SqlJobClientBase

    with pipeline.destination_client() as client:
        if isinstance(client, SqlJobClientBase):
            versions = client.sql_client.make_qualified_table_name(client.schema.version_table_name)
            with suppress(DatabaseUndefinedRelation):
                client.sql_client.execute_sql(f"delete from {versions} where schema_name = %s", SOURCE)


def check(pipeline: dlt.Pipeline, options: SmsSourceConfiguration) -> Iterator[tuple[str, str]]:
    """Proves all that a run needs, and takes no reply. Yields what holds; raises what is wrong."""
    from sms_source.loading import destinations

    yield "configuration", f"applications {', '.join(options.sms_sdk_app_ids)} in {options.api_region}"
    with Journal(options.journal_url) as journal:
        journal.open_drain().probe()
        yield "journal", f"{journal.url} can be written"
    with pipeline.destination_client() as client:
        client.is_storage_initialized()
        source = _source(pipeline, options)
        destinations.for_source(source, pipeline.destination, client.capabilities)
    yield "destination", f"{pipeline.destination.destination_name} answers, and can keep each row once"
    with SmsClient.of(options) as sms:
        for app_id in options.sms_sdk_app_ids:
            sms.check(REPLIES, app_id)
            yield "application", f"{app_id}: network, signature and permission are right"


@contextmanager
def demo_options() -> Iterator[dict[str, Any]]:
    """The simulator in a process of its own, with replies waiting, and the options to reach it."""
    from sms_source.simulator import SimulatorProcess, demo_replies

    with SimulatorProcess(app_ids=DEMO_APP_IDS) as simulator:
        for number, app_id in enumerate(DEMO_APP_IDS):
            simulator.enqueue(app_id, demo_replies(DEMO_REPLIES, seed=number, now=int(time.time())))
        yield {
            "sms_sdk_app_ids": list(DEMO_APP_IDS),
            "credentials": {"secret_id": simulator.secret_id, "secret_key": simulator.secret_key},
            "api_endpoint": simulator.url,
            "journal_url": "sms_journal_demo",
        }


@contextmanager
def configured_options() -> Iterator[dict[str, Any]]:
    """No options but those of dlt's configuration, whose names are checked first."""
    check_names()
    yield {}


@contextmanager
def stop_on_signals(notice: Callable[[str], None] | None = None) -> Iterator[threading.Event]:
    """An event that the first SIGTERM or Ctrl-C sets; a second one ends the process at once.

    Nothing in the journal is lost by either: a pull in flight is, by the second. `notice` is given a line
    that says so, in the signal's handler.
    """
    stop = threading.Event()
    tell = notice or (lambda text: os.write(2, f"{text}\n".encode()))

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()
        name = signal.Signals(number).name
        tell(f"{name}: pulling ends, what was pulled is being loaded. Again to stop at once.")

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    """Runs the job with command line arguments; returns the exit status."""
    args = _parse(arguments)
    new_output: type[Output] = JsonOutput if args.log_format == "json" else TextOutput
    output = new_output(verbose=args.verbose)
    output.begin()
    try:
        with demo_options() if args.demo else configured_options() as given:
            options = resolve_configuration(SmsSourceConfiguration(), sections=SECTIONS, explicit_value=given)
            pipeline = dlt.pipeline(
                DEMO_PIPELINE if args.demo else PIPELINE,
                destination=_destination(args.destination),
                dataset_name=args.dataset,
                progress=args.progress,
            )
            if args.check:
                for what, detail in check(pipeline, options):
                    output.checked(what, detail)
                output.no_reply_taken()
            else:
                _run(pipeline, options, args, output)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one clear message
        return output.error(error)
    return 0


def _configure_dlt() -> None:
    """Changes defaults of dlt, where nothing is configured.

    What is loaded is deleted: the archive is the journal, with its retention. And DuckDB has one thread: a
    package takes it no longer than with two (measured), and half the memory, and the other cores stay free.
    """
    if dlt.config.get("load.delete_completed_jobs") is None:
        dlt.config["load.delete_completed_jobs"] = True
    credentials = "destination.duckdb.credentials"
    if dlt.config.get(credentials) is None and dlt.secrets.get(credentials) is None:
        dlt.secrets[f"{credentials}.global_config"] = {"threads": 1}


def _forget_packages(pipeline: dlt.Pipeline) -> None:
    """Deletes what dlt keeps of each package it ever loaded, its rows' files or not; but for the last few."""
    if dlt.config["load.delete_completed_jobs"]:
        loaded = Path(pipeline.working_dir, "load", LoadStorage.LOADED_FOLDER)
        for load_id in sorted(pipeline.list_completed_load_packages())[:-KEPT_PACKAGES]:
            shutil.rmtree(loaded / load_id, ignore_errors=True)


def _destination(name: str) -> AnyDestination:
    """The destination of that name, with its files in the current directory.

    dlt remembers the directory in which a pipeline first ran: a second checkout would load into the first
    one's database.
    """
    destination = Destination.from_reference(name)
    if destination is None:
        raise ConfigurationError("--destination needs the name of a destination of dlt, such as duckdb.")
    if issubclass(destination.spec, WithLocalFiles):
        destination.config_params["local_dir"] = os.path.abspath(dlt.current.run_context().local_dir)
    return destination


def _run(
    pipeline: dlt.Pipeline, options: SmsSourceConfiguration, args: argparse.Namespace, output: Output
) -> None:
    with stop_on_signals(output.notice) as stop:
        if args.follow is not None:
            _follow(pipeline, options, args.follow, stop, output)
            output.where(pipeline)
        else:
            summary = load_replies(pipeline, options, replay=args.replay, stop=stop)
            output.summary(summary)
            summary.raise_for_failure()
            if summary.total("pulls"):
                output.where(pipeline)
    if stop.is_set() and args.follow is None:
        raise InterruptedError("Stopped by a signal before the queues were empty. Run again for the rest.")


def _follow(
    pipeline: dlt.Pipeline,
    options: SmsSourceConfiguration,
    interval: float,
    stop: threading.Event,
    output: Output,
) -> None:
    """Drains again and again, from one beginning to the next at the interval, until it is to stop.

    A round that fails ends it, on purpose: whoever supervises the process starts a new one, and what a new
    process finds is the case that is proved.
    """
    while True:
        due = time.monotonic() + interval
        summary = load_replies(pipeline, options, stop=stop)
        output.round(summary)
        summary.raise_for_failure()
        # Not stop.wait(): a signal's handler that sets an event just as it is waited for hangs.
        while not stop.is_set() and (pause := due - time.monotonic()) > 0:
            time.sleep(min(pause, 0.1))
        if stop.is_set():
            output.end()
            return


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="load_replies.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", action="store_true", help="run against the bundled simulator")
    parser.add_argument("--destination", default="duckdb", metavar="NAME", help="dlt destination (duckdb)")
    parser.add_argument(
        "--dataset", default="sms", metavar="NAME", help="dataset, or schema, of the tables (sms)"
    )
    parser.add_argument("--check", action="store_true", help="prove that a run can work, and take no reply")
    parser.add_argument("--follow", type=_seconds, metavar="SECONDS", help="keep draining, at this interval")
    parser.add_argument(
        "--replay", action="store_true", help="load the journal's archive again; pull nothing"
    )
    parser.add_argument(
        "--progress",
        metavar="NAME",
        choices=["tqdm", "log", "enlighten", "alive_progress"],
        help="dlt's progress display: tqdm (on a terminal), log, enlighten or alive_progress",
    )
    parser.add_argument(
        "--log-format",
        default="text",
        choices=["text", "json"],
        help="text for a person, or one JSON object a line (text)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    if args.log_format == "json" and args.progress:
        parser.error("--progress is for a terminal, and --log-format json for a program")
    if args.follow is not None and args.replay:
        parser.error("--replay loads the archive once, and does not follow")
    if args.log_format == "text" and args.progress is None and sys.stderr.isatty():
        args.progress = "tqdm"
    return args


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    status = main()
    gc.freeze()  # the process ends: nothing is worth collecting
    sys.exit(status)
