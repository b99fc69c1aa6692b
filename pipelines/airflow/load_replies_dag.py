"""Loads the replies to Tencent Cloud SMS every quarter of an hour, each exactly once. Airflow 3.2 or newer.

**Deploy it** in two steps. Install the project's wheel where Airflow runs tasks, with dlt's extra for your
destination (`pip install tencent_sms_replies-*.whl "dlt[postgres]"`). Put the folder `pipelines`, as it is,
into the folder of your DAGs, or make it the `subdir` of a Git bundle.

**Configure it** the dlt way, in the environment of the workers or in the Airflow variable `dlt_secrets_toml`,
which dlt reads like a `secrets.toml`:

```toml
[sources.sms_source]
sms_sdk_app_ids = ["1400006666"]
journal_url = "/mnt/shared/sms_journal" # on storage that outlives the worker, and that every worker reaches

[sources.sms_source.credentials]
secret_id = "<SecretId>"
secret_key = "<SecretKey>"

[pipelines.sms_replies]
destination_type = "postgres"
dataset_name = "sms" # the default

[destination.postgres]
credentials = "postgresql://loader:<password>@warehouse/analytics"
```

The keys may be in an Airflow connection `tencent_sms` instead: the login is the SecretId, the password the
SecretKey, and `token` in the extra is the token of temporary keys.

**Why a plain task**, and not dlt's `PipelineTasksGroup`: the queue hands each reply out once, so what was
pulled must survive whatever becomes of the task. `PipelineTasksGroup` drops the pipeline's working directory
when a task starts, keeps its data in a random folder, and wipes that when the task fails, too: a load package
that waits for its destination is gone with it. Here the answers are in the journal before anything else.

**What that makes safe:** a retry, a worker that dies, clearing the task and running it again. Each run first
loads what the journal holds and no committed load names. The interval is no filter: a run takes what the
queues hold, however old. A task that is marked failed, or whose worker shuts down, gets a SIGTERM: it stops
pulling and loads what it has. Airflow may kill it five seconds later; then the next run loads the rest.
"""
# ruff: noqa: INP001 - with an __init__.py, this folder would hide Airflow from the scripts in the one above

import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Connection, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

CONNECTION = "tencent_sms"

logger = logging.getLogger("sms_source.airflow")


@dag(
    dag_id="load_replies",
    schedule="*/15 * * * *",
    # The queue has no past to catch up with: the next run takes all that waits.
    catchup=False,
    # Two runs would contend for the journal, which refuses the second.
    max_active_runs=1,
    doc_md=__doc__,
    tags=["dlt", "sms"],
)
def load_replies_dag() -> None:
    """One task: all of a run is one process, which holds the journal from its start to its end."""

    @task(
        retries=3,
        retry_delay=timedelta(minutes=1),
        retry_exponential_backoff=True,
        # The API's quota lets a drain take 36 million replies an hour; what takes longer hangs.
        execution_timeout=timedelta(hours=2),
        # One return value, the whole summary.
        multiple_outputs=False,
    )
    def load_replies() -> dict[str, Any]:
        """Empties the queues; returns what was done."""
        # Imported here: Airflow reads this file often, and dlt takes a second. `pipelines` is where this file
        # is, whichever folder Airflow has been told of.
        sys.path.append(str(Path(__file__).resolve().parents[2]))
        # Or dlt asks for eight hundred variables of Airflow, a request each, down to a bare `token`.
        os.environ.setdefault("PROVIDERS__AIRFLOW_SECRETS__ONLY_TOML_FRAGMENTS", "true")
        from sms_source.cli.explain import WRONG_CONFIGURATION, explain

        try:
            return _run()
        except Exception as error:  # whatever it is, the task fails with one clear message
            logger.debug("The task failed.", exc_info=True)
            message, status = explain(error)
        # A retry does not mend a configuration; anything else may have passed by then.
        raise AirflowFailException(message) if status == WRONG_CONFIGURATION else AirflowException(message)

    load_replies()


def _run() -> dict[str, Any]:
    import dlt
    from dlt.common.configuration import resolve_configuration

    from pipelines.load_replies import PIPELINE, configured_options, load_replies, stop_on_signals
    from sms_source.configuration import SECTIONS, SmsSourceConfiguration, check_names

    section = f"pipelines.{PIPELINE}"
    destination = _required(f"{section}.destination_type", "a destination of dlt, such as postgres")
    journal_url = _required("sources.sms_source.journal_url", "a folder that outlives the worker")
    with configured_options() as given:
        options = resolve_configuration(
            SmsSourceConfiguration(),
            sections=SECTIONS,
            explicit_value={**given, **_keys_of_connection(), "journal_url": _lasting(journal_url)},
        )
    check_names()  # once more: what Airflow's variable holds is known only now
    pipeline = dlt.pipeline(
        PIPELINE, destination=destination, dataset_name=dlt.config.get(f"{section}.dataset_name") or "sms"
    )
    # Airflow's own handler of SIGTERM does nothing for a plain task.
    with stop_on_signals() as stop:
        summary = load_replies(pipeline, options, stop=stop)
    for line in summary.lines():
        print(line)
    summary.raise_for_failure()
    if stop.is_set():
        raise InterruptedError(
            "Stopped by a signal before the queues were empty. The next run loads the rest."
        )
    return summary.as_dict()


def _required(key: str, expected: str) -> str:
    """A value that has no default which would be right on a worker."""
    import dlt

    from sms_source.errors import ConfigurationError

    value: str | None = dlt.config.get(key)
    if not value:
        raise ConfigurationError(
            f"{key} is not configured; expected {expected}. Set {key.upper().replace('.', '__')} in the "
            "workers' environment, or the same in the Airflow variable dlt_secrets_toml."
        )
    return value


def _lasting(journal_url: str) -> str:
    """Refuses a folder that depends on where the worker happens to run."""
    from sms_source.errors import ConfigurationError

    if "://" not in journal_url and not Path(journal_url).expanduser().is_absolute():
        raise ConfigurationError(
            f"journal_url is {journal_url!r}; expected an absolute path or a URL, on storage that outlives "
            "the worker: what a run has pulled is nowhere else until it is loaded."
        )
    return journal_url


def _keys_of_connection() -> dict[str, Any]:
    """The keys in Airflow's connection, if there is one; else dlt finds them."""
    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return {}
    keys = {"secret_id": connection.login, "secret_key": connection.password}
    if token := connection.extra_dejson.get("token"):
        keys["token"] = token
    return {"credentials": keys}


load_replies_dag()
