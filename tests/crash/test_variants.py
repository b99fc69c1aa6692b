"""The crash harness, in short, where more than the process is lost with each kill."""

from dataclasses import replace

import pytest

from tests.crash.harness import Options
from tests.crash.test_crash import SEED, assert_promise_is_kept


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
        pytest.param(Options(kills=8, package_replies=60), id="pulling while packages are loaded"),
    ],
)
def test_the_journal_makes_up_for_what_else_a_kill_costs(options: Options) -> None:
    """Whatever else is lost with each kill, the journal's replies are loaded once."""
    share = 0.0 if options.package_replies else 0.05
    assert_promise_is_kept(replace(options, seed=SEED, exec_share=share))
