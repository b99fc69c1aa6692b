"""The crash harness, in short: kills at random moments of the job's life."""

import pytest

from tests.crash.options import Options
from tests.crash.promise import SEED, assert_promise_is_kept


@pytest.mark.long
def test_kills_at_random_moments_lose_and_double_nothing() -> None:
    """Every journaled reply is loaded once, and every answer cut off by a kill is in doubt."""
    assert_promise_is_kept(Options(kills=25, workers=16, seed=SEED))
