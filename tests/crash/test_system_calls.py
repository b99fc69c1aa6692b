"""The recording that power cuts are simulated from, held against what the system saw."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.system_calls import TRACED, traced

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here; it needs Linux")
def test_the_recording_has_each_system_call_that_changes_or_flushes_the_journal(tmp_path: Path) -> None:
    """In their order, with their sizes: nothing of the journal's is written in a way that goes unseen."""
    folder, log, trace = tmp_path / "folder", tmp_path / "log", tmp_path / "trace"
    folder.mkdir()
    strace = ["strace", "-f", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={TRACED}"]
    history = [sys.executable, "-m", "tests.model.system_calls", str(folder), str(log)]
    subprocess.run([*strace, *history], cwd=ROOT, check=True)
    recorded = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
    assert len(recorded) > 150
    assert recorded == traced(folder, trace.read_text())
