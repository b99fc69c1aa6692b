"""Kills while pushes arrive; `make test-receive` does it 300 times."""

from pathlib import Path

import pytest

from tests.receiving.harness import Harness


@pytest.mark.long
def test_kills_lose_and_double_nothing(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered with success is there, once."""
    for name in ("CREDENTIALS__SECRET_ID", "CREDENTIALS__SECRET_KEY", "SMS_SDK_APP_IDS", "API_ENDPOINT"):
        monkeypatch.setenv(f"SOURCES__SMS_SOURCE__{name}", "")  # the harness sets them: put back afterwards
    result = Harness(kills=6, seed=1, folder=own_folders).run()
    assert result.violations == []
    assert result.accepted > 0
