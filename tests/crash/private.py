"""The harness with both keys: what is encrypted is opened, and what is expected is without numbers.

None of it is the product's code, so that a fault there can't hide.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
from pathlib import Path
from typing import Any

from tests.privacy.scan import forms

JOURNAL_KEY = base64.b64encode(b"a key that nobody has to guess..").decode()
PSEUDONYM_KEY = "a secret of some length"
OPTIONS = {"journal_encryption_key": JOURNAL_KEY, "pseudonym_key": PSEUDONYM_KEY}

_NUMBER = re.compile(rb"(?<!\d)(?:86)?1299\d{7}(?!\d)|1\x002\x009\x009(?:\x00\d){7}")
"""A number of `ReplyMaker`'s, with or without its country, in any encoding that a file may have. No date is
like one: DuckDB compresses texts, and leaves pieces of them beside each other."""
_DATABASE = (".duckdb", ".duckdb.wal")
_TEXTS = set().union(
    *map(
        forms,
        ("退订", "drop table replies", "right to left", "PullSmsReplyStatusSet", "PullSmsSendStatusSet"),
    )
)
"""What people wrote, and the beginnings of answers: the tables alone may have the former."""


def opened(path: str, content: bytes) -> bytes:
    """Return what a journal's file holds; a file without content, or one torn, as it is."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(content) < 33 or not content.startswith(b"SMSJ1"):
        return content
    header, rest = content[:33], content[33:]
    _, _, length, nonce, _ = struct.unpack(">5s4sQ12sI", header)
    folder, name = path.split("/")[-2:]
    lasting = (
        ".".join(name.split(".")[:3]) if name.endswith(".zip") else f"{folder}/{name.rpartition('.')[0]}"
    )
    try:
        return AESGCM(base64.b64decode(JOURNAL_KEY)).decrypt(nonce, rest[:length], header + lasting.encode())
    except InvalidTag:
        return content


def expected_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as it is to be in the tables."""
    return {**record, "PhoneNumber": _pseudonym(record["PhoneNumber"]), "SubscriberNumber": None}


def expected_text(text: str) -> str:
    """Return the text of a record that does not fit as it is to be in the tables."""
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    national = record.get("SubscriberNumber") if isinstance(record, dict) else None
    number = f"+86{national}" if national else ""  # of each record that `ReplyMaker` makes

    def replacement(match: re.Match[str]) -> str:
        is_own = number and match[2].removeprefix("+") in (number[1:], number[3:])
        shown = _pseudonym(number) if is_own else "***"
        return f'": "{shown}"' if match[1] else shown  # a number becomes a string, and JSON stays JSON

    return re.sub(r'(": )?(\+?\d{7,})', replacement, text)


def files_in_clear(folder: Path) -> list[str]:
    """Return the files below a folder in which anybody can read a number, a text or an answer."""
    found = []
    for path in folder.rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except FileNotFoundError:
            continue
        texts = () if path.name.endswith(_DATABASE) else _TEXTS
        if _NUMBER.search(content) or any(text in content for text in texts):
            found.append(str(path.relative_to(folder)))
    return found


def _pseudonym(number: str) -> str:
    digest = hmac.new(PSEUDONYM_KEY.encode(), number.encode(), hashlib.sha256).hexdigest()[:32]
    return "p_" + digest.translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))
