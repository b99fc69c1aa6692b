"""What docs/privacy.md shows can be done as it stands there."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

import sms_source
from sms_source.journal.bundle import read_bundle
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.privacy.keys import KEY
from tests.privacy.scan import found

PAGE = Path(__file__).resolve().parents[2] / "docs" / "privacy.md"
NUMBER, OTHER, TEXT = "+8613712345678", "+8613800138000", "what only one person wrote"


def code(containing: str) -> str:
    """Return the page's block of Python with this in it."""
    blocks: list[str] = [
        b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if containing in b
    ]
    return blocks[0]


def test_a_file_can_be_read_without_this_program(configured: SimulatorProcess, own_folders: Path) -> None:
    """Ten lines and a library open what is encrypted, a bundle here."""
    configured.enqueue(APP, [a_reply(TEXT)])
    sms_source.load(journal_encryption_key=KEY)
    (bundle,) = (own_folders / "sms_journal" / "archive").iterdir()
    scope: dict[str, Any] = {}
    exec(code("open_file"), scope)  # noqa: S102 - what the page shows
    (member,) = read_bundle(scope["open_file"](str(bundle), base64.b64decode(KEY)))
    assert TEXT.encode() in member.content


@pytest.mark.long
def test_a_copy_of_the_database_has_no_free_blocks(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """After an erasure and the page's recipe nothing is left in the file, and loads go on."""
    replies = [
        a_reply(f"{TEXT} {n}" if n % 50 == 7 else f"text {n}", PhoneNumber=NUMBER if n % 50 == 7 else OTHER)
        for n in range(3000)
    ]
    configured.enqueue(APP, replies)
    sms_source.load()
    sms_source.forget(NUMBER)
    exec(code("copy from database"), {})  # noqa: S102 - what the page shows
    assert found(warehouse.folder, [NUMBER, f"{TEXT} 1007"]) == set()
    configured.enqueue(APP, [a_reply("later")])
    sms_source.load()
    sms_source.load(replay=True)
    assert warehouse.query("select count(*) from sms.replies") == [(2941,)]
    assert warehouse.query("select count(*) from sms.opt_outs") == [(0,)]


@pytest.mark.parametrize("option", ["journal_encryption_key", "pseudonym_key", "tables_retention_days"])
def test_the_page_names_the_options(option: str) -> None:
    """A reader finds each."""
    assert f"`{option}`" in PAGE.read_text("utf-8")
