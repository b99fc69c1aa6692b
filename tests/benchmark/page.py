"""The page of the figures: its parts, each of which is measured and written by itself."""

import re
from collections.abc import Iterable
from pathlib import Path

VIEWS = "## The views and the report"
RECEIVING = "## Receiving"
SECTIONS = (VIEWS, RECEIVING)
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


def _parts(text: str) -> Iterable[str]:
    headings = "|".join(map(re.escape, SECTIONS))
    return filter(None, re.split(f"(?m)^(?={headings})", text))


def _number(part: str) -> int:
    return next((number for number, heading in enumerate(SECTIONS, 1) if part.startswith(heading)), 0)
