"""The promise, asserted of a run of the harness."""

from tests.crash.harness import Options, run

SEED = 20210111


def assert_promise_is_kept(options: Options) -> None:
    """Run the harness; fail with its whole report."""
    report = run(options)
    print(report)
    assert not report.violations, f"seed {options.seed}\n{report}"
    assert report.kills >= options.kills
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]
