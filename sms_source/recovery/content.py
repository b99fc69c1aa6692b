"""When two records are the same one: what a look-up found against what the table has."""

import hashlib
import json
from typing import Any

from sms_source.feeds import Feed

Content = tuple[Any, ...]
"""A record's number, its time in Unix seconds (0: none), and the feed's `content_fields`."""


def content_of(feed: Feed, record: dict[str, Any]) -> Content:
    """Return a record's content; an absent text equals an empty one, as in the views."""
    texts = (plain(record.get(name)) for name in feed.content_fields)
    return (record["PhoneNumber"], record.get(feed.time_field) or 0, *texts)


def plain(text: str | None) -> str:
    """Return a text as it can be compared with a table's: not every database holds U+0000."""
    return (text or "").replace("\0", "\ufffd")


def digest_of(sms_sdk_app_id: str, content: Content) -> str:
    """Return what the ids of looked-up records with this content begin with, after `lookup/`."""
    return hashlib.sha256(json.dumps([sms_sdk_app_id, *content]).encode()).hexdigest()[:32]
