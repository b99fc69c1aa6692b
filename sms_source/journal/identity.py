"""What `journal.json` says: the format of the journal, and what it feeds."""

import json
import re
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sms_source.errors import ConfigurationError
from sms_source.journal.storage import NO_FILE, Storage, set_aside

FILE = "journal.json"
FORMAT = 1
_OLD_FILES = ("owner.json", "committed")

NO_DATABASE: list[int] = []
"""Noted of a database, it is that of no file, nor of none: the next run looks there,
however quiet the queues are."""


@dataclass(frozen=True)
class Owner:
    """What a journal feeds.

    location: the database's file, for a destination that is one; else empty.
    """

    pipeline: str
    destination: str
    dataset: str
    location: str = ""

    def __str__(self) -> str:
        where = f" ({self.location})" if self.location else ""
        return (
            f"pipeline {self.pipeline!r}, destination {self.destination!r}{where}, dataset {self.dataset!r}"
        )


@dataclass(frozen=True)
class Identity:
    """What `journal.json` says.

    journal_id: eight hexadecimal digits, which tell this journal from another of the same dataset.
    owner: what it feeds; None before the first run.
    last_load: dlt's id of the last package that was loaded; None before the first.
    newest_reply: the newest time of a reply that was loaded, in ISO 8601; None before the first.
    database: what tells whether the database's file is the one that this journal left: its size, its time of
        change and its number on the disk; None where the destination is no file.
    keys: ids of the keys that files here may be encrypted with; None when that is not known.
    retention_at: when rows that are too old were last looked for in the tables, in ISO 8601.
    tidied_at: the same of the archive; None before the first load.
    made_from: digest of what the tables and views were last made from; None before the first time.
    tables: which version of each of a lakehouse's tables is the one that this journal left.
    """

    journal_id: str
    owner: Owner | None = None
    last_load: str | None = None
    newest_reply: str | None = None
    database: list[int] | None = None
    keys: list[str] | None = None
    retention_at: str | None = None
    tidied_at: str | None = None
    made_from: str | None = None
    tables: dict[str, int] = field(default_factory=dict)


def load_identity(storage: Storage) -> Identity:
    """Return a journal's identity, a new one for a new journal.

    Raises:
        ConfigurationError: another version of this package wrote the journal.
    """
    content = b""
    try:
        content = storage.read(FILE)
        found = json.loads(content)
        version, owner = found["format"], found["owner"]
        del found["format"]
        identity = Identity(**{**found, "owner": owner and Owner(**owner)})
    except FileNotFoundError:
        _refuse_old(storage)
        return Identity(secrets.token_hex(4))
    except (*NO_FILE, KeyError, TypeError) as error:
        version = found.get("format", FORMAT) if isinstance(found := _json(content), dict) else FORMAT
        if version == FORMAT:
            set_aside(storage, FILE, f"it is damaged ({type(error).__name__})")
            return Identity(_id_in(content) or secrets.token_hex(4))
    if version != FORMAT:
        raise ConfigurationError(
            f"The journal {storage.url} is of format {version!r}, and this version knows format {FORMAT}: "
            "use the version of this package that wrote it, or give journal_url a folder of its own."
        )
    return identity


def refuse_another(storage: Storage, identity: Identity, owner: Owner) -> None:
    """Refuse to feed two with one journal: one would take the other's records for loaded.

    Raises:
        ConfigurationError: the journal feeds something else.
    """
    claimed = identity.owner
    if claimed is not None and claimed != owner and not _has_moved(claimed, owner):
        raise ConfigurationError(
            f"The journal {storage.url} belongs to {claimed}, and this is {owner}. Give each a journal "
            "of its own (journal_url), or use --replay to load this journal's archive there too."
        )


def claim(storage: Storage, identity: Identity, owner: Owner) -> Identity:
    """Tie a journal to what it feeds, and return its identity then. Errors as `refuse_another`."""
    refuse_another(storage, identity, owner)
    return identity if identity.owner == owner else _save(storage, replace(identity, owner=owner))


def note(storage: Storage, identity: Identity, **changes: Any) -> Identity:
    """Note what has changed; return the identity then."""
    changed = replace(identity, **changes)
    return identity if changed == identity else _save(storage, changed)


def _has_moved(before: Owner, after: Owner) -> bool:
    """Return whether only the database's file is elsewhere, and not at its old place any more."""
    return replace(before, location=after.location) == after and not Path(before.location).exists()


def _save(storage: Storage, identity: Identity) -> Identity:
    storage.write(FILE, json.dumps({"format": FORMAT, **asdict(identity)}, indent=2).encode())
    return identity


def _refuse_old(storage: Storage) -> None:
    names = set(storage.names(""))
    if names.intersection(_OLD_FILES):
        raise ConfigurationError(
            f"The journal {storage.url} was written by a version of this package from before its first "
            "release, which this one can't read. Load what it holds with that version, then give journal_url "
            "a folder of its own."
        )


def _id_in(content: bytes) -> str | None:
    """Return the id that a damaged file still has: what the journal refused lies under it."""
    found = re.search(rb'"journal_id": "([0-9a-f]{8})"', content)
    return found[1].decode() if found else None


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None
