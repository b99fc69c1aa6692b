"""What a journal says of itself: its format, and what it feeds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sms_source.errors import ConfigurationError
from sms_source.journal.identity import Owner
from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply

OWNER = Owner("sms_replies", "postgres", "sms")


def file_of(journal: Journal) -> Path:
    """Return the file that says it."""
    return Path(journal.url) / "journal.json"


def test_a_new_journal_has_an_id_and_no_owner(journal: Journal) -> None:
    """Until it is claimed, it says nothing on the disk."""
    assert len(journal.identity.journal_id) == 8
    assert journal.identity.owner is None
    assert not file_of(journal).exists()


def test_a_journal_feeds_one_pipeline(journal: Journal) -> None:
    """Another one would take for loaded what was loaded elsewhere."""
    journal.claim(OWNER)
    journal.claim(OWNER)
    for other in (
        replace(OWNER, pipeline="x"),
        replace(OWNER, destination="duckdb"),
        replace(OWNER, dataset="x"),
    ):
        with pytest.raises(
            ConfigurationError, match="belongs to pipeline 'sms_replies', destination 'postgres'"
        ):
            journal.claim(other)
        with pytest.raises(ConfigurationError, match="journal_url"):
            journal.refuse_another(other)


def test_what_it_says_is_there_for_the_next_user(journal: Journal) -> None:
    """Format 1, in a file that a person can read."""
    journal.claim(OWNER)
    journal.note(last_load="1.5", newest_reply="2026-01-01T00:00:00+00:00")
    identity = journal.identity
    journal.__exit__(None, None, None)
    with Journal(journal.url) as again:
        assert again.identity == identity
    found = json.loads(file_of(journal).read_text())
    assert (found["format"], found["owner"]["pipeline"], found["last_load"]) == (1, "sms_replies", "1.5")


def test_a_database_s_file_may_be_moved(journal: Journal, tmp_path: Path) -> None:
    """Not to a second place, while it is still at the first."""
    file = tmp_path / "a.duckdb"
    file.touch()
    here = Owner("sms_replies", "duckdb", "sms", str(file))
    there = replace(here, location=str(tmp_path / "b.duckdb"))
    journal.claim(here)
    with pytest.raises(ConfigurationError, match=r"b\.duckdb"):
        journal.claim(there)
    file.unlink()
    journal.claim(there)
    assert journal.identity.owner == there


@pytest.mark.parametrize("left", ["owner.json", "committed/20260101T000000000000Z-0123abcd"])
def test_a_journal_from_before_the_first_release_is_refused(
    configured: SimulatorProcess, own_folders: Path, job: Job, left: str
) -> None:
    """It is not misread, and nothing is pulled: 2, and what to do."""
    configured.enqueue(APP, [a_reply("a")])
    file = own_folders / "sms_journal" / left
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    for arguments in (["--check"], []):
        status, _, err = job(*arguments)
        assert status == 2
        assert "from before its first release" in err
        assert "folder of its own" in err
    assert configured.stats().handed_out == 0
    assert file.read_text() == "{}"


@pytest.mark.long
@pytest.mark.parametrize("version", [2, 0, "1"])
def test_a_journal_of_another_format_is_refused(
    configured: SimulatorProcess, own_folders: Path, job: Job, version: object
) -> None:
    """A newer version may have written it."""
    assert job()[0] == 0
    file = own_folders / "sms_journal" / "journal.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps({**found, "format": version}))
    status, _, err = job()
    assert status == 2
    assert f"is of format {version!r}" in err


@pytest.mark.long
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_a_damaged_file_costs_nothing(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, damage: bytes
) -> None:
    """It is set aside; what the archive and the warehouse have stays as it is."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    (warehouse.folder / "sms_journal" / "journal.json").write_bytes(damage)
    configured.enqueue(APP, [a_reply("b")])
    assert job()[0] == 0
    assert warehouse.contents() == ["a", "b"]
    assert (warehouse.folder / "sms_journal" / "unreadable" / "journal.json").read_bytes() == damage
