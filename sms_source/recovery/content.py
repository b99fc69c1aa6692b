"""When two records are the same one: what a look-up found against what the table has."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sms_source.api.answers import parse_record
from sms_source.feeds import Feed
from sms_source.privacy.numbers import own_numbers
from sms_source.privacy.pseudonym import keyed_id, pseudonym, without_numbers

Content = tuple[Any, ...]
"""A record's number, its time in Unix seconds (0: none), and the feed's `content_fields`; or None, 0 and its
text, where it does not fit."""

_WITHOUT_NUMBERS = frozenset({"ExtendCode", "SerialNo"})
"""The sender's own: no run of digits in them is a person's number."""


def content_of(feed: Feed, record: dict[str, Any], pseudonym_key: str | None) -> Content:
    """Return a record's content, as the table has it; an absent text equals an empty one, as in the views.

    Args:
        feed: of the record.
        record: which fits.
        pseudonym_key: with which the table has pseudonyms; None if it has numbers.
    """
    number = plain(record["PhoneNumber"])
    texts = {name: plain(record.get(name)) for name in feed.content_fields}
    if pseudonym_key:
        for name in texts.keys() - _WITHOUT_NUMBERS:
            texts[name] = without_numbers(texts[name], [number], pseudonym_key)
        number = pseudonym(number, pseudonym_key)
    return (number, record.get(feed.time_field) or 0, *texts.values())


def content_of_misfit(text: str, pseudonym_key: str | None) -> Content:
    """Return the content of a record that does not fit: its text, as `rejected_records` has it."""
    if pseudonym_key:
        record = parse_record(text)
        numbers = own_numbers(record) if isinstance(record, dict) else []
        text = without_numbers(text, numbers, pseudonym_key)
    return (None, 0, plain(text))


def fits(content: Content) -> bool:
    """Return whether a content is that of a record that fits."""
    return content[0] is not None


def plain(text: str | None) -> str:
    """Return a text as it can be compared with a table's: not every database holds U+0000."""
    return (text or "").replace("\0", "\ufffd")


def digest_of(sms_sdk_app_id: str, content: Content) -> str:
    """Return what the ids of looked-up records with this content begin with, after `lookup/`."""
    return hashlib.sha256(json.dumps([sms_sdk_app_id, *content]).encode()).hexdigest()[:32]


def prefixes_of(sms_sdk_app_id: str, contents: Iterable[Content], pseudonym_key: str | None) -> set[str]:
    """Return what the tables' ids of looked-up records may begin with: the key may be newer than the row.

    Args:
        sms_sdk_app_id: of the records.
        contents: of one record, without the key and with it.
        pseudonym_key: None if there is none.
    """
    prefixes = {f"lookup/{digest_of(sms_sdk_app_id, content)}" for content in contents}
    return prefixes | {keyed_id(prefix, pseudonym_key) for prefix in prefixes if pseudonym_key}
