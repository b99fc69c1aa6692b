"""The crash harness, in short: kills at random moments of the job's life, and its variants."""

from dataclasses import replace

import pytest

from tests.crash.harness import Options, run

SEED = 20210111


def assert_promise_is_kept(options: Options) -> None:
    """Runs the harness; fails with its whole report."""
    report = run(options)
    print(report)
    assert not report.violations, f"seed {options.seed}\n{report}"
    assert report.kills == options.kills
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]


def test_kills_at_random_moments_lose_and_double_nothing() -> None:
    """Every journaled reply is loaded once, and every answer cut off by a kill is in doubt."""
    assert_promise_is_kept(Options(kills=25, workers=16, seed=SEED))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(kills=8, wipe_working_directory=True), id="working directory wiped"),
        pytest.param(Options(kills=6, new_dataset=True), id="before the dataset exists"),
        pytest.param(Options(kills=8, drop_pending=True), id="pending packages dropped"),
        pytest.param(
            Options(kills=8, drop_pending=True, kill_drops=True), id="killed while dropping packages"
        ),
        pytest.param(Options(kills=8, retention_days=0), id="no retention"),
    ],
)
def test_the_journal_makes_up_for_what_else_a_kill_costs(options: Options) -> None:
    """Whatever else is lost with each kill, the journal's replies are loaded once."""
    assert_promise_is_kept(replace(options, seed=SEED, exec_share=0.05))
