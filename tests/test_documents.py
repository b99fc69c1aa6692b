"""The tables of the documents say what the code does."""

import re
from pathlib import Path

import pytest

from tests.documents import DOCS, TABLES, with_tables


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_those_that_the_code_makes(name: str) -> None:
    """A table that was true once misleads; `python -m tests.documents` makes it anew."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert with_tables(page, name) == page


PAGES = sorted({*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Each link to a file, and each test that a promise is said to be shown by."""
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    tests = re.findall(r"`(tests/[\w/.]+)`", text)
    there = [(page.parent / link) for link in links] + [(DOCS.parent / name) for name in tests]
    assert [str(path) for path in there if not path.exists()] == []
