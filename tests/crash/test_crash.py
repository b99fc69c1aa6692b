"""The crash harness, in short: kills at random moments of the job's life."""

import pytest

from tests.crash.harness import Options, run

SEED = 20210111


def assert_promise_is_kept(options: Options) -> None:
    """Run the harness; fail with its whole report."""
    report = run(options)
    print(report)
    assert not report.violations, f"seed {options.seed}\n{report}"
    assert report.kills >= options.kills
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]


@pytest.mark.long
def test_kills_at_random_moments_lose_and_double_nothing() -> None:
    """Every journaled reply is loaded once, and every answer cut off by a kill is in doubt."""
    assert_promise_is_kept(Options(kills=25, workers=16, seed=SEED))
