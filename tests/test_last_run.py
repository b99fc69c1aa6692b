"""Where a pipeline last ran on this machine: a second journal for the same queues is a mistake."""

from pathlib import Path
from typing import Any

import pytest

from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import ConfigurationError
from sms_source.loading import last_run


def options_in(folder: Path, **given: Any) -> SmsSourceConfiguration:
    """Return what a job that runs in a folder resolves."""
    options = SmsSourceConfiguration(sms_sdk_app_ids=["1400006666"], **given)
    options.journal_url = given.get("journal_url", str(folder / "sms_journal"))
    return options


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another folder, in which the pipeline ran before."""
    folder = tmp_path / "elsewhere"
    (folder / "sms_journal").mkdir(parents=True)
    (folder / "sms_journal" / "journal.json").write_text("{}")
    last_run.note("sms_replies", options_in(folder))
    return folder


def test_a_new_journal_for_the_same_queues_is_refused(elsewhere: Path, own_folders: Path) -> None:
    """cron without cd; the message says where the pipeline ran, and how to begin anew."""
    with pytest.raises(ConfigurationError, match="last ran with the journal") as caught:
        last_run.check("sms_replies", options_in(own_folders))
    assert str(elsewhere / "sms_journal") in str(caught.value)
    assert "To begin anew here, remove " in str(caught.value)


def test_another_pipeline_or_other_queues_are_no_mistake(elsewhere: Path, own_folders: Path) -> None:
    """Each has a journal of its own."""
    last_run.check("other", options_in(own_folders))
    last_run.check("sms_replies", options_in(own_folders, api_region="ap-singapore"))
    assert elsewhere.exists()


@pytest.mark.usefixtures("elsewhere")
def test_a_journal_that_somebody_has_named_is_no_mistake(own_folders: Path) -> None:
    """Neither is one that is in use here already."""
    last_run.check("sms_replies", options_in(own_folders, journal_url="s3://bucket/journal"))
    (own_folders / "sms_journal").mkdir()
    (own_folders / "sms_journal" / "journal.json").write_text("{}")
    last_run.check("sms_replies", options_in(own_folders))


def test_a_journal_that_is_gone_is_no_mistake(elsewhere: Path, own_folders: Path) -> None:
    """Somebody moved or deleted it."""
    (elsewhere / "sms_journal" / "journal.json").unlink()
    last_run.check("sms_replies", options_in(own_folders))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"journal": "x"}'])
@pytest.mark.usefixtures("elsewhere")
def test_a_damaged_note_stops_nothing(own_folders: Path, content: str) -> None:
    """It only helps to see a mistake."""
    (note,) = (own_folders.parent / "dlt").rglob("*.last_run.json")
    note.write_text(content)
    last_run.check("sms_replies", options_in(own_folders))
    last_run.note("sms_replies", options_in(own_folders))
