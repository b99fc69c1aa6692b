"""What tables and views are made from: a digest that changes when they are to be made anew, and only then."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sms_source
from sms_source.configuration import SmsSourceConfiguration
from sms_source.loading import made_from as module
from sms_source.loading.made_from import made_from

BOTH = ["replies", "receipts"]


def options(**given: Any) -> SmsSourceConfiguration:
    """Return options of which nothing is resolved."""
    return SmsSourceConfiguration(**{"opt_out_words": ["BASTA"], **given})


@pytest.fixture
def another_version(tmp_path: Path) -> ModuleType:
    """Provide the module as another version of this package has it, with views that a test may change."""
    package = Path(sms_source.__file__).parent
    shutil.copytree(package / "views", tmp_path / "views", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "loading" / "made_from.py"
    path.parent.mkdir()
    shutil.copy(str(module.__file__), path)
    spec = importlib.util.spec_from_file_location("another_version", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_what_stays_the_same_is_made_once() -> None:
    """In whatever order the feeds are named, and whatever else is configured."""
    before = made_from(BOTH, options())
    assert made_from(BOTH[::-1], options()) == before
    others = {"pull_limit": 5, "journal_url": "elsewhere", "tables_retention_days": 1.0}
    assert made_from(BOTH, options(**others)) == before
    assert len(before) == 16


@pytest.mark.parametrize(
    "changed",
    [
        {"create_views": False},
        {"opt_out_words": ["BASTA", "LEAVE"]},
        {"opt_out_words": []},
        {"views_time_zone": "Asia/Shanghai"},
    ],
    ids=str,
)
def test_each_option_of_the_views_has_them_made_anew(changed: dict[str, Any]) -> None:
    """Though no reply has come since: a quiet round would leave the old ones for good."""
    assert made_from(BOTH, options(**changed)) != made_from(BOTH, options())


def test_a_feed_has_its_table_made() -> None:
    """And one that is not drained any more is a change as well, back and forth."""
    assert len({made_from(feeds, options()) for feeds in ([], ["replies"], ["receipts"], BOTH)}) == 4


def test_another_version_of_a_view_has_them_made_anew(another_version: ModuleType) -> None:
    """One changed line of its SQL, or one more opt-out word in a list; what Python compiled is none of it."""
    package = Path(str(another_version.__file__)).parents[1]
    digests = [another_version.made_from(BOTH, options())]
    assert digests == [made_from(BOTH, options())]
    for name in ("opt_outs.sql", "opt_out_words.csv"):
        with (package / "views" / name).open("a") as file:
            file.write("\n")
        another_version._version_of_views.cache_clear()
        digests.append(another_version.made_from(BOTH, options()))
    assert len(set(digests)) == 3
    (package / "views" / "__pycache__").mkdir()
    another_version._version_of_views.cache_clear()
    assert another_version.made_from(BOTH, options()) == digests[-1]
