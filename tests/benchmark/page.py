"""The page of the figures: its parts, each of which is measured and written by itself."""

import re
from collections.abc import Iterable
from pathlib import Path

VIEWS = "## The views and the report"
UNUSUAL = "## Unusual work"
RECEIVING = "## Receiving"
SECTIONS = (VIEWS, UNUSUAL, RECEIVING)
"""What the headings of the parts after the first begin with; the first is all that stands before them."""


def put(page: Path, text: str) -> None:
    """Put a part into the page, in the place of an earlier one of it or where it belongs.

    Args:
        page: the file, which need not be there yet.
        text: begins with the heading of one of the `SECTIONS`; the page's first part otherwise.
    """
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = {_number(part): part for part in _parts(old)}
    parts[_number(text)] = text
    page.write_text("\n\n".join(part.strip() for _, part in sorted(parts.items())) + "\n", encoding="utf-8")


def put_rows(page: Path, text: str, rows: Iterable[str]) -> None:
    """Put a part that ends with a table into the page; rows of an earlier one stay, but for those given.

    Args:
        page: as of `put`.
        text: as of `put`, with the table's head.
        rows: of the table; what stands in the first cell tells them apart.
    """
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    earlier = next((part for part in _parts(old) if _number(part) == _number(text)), "")
    table = [line for line in earlier.splitlines() if line.startswith("| ")]
    by_name = {row.split("|")[1]: row for row in (*table, *rows)}
    head = {line.split("|")[1] for line in text.splitlines() if line.startswith("| ")}
    put(page, "\n".join([text, *(row for name, row in by_name.items() if name not in head)]))


def _parts(text: str) -> Iterable[str]:
    headings = "|".join(map(re.escape, SECTIONS))
    return filter(None, re.split(f"(?m)^(?={headings})", text))


def _number(part: str) -> int:
    return next((number for number, heading in enumerate(SECTIONS, 1) if part.startswith(heading)), 0)
