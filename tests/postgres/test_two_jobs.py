"""Two jobs into one dataset at once, each with queues and a journal of its own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Job, a_reply
from tests.crash.harness import Options
from tests.crash.harness import run as run_crash_harness
from tests.helpers.jobs import start_job, wait_until
from tests.postgres.conftest import PostgresWarehouse

SEED = 20_261_124


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(kills=6, replays=0.2), id="with a pipeline name each"),
        pytest.param(Options(kills=6, replays=0.2, same_name=True), id="with one pipeline name"),
        pytest.param(Options(kills=3, new_dataset=True, same_name=True), id="before the dataset exists"),
    ],
)
def test_kills_of_two_jobs_lose_and_double_nothing(options: Options, postgres: PostgresWarehouse) -> None:
    """Each reply is there once, and a job that is not killed ends with 0, whatever the other one does."""
    report = run_crash_harness(replace(options, destination="postgres", jobs=2, seed=SEED))
    print(report)
    assert not report.violations, str(report)
    assert report.kills >= options.kills
    assert report.counts["refused"] == 0, str(report)
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]


@pytest.fixture
def loaded(configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job) -> SimulatorProcess:
    """Provide a dataset that has its tables, and one reply."""
    configured.enqueue(APP, [a_reply("a")])
    assert job("--destination", "postgres")[0] == 0
    return configured


def test_jobs_of_one_name_stage_and_work_apart(
    loaded: SimulatorProcess, postgres: PostgresWarehouse, own_folders: Path
) -> None:
    """Both are held where they are about to merge: what each has staged is its own."""
    loaded.enqueue(APP, [a_reply("b")] * 300)
    loaded.enqueue(OTHER_APP, [a_reply("c")] * 200)
    with postgres.session() as holder, pytest.MonkeyPatch.context() as elsewhere:
        holder.execute("lock table sms.replies in share mode")
        jobs = [start_job("--destination", "postgres")]
        wait_until(lambda: postgres.waiting() == 1 or jobs[0].poll() is not None)
        elsewhere.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{OTHER_APP}"]')
        elsewhere.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", "other_journal")
        jobs.append(start_job("--destination", "postgres"))
        wait_until(lambda: postgres.waiting() == 2 or jobs[1].poll() is not None)
        staged = postgres.query(
            "select table_schema from information_schema.tables "
            "where table_schema ~ '^sms_staging_' and table_name = 'replies'"
        )
        rows = {postgres.query(f"select count(*) from {schema}.replies")[0][0] for (schema,) in staged}
        directories = list((own_folders.parent / "dlt").rglob("load/normalized/*/started_jobs"))
    assert [job.communicate()[1] for job in jobs] == ["", ""]
    assert [job.returncode for job in jobs] == [0, 0]
    assert (len(staged), rows) == (2, {300, 200})
    assert len(directories) == 2
    assert postgres.contents() == ["a", *"b" * 300, *"c" * 200]


_OWN_PIPELINE = """
import sys, dlt
from sms_source import sms_source
pipeline = dlt.pipeline(sys.argv[1], destination="postgres", dataset_name="sms")
pipeline.run(sms_source())
"""


def test_two_pipelines_of_one_s_own_stage_apart(
    loaded: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """As two jobs do: what each has staged is its own, and both come to their end."""
    loaded.enqueue(APP, [a_reply("b")] * 300)
    loaded.enqueue(OTHER_APP, [a_reply("c")] * 200)
    with postgres.session() as holder, pytest.MonkeyPatch.context() as elsewhere:
        holder.execute("lock table sms.replies in share mode")
        own: list[subprocess.Popen[str]] = []
        for number, app_id in enumerate((APP, OTHER_APP), start=1):
            elsewhere.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{app_id}"]')
            elsewhere.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", f"journal_{number}")
            program = [sys.executable, "-c", _OWN_PIPELINE, f"own_{number}"]
            own.append(subprocess.Popen(program, stderr=subprocess.PIPE, text=True))
            wait_until(lambda: postgres.waiting() == number or own[-1].poll() is not None)  # noqa: B023
        assert postgres.waiting() == 2
    said = [pipeline.communicate()[1] for pipeline in own]
    assert [pipeline.returncode for pipeline in own] == [0, 0], said
    assert postgres.contents() == ["a", *"b" * 300, *"c" * 200]


def test_what_the_server_still_does_for_a_killed_job_does_not_meet_the_next_run(
    loaded: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """A killed client's statement goes on until it ends; the next run's package waits for that."""
    loaded.enqueue(APP, [a_reply("b")] * 300)
    with postgres.session() as holder:
        holder.execute("lock table sms.replies in share mode")
        jobs: list[subprocess.Popen[str]] = []
        for number in (1, 2):
            jobs.append(start_job("--destination", "postgres"))
            wait_until(lambda: postgres.waiting() == number or jobs[-1].poll() is not None)  # noqa: B023
            if number == 1:
                jobs[0].kill()
                jobs[0].wait()
        assert postgres.waiting() == 2
    assert jobs[1].communicate()[1] == ""
    assert jobs[1].returncode == 0
    assert postgres.contents() == ["a", *"b" * 300]
