"""The page of a warehouse in PostgreSQL; needs its server programs (tests/postgres/install.sh)."""

from pathlib import Path

import pytest

from sms_source.report import write_report
from tests.report import data
from tests.report.conftest import STORIES
from tests.views.conftest import DATABASES, Databases, server

__all__ = ["server"]

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("story", ["story", "hostile"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_the_same_whatever_database_it_is_made_of(
    request: pytest.FixtureRequest, own_folders: Path, story: str, language: str
) -> None:
    """Every figure, name and text of the same rows, in the same order."""
    rows = {
        table: [{name: _held(value) for name, value in row.items()} for row in its_rows]
        for table, its_rows in STORIES[story]().items()
    }
    pages = []
    for kind in DATABASES:
        folder = own_folders / kind
        folder.mkdir()
        warehouse = Databases(kind, folder, request).warehouse()
        data.fill(warehouse, rows)
        write_report(warehouse.pipeline, folder / "page.html", language=language, now=data.NOW)
        pages.append((folder / "page.html").read_text(encoding="utf-8"))
    assert 'id="responses"' in pages[0] or story == "hostile"
    assert pages[0] == pages[1]


def _held(value: object) -> object:
    """Return a value as PostgreSQL can hold it: see `sms_source.loading.destinations`."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
