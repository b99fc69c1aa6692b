"""Where a pipeline last ran on this machine: a second journal for the same queues is a mistake.

A job that cron starts in another directory would begin a second journal and a second database there, and
split what people answer between the two.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import dlt

from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import ConfigurationError
from sms_source.journal.spill import data_directory
from sms_source.settings import JOURNAL_URL


def check(pipeline_name: str, options: SmsSourceConfiguration) -> None:
    """Refuse a new journal at the default place for queues that a journal elsewhere is used for.

    Raises:
        ConfigurationError: the pipeline last ran with another journal, which is still there.
    """
    journal = options.journal_url
    default = Path(dlt.current.run_context().local_dir, JOURNAL_URL).absolute()
    if journal != str(default) or Path(journal, "journal.json").exists():
        return  # somebody has named it, or it is in use
    last = _read(pipeline_name)
    same = bool(set(last.get("queues", ())) & set(_queues(options)))
    if same and last["journal"] != journal and Path(last["journal"], "journal.json").exists():
        raise ConfigurationError(
            f"Pipeline {pipeline_name!r} last ran with the journal {last['journal']}, for the same queues; "
            f"here ({Path.cwd()}) the journal would be a new one, {journal}. Run in that directory, or set "
            f"journal_url to an absolute path. To begin anew here, remove {_path(pipeline_name)}."
        )


def note(pipeline_name: str, options: SmsSourceConfiguration) -> None:
    """Remember the journal that a pipeline runs with."""
    if "://" in options.journal_url:
        return
    content = {"journal": options.journal_url, "queues": _queues(options)}
    if content == _read(pipeline_name):
        return
    path = _path(pipeline_name)
    with contextlib.suppress(OSError):  # it only helps to see a mistake
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(content, indent=2), encoding="utf-8")
        draft.replace(path)


def _queues(options: SmsSourceConfiguration) -> list[str]:
    return [f"{options.api_endpoint} {options.api_region} {app_id}" for app_id in options.sms_sdk_app_ids]


def _read(pipeline_name: str) -> dict[str, Any]:
    try:
        found = json.loads(_path(pipeline_name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"journal", "queues"} <= found.keys() else {}


def _path(pipeline_name: str) -> Path:
    return data_directory() / f"{pipeline_name}.last_run.json"
