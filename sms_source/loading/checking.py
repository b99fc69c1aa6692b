"""check(): all that a run needs, proved without taking a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dlt.common.destination import AnyDestination

from sms_source import settings
from sms_source.api.client import SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import JournalError
from sms_source.feeds import RECEIPTS, feeds_of
from sms_source.journal.identity import NO_DATABASE
from sms_source.journal.opening import open_journal
from sms_source.loading import commits, last_run
from sms_source.loading.keeping import as_found
from sms_source.loading.loader import DATASET, PIPELINE, resolve_options
from sms_source.loading.target import owner_of, target_of
from sms_source.loading.working_directory import WorkingDirectory

_PROBE = "probe"


class Finding(NamedTuple):
    """A part of what a run needs, and what is known of it."""

    what: str
    detail: str


def check(
    destination: str | AnyDestination = "duckdb",
    dataset_name: str = DATASET,
    pipeline_name: str = PIPELINE,
    **options: Any,
) -> list[Finding]:
    """Prove that a run can work: configuration, journal, destination, network, signature and permission.

    Takes no record: it asks the look-up by phone number about a number that nobody has. Arguments as for
    `load`.

    Raises:
        SmsSourceError: what a run would fail with, or refuse.
    """
    return list(findings(resolve_options(options), destination, dataset_name, pipeline_name))


def findings(
    options: SmsSourceConfiguration,
    destination: str | AnyDestination,
    dataset_name: str,
    pipeline_name: str,
) -> Iterator[Finding]:
    """Yield what holds; raise what is wrong, as `check`."""
    yield Finding(
        "configuration", f"applications {', '.join(options.sms_sdk_app_ids)} in {options.api_region}"
    )
    last_run.check(pipeline_name, options)
    journal = open_journal(options)
    with as_found(), journal:
        target = target_of(destination, journal.identity.journal_id)
        owner = owner_of(target, pipeline_name, dataset_name)
        journal.refuse_another(owner)
        try:
            journal.storage.remove([_PROBE])  # of a check that was killed
            journal.storage.reserve(_PROBE, settings.JOURNAL_RESERVE).discard()
        except OSError as error:
            raise JournalError(f"The journal {journal.url} can't be written: {error}.") from error
        waiting = len(journal.unloaded())
        yield Finding(
            "journal",
            f"{journal.url} can be written"
            + (f"; {waiting} drains wait for the next run" if waiting else ""),
        )
        from sms_source.loading.engine import Engine  # with Arrow, which load() may do without

        with WorkingDirectory(pipeline_name, journal.identity.journal_id) as directory:
            allowed = options.allow_duplicates_in
            engine = Engine(target, dataset_name, pipeline_name, None, directory, allowed)
            engine.refuse_what_is_in_the_way(owner.location)
            archived = {name.load_id for name in journal.archive.names()}
            missing = commits.missing_loads(engine.pipeline, archived, journal.identity.tables)
        if missing:
            journal.note(database=NO_DATABASE)
    keeps = (
        "a row may be there twice, as is allowed"
        if allowed == owner.destination
        else "can keep each row once"
    )
    detail = f"{owner.destination} answers, and {keeps}"
    if missing:
        packages = "a package" if len(missing) == 1 else f"{len(missing)} packages"
        detail += f"; it lacks {packages} that had been loaded: the next run loads that again"
    yield Finding("destination", detail)
    with SmsClient.of(options) as client:
        feeds = feeds_of(options.pull_feeds)
        for feed in feeds:
            for app_id in options.sms_sdk_app_ids:
                client.check(feed, app_id)
                of = f" for {feed.name}" if len(feeds) > 1 else ""
                detail = f"{app_id}: network, signature and permission are right{of}"
                yield Finding("application", detail)
    if RECEIPTS in feeds:
        yield Finding(
            RECEIPTS.name,
            "a run empties their queue, too: whatever else reads it gets only what a run leaves",
        )
