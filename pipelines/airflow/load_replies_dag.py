r"""Loads what people answer to SMS through Tencent Cloud, each record exactly once. Airflow 3.2 or newer.

**Install** the wheel where Airflow runs tasks, beside Airflow's own constraints, with the extra of your
destination, and of the journal's store:

```
pip install "apache-airflow==3.2.0" "dlt_tencent_sms-0.1.0-py3-none-any.whl[postgres,s3]" \
    --constraint constraints-3.11.txt
```

where `constraints-3.11.txt` is Airflow's file for its version and your Python. Then put this file into the
folder of your DAGs. It needs nothing else.

**Configure** it the dlt way, in the environment of the workers or in the Airflow variable `dlt_secrets_toml`,
which dlt reads like a `secrets.toml`:

```toml
[sources.sms_source]
sms_sdk_app_ids = ["1400006666"]
# On storage that outlives the worker, and that every worker reaches: a shared folder, or a bucket.
journal_url = "s3://company-journals/sms"

[sources.sms_source.credentials]
secret_id = "<SecretId>"
secret_key = "<SecretKey>"

[sources.sms_source.journal.credentials]
aws_access_key_id = "<key id>"
aws_secret_access_key = "<key>"

[pipelines.sms_replies]
destination_type = "postgres"
dataset_name = "sms" # the default

[destination.postgres]
credentials = "postgresql://loader:<password>@warehouse/analytics"
```

The keys may be in an Airflow connection `tencent_sms` instead: the login is the SecretId, the password the
SecretKey, and `token` in the extra is the token of temporary keys. The schedule is the environment variable
`PIPELINES__SMS_REPLIES__SCHEDULE` of the DAG processor, a cron expression (default `*/15 * * * *`).

**Downstream**: the task announces an asset for each table (`tencent_sms/replies`, `tencent_sms/receipts`,
`tencent_sms/pulls`, `tencent_sms/rejected_records`), on which other DAGs can be scheduled. It warns in its
log when the ledger gained a pull in doubt, and returns the counts of the run.

**Why a plain task**, and not dlt's `PipelineTasksGroup`: the queue hands each record out once, so what was
pulled must survive whatever becomes of the task. `PipelineTasksGroup` drops the pipeline's working directory
when a task starts, keeps its data in a random folder, and wipes that when the task fails, too. Here the
answers are in the journal before anything else.

**What that makes safe:** a retry, a worker that dies, clearing the task and running it again. Each run first
loads what the journal holds and no committed load names. The interval is no filter: a run takes what the
queues hold, however old. A task that is marked failed, or whose worker shuts down, gets a SIGTERM: it stops
pulling and loads what it has. Airflow may kill it five seconds later; then the next run loads the rest.
"""

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Connection, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

CONNECTION = "tencent_sms"
PIPELINE = "sms_replies"
ASSETS = [Asset(f"tencent_sms/{table}") for table in ("replies", "receipts", "pulls", "rejected_records")]

logger = logging.getLogger("sms_source.airflow")


@dag(
    dag_id="load_replies",
    schedule=os.environ.get("PIPELINES__SMS_REPLIES__SCHEDULE", "*/15 * * * *"),
    # The queue has no past to catch up with: the next run takes all that waits.
    catchup=False,
    # Two runs would contend for the journal, which refuses the second.
    max_active_runs=1,
    doc_md=__doc__,
    tags=["dlt", "sms"],
)
def load_replies_dag() -> None:
    """Define one task: a run is one process, which holds the journal from its start to its end."""

    @task(
        retries=3,
        retry_delay=timedelta(minutes=1),
        retry_exponential_backoff=True,
        # The API's quota lets a drain take 36 million records an hour; what takes longer hangs.
        execution_timeout=timedelta(hours=2),
        # One return value, the whole summary.
        multiple_outputs=False,
        outlets=ASSETS,
    )
    def load_replies() -> dict[str, Any]:
        """Empty the queues; return what was done."""
        # Or dlt asks for eight hundred variables of Airflow, a request each, down to a bare `token`.
        os.environ.setdefault("PROVIDERS__AIRFLOW_SECRETS__ONLY_TOML_FRAGMENTS", "true")
        # Imported here: Airflow reads this file often, and dlt takes a second.
        from sms_source.cli.explain import WRONG_CONFIGURATION, explain

        try:
            return _run()
        except Exception as error:  # whatever it is, the task fails with one clear message
            logger.debug("The task failed.", exc_info=True)
            message, status = explain(error, whereabouts=getattr(error, "whereabouts", ""))
        # A retry does not correct a configuration; anything else may have passed by then.
        raise AirflowFailException(message) if status == WRONG_CONFIGURATION else AirflowException(message)

    load_replies()


def _run() -> dict[str, Any]:
    import dlt

    import sms_source
    from sms_source.cli.signals import stop_on_signals

    section = f"pipelines.{PIPELINE}"
    destination = _required(f"{section}.destination_type", "a destination of dlt, such as postgres")
    journal_url = _required("sources.sms_source.journal_url", "a folder or a URL that outlives the worker")
    # Airflow's own handler of SIGTERM does nothing for a plain task.
    with stop_on_signals(logger.warning) as stop:
        summary = sms_source.load(
            destination,
            dlt.config.get(f"{section}.dataset_name") or "sms",
            PIPELINE,
            stop=stop,
            journal_url=_lasting(journal_url),
            **_keys_of_connection(),
        )
    for line in summary.lines():
        print(line)
    if in_doubt := summary.total("in_doubt"):
        logger.warning(
            "The ledger gained %d pulls in doubt, with at most %d records at risk.",
            in_doubt,
            summary.total("at_risk"),
        )
    summary.raise_for_failure()
    if stop.is_set():
        raise InterruptedError(
            "Stopped by a signal before the queues were empty. The next run loads the rest."
        )
    return summary.as_dict()


def _required(key: str, expected: str) -> str:
    """Return a value that has no default which would be right on a worker."""
    import dlt

    from sms_source import ConfigurationError

    value: str | None = dlt.config.get(key)
    if not value:
        raise ConfigurationError(
            f"{key} is not configured; expected {expected}. Set {key.upper().replace('.', '__')} in the "
            "workers' environment, or the same in the Airflow variable dlt_secrets_toml."
        )
    return value


def _lasting(journal_url: str) -> str:
    """Refuse a folder that depends on where the worker happens to run."""
    from sms_source import ConfigurationError

    if "://" not in journal_url and not Path(journal_url).expanduser().is_absolute():
        raise ConfigurationError(
            f"journal_url is {journal_url!r}; expected an absolute path or a URL, on storage that outlives "
            "the worker: what a run has pulled is nowhere else until it is loaded."
        )
    return journal_url


def _keys_of_connection() -> dict[str, Any]:
    """Return the keys in Airflow's connection, if there is one; else dlt finds them."""
    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return {}
    keys = {"secret_id": connection.login, "secret_key": connection.password}
    if token := connection.extra_dejson.get("token"):
        keys["token"] = token
    return {"credentials": keys}


load_replies_dag()
