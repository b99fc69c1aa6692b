"""The tables of the documents say what the code does."""

import pytest

from tests.documents import DOCS, TABLES, with_tables


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_those_that_the_code_makes(name: str) -> None:
    """A table that was true once misleads; `python -m tests.documents` makes it anew."""
    page = (DOCS / name).read_text(encoding="utf-8")
    assert with_tables(page, name) == page
