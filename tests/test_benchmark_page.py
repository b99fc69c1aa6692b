"""The benchmark's page, whose parts are measured one at a time."""

from itertools import permutations
from pathlib import Path

import pytest

from tests.benchmark.page import RECEIVING, VIEWS, put

PARTS = {
    "first": "# Benchmark\n\n## Limit\n\n1\n",
    "views": f"{VIEWS}: 10\n\n2\n",
    "receiving": f"{RECEIVING}\n\n3",
}


@pytest.mark.parametrize("names", permutations(PARTS))
def test_a_part_that_is_measured_leaves_the_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Whichever part is written last, the page has all of them, each once and in their order."""
    page = tmp_path / "benchmark.md"
    for name in names:
        put(page, "# Benchmark\n\nof before" if name == "first" else PARTS[name])
    for name in names:
        put(page, PARTS[name])
    assert page.read_text() == "\n\n".join(part.strip() for part in PARTS.values()) + "\n"
