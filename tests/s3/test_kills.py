"""Kills of the job while its journal is in a store: nothing is lost or doubled."""

import pytest

from tests.crash.options import Options
from tests.crash.promise import SEED, assert_promise_is_kept


@pytest.mark.timeout(600)
def test_kills_of_the_job_lose_and_double_nothing(journal_url: str) -> None:
    """SIGKILL at random moments, on runners that keep nothing: what the store has is loaded, once."""
    assert_promise_is_kept(
        Options(kills=5, seed=SEED, workers=64, wipe_data=True, exec_share=0.1, journal_url=journal_url)
    )
