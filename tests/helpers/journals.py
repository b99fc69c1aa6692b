"""A journal with pulls in it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from sms_source.api.answers import parse_answer
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from sms_source.journal.writer import Intent, JournalDrain

BODY = '{"Response": {"RequestId": "r1",  "PullSmsReplyStatusSet": [{"ReplyContent": "\\u9000订"}]}}'.encode()
WEEK = timedelta(days=7)


def body_of(*records: Any) -> bytes:
    """Return an answer with these replies."""
    return json.dumps({"Response": {REPLIES.result_set: records, "RequestId": "r"}}).encode()


def intend(drain: JournalDrain) -> Intent:
    """Announce a pull."""
    return drain.intend("replies", "1400006666", "ap-guangzhou", 100)


def keep_answer(drain: JournalDrain, body: bytes = BODY) -> Pull:
    """Make a pull whose answer is in the journal."""
    intent = intend(drain)
    pull = intent.pull.answered(parse_answer(REPLIES, body), body)
    intent.keep(pull)
    return pull


def files(journal: Journal) -> list[Path]:
    """Return what the journal holds on the disk, but for what says who uses it and what it feeds."""
    own = {"lock", "holder.json", "journal.json"}
    return sorted(path for path in Path(journal.url).rglob("*") if path.is_file() and path.name not in own)


def read_all(journal: Journal) -> list[Pull]:
    """Return all pulls of a journal, those of its archive too."""
    return [pull for item in journal.everything() for pull in journal.read(item)]
