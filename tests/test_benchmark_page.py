"""The benchmark's page, whose parts are measured one at a time."""

from itertools import permutations
from pathlib import Path

import pytest

from tests.benchmark.page import RECEIVING, UNUSUAL, VIEWS, put, put_rows

PARTS = {
    "first": "# Benchmark\n\n## Limit\n\n1\n",
    "views": f"{VIEWS}: 10\n\n2\n",
    "unusual": f"{UNUSUAL}\n\n4\n",
    "receiving": f"{RECEIVING}\n\n3",
}


@pytest.mark.parametrize("names", [*permutations(PARTS)])
def test_a_part_that_is_measured_leaves_the_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Whichever part is written last, the page has all of them, each once and in their order."""
    page = tmp_path / "benchmark.md"
    for name in names:
        put(page, "# Benchmark\n\nof before" if name == "first" else PARTS[name])
    for name in names:
        put(page, PARTS[name])
    assert page.read_text() == "\n\n".join(part.strip() for part in PARTS.values()) + "\n"


def test_a_row_that_is_measured_again_leaves_the_others(tmp_path: Path) -> None:
    """Each takes minutes; the head of the table stands there once."""
    page = tmp_path / "benchmark.md"
    head = f"{UNUSUAL}\n\n| | measured |\n|---|--:|"
    for row in ("| a | 1 |", "| b | 2 |", "| a | 3 |"):
        put_rows(page, head, [row])
    assert page.read_text() == f"{head}\n| a | 3 |\n| b | 2 |\n"
