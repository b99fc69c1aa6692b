"""The dlt source, for a pipeline of one's own."""

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Union

import dlt
from dlt.common.configuration.container import Container
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.storages.load_package import LoadPackageStateInjectableContext
from dlt.extract import DltResource

from sms_source import settings
from sms_source.configuration import SmsSourceConfiguration
from sms_source.credentials import TencentCloudCredentials
from sms_source.errors import ConfigurationError
from sms_source.journal.journal import Journal
from sms_source.journal.opening import open_journal
from sms_source.loading import commits, destinations
from sms_source.loading.extraction import Extraction
from sms_source.loading.idioms import refuse_what_loses_records
from sms_source.loading.resources import resources_of
from sms_source.loading.tables import Tables
from sms_source.loading.target import owner_of, set_up
from sms_source.pulling.drain import Drain
from sms_source.pulling.report import DrainReport

logger = logging.getLogger(__name__)


@dlt.source(name="sms_source", section="sms_source", spec=SmsSourceConfiguration)
def sms_source(
    sms_sdk_app_ids: Union[str, list[str]] = dlt.config.value,
    credentials: TencentCloudCredentials = dlt.secrets.value,
    api_region: str = settings.API_REGION,
    api_endpoint: str = settings.API_ENDPOINT,
    api_language: str = settings.API_LANGUAGE,
    journal_url: str = settings.JOURNAL_URL,
    journal_retention_days: float = settings.JOURNAL_RETENTION_DAYS,
    journal_encryption_key: Union[str, list[str], None] = None,
    pseudonym_key: dlt.TSecretStrValue | None = None,
    pulls_per_second: int = settings.MAX_PULLS_PER_SECOND,
    pull_workers: int = settings.PULL_WORKERS,
    pull_limit: int = settings.MAX_PULL_LIMIT,
    pull_timeout: float = settings.PULL_TIMEOUT,
    pull_feeds: Union[str, list[str], None] = None,
    *,
    replay: bool = False,
    allow_duplicates_in: str | None = None,
    report: DrainReport | None = None,
) -> Iterable[DltResource]:
    """Return records of one or more applications: one load package a call.

    Beside `load()`, this promises less: each record is in the destination once, also after a kill, if a later
    run of this pipeline succeeds. What an earlier run left pending has to be loaded, or emptied with
    `empty_working_directory`, before. A queue that holds more than a package may is not drained by one call:
    look at the `report`. An error ends the drain, but what was pulled is loaded; it is in the report, and
    raised only when there is nothing to load.

    Args:
        sms_sdk_app_ids: the applications' ids in the SMS console; a list, or one.
        credentials: secret id and key (and token), as dlt resolves them, or a credential object of
            Tencent Cloud's SDK.
        api_region: the region of the queues; each region has its own.
        api_endpoint: `https://` and host; `http://` only to a loopback address.
        api_language: of the API's error messages, `en-US` or `zh-CN`.
        journal_url: the folder where answers are kept; must outlive the machine's failures as well as
            the records should.
        journal_retention_days: days that loaded answers are kept; 0 keeps none.
        journal_encryption_key: the keys that the journal is encrypted with, a list or one, each base64 of 32
            bytes. The first writes, all read; `"none"` in the first place writes in clear.
        pseudonym_key: replaces phone numbers by pseudonyms, see `sms_source.pseudonym`.
        pulls_per_second: requests a second at most, for an account's action; the API's quota is 100.
        pull_workers: requests in flight at most, from 1 to 256.
        pull_limit: records a request, from 1 to 100.
        pull_timeout: seconds for one request.
        pull_feeds: the feeds to drain: `replies`, which is the default, and `receipts`.
        replay: load the journal's whole archive again, and pull nothing.
        allow_duplicates_in: the name of a destination that is accepted although it can't keep a row from
            being there twice, or missing for a while, after a load that was killed; any other such
            destination is refused. `load()` has it, too.
        report: is filled with what was done.

    Raises:
        ConfigurationError: an option is missing or can't be right; or, as the cause of dlt's error and before
            the first pull, the destination or what was done to the source would lose records or double them.
    """
    options = SmsSourceConfiguration(
        credentials=credentials,
        sms_sdk_app_ids=sms_sdk_app_ids,
        api_region=api_region,
        api_endpoint=api_endpoint,
        api_language=api_language,
        journal_url=journal_url,
        journal_retention_days=journal_retention_days,
        journal_encryption_key=journal_encryption_key,
        pseudonym_key=pseudonym_key,
        pulls_per_second=pulls_per_second,
        pull_workers=pull_workers,
        pull_limit=pull_limit,
        pull_timeout=pull_timeout,
        pull_feeds=["replies"] if pull_feeds is None else pull_feeds,
    )
    return resources_of(lambda: _tables(options, report, allow_duplicates_in, replay=replay))


def _tables(
    options: SmsSourceConfiguration,
    report: DrainReport | None,
    allow_duplicates_in: str | None,
    *,
    replay: bool,
) -> Iterator[Tables]:
    """Yield the rows of one extraction of whichever pipeline runs it."""
    told = report or DrainReport()
    pipeline = _pipeline_at_hand()
    destination = _destination(pipeline, allow_duplicates_in)
    with open_journal(options) as journal:
        if pipeline and pipeline.destination:
            set_up(pipeline.destination, journal.identity.journal_id)
        items = journal.everything()
        drain = None
        if not replay:
            items = _unloaded(journal, pipeline, timedelta(days=options.journal_retention_days))
            drain = Drain(options, journal.open_drain(), report=told)
        extraction = Extraction(
            journal,
            items,
            drain,
            feeds=options.pull_feeds,
            destination=destination,
            pseudonym_key=options.pseudonym_key,
            report=told,
            is_bounded=not replay,
        )
        anything = False
        for tables in extraction.tables():
            anything = anything or bool(tables.pulls.num_rows)
            yield tables
        if drain:
            drain.close()
            _tell(told, anything=anything, is_reported=report is not None)


def _tell(report: DrainReport, *, anything: bool, is_reported: bool) -> None:
    """Raise what ended the drain when nothing is lost by it; else log it where nobody has the report."""
    if not anything:
        report.raise_for_failure()
    if not is_reported:
        for failure in report.failures:
            logger.error("%s", failure)
    if not report.drained:
        logger.warning("The queues are not drained: run the pipeline again for the rest.")


def _pipeline_at_hand() -> dlt.Pipeline | None:
    """Return the pipeline that extracts; None when somebody looks at rows without one.

    dlt tells the *active* pipeline, which may be another one: the package's folder shows it.
    """
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return None
    package = Path(Container()[LoadPackageStateInjectableContext].storage.storage.storage_path)
    pipeline = dlt.current.pipeline()
    if not package.is_relative_to(pipeline.working_dir):
        raise ConfigurationError(
            f"The active pipeline is {pipeline.pipeline_name!r}, and another one extracts: call "
            "activate() of the pipeline that is to extract. Nothing was pulled."
        )
    return pipeline


def _destination(pipeline: dlt.Pipeline | None, allow_duplicates_in: str | None) -> destinations.Destination:
    if pipeline is None:
        return destinations.NOTEBOOK
    if pipeline.destination is None:
        raise ConfigurationError("The pipeline has no destination, which decides how a row gets there once.")
    source = dlt.current.source()
    refuse_what_loses_records(source, pipeline)
    return destinations.for_pipeline(pipeline, source, allow_duplicates_in=allow_duplicates_in)


def _unloaded(journal: Journal, pipeline: dlt.Pipeline | None, retention: timedelta) -> list[str]:
    """Archive what the pipeline's state says is loaded; return what is not."""
    if pipeline is None or pipeline.destination is None:
        return journal.unloaded()
    owner: Any = owner_of(pipeline.destination, pipeline.pipeline_name, pipeline.dataset_name)
    journal.claim(owner)
    journal.finish_commits(journal.unloaded())
    state = dlt.current.resource_state()
    if loaded := commits.loaded_items(journal, journal.unloaded(), state, pipeline):
        journal.commit(loaded, state["load_id"], retention)
    return journal.unloaded()
