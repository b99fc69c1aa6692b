"""A bundle: pulls' files in an uncompressed ZIP file, of which all that is not damaged can be read."""

import io
import logging
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from sms_source.cleaning import clean
from sms_source.journal.file_format import (
    UNREADABLE,
    encode,
    is_drain_id,
    parse_name,
    parse_time,
    state_of,
)
from sms_source.journal.storage import SET_ASIDE, Storage

logger = logging.getLogger(__name__)


class Member(NamedTuple):
    """A pull's file in a bundle: its drain, its name there, its bytes, the load that brought it first."""

    drain_id: str
    name: str
    content: bytes
    load_id: str


def read_bundle(content: bytes) -> Iterator[Member]:
    """Yield the members of a bundle.

    Raises:
        ValueError: it is not whole, or holds what is no pull.
    """
    members, damage = _salvage(content)
    if damage:
        raise ValueError(damage)
    yield from members


def mended_bundle(storage: Storage, path: str) -> list[Member]:
    """Return the members of a bundle, with a note of doubt for each that can't be read.

    A damaged bundle is kept in `unreadable/`, for a person, and replaced by one of what is returned.

    Raises:
        ValueError, IsADirectoryError: nothing of it can be read.
        OSError: the storage fails.
    """
    content = storage.read(path)
    members, damage = _salvage(content)
    if damage:
        logger.error(
            "journal %s: %s is damaged, and kept in %s/: %s", storage.url, path, SET_ASIDE, clean(damage)
        )
        storage.write(f"{path}.new", content)
        storage.set_aside(f"{path}.new", path.removeprefix("drains/"))
        members = list(once_each(members))
        storage.write(path, as_bundle(members))
    return members


def _salvage(content: bytes) -> tuple[list[Member], str]:
    """Return what `mended_bundle` does, and what is damaged. Raises `ValueError` when nothing can be read."""
    members, damage = [], []
    try:
        bundle = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # noqa: BLE001 - what zipfile raises of a flipped bit is any of a dozen
        raise ValueError(f"the bundle can't be read: {error}") from None
    entries = bundle.infolist()
    if min(len(entries), 0xFFFF) != int.from_bytes(content[-12:-10], "little"):  # the count at the end
        damage.append("the directory has another number of entries than it says")
    for entry in entries:
        drain_id, _, name = entry.filename.partition("/")
        try:
            if not is_drain_id(drain_id):
                raise ValueError("it is in no drain")
            pull = parse_name(drain_id, name)
            try:
                held = bundle.read(entry)
            except Exception as error:  # noqa: BLE001 - the same
                damage.append(f"{entry.filename} can't be read: {error}")
                if pull.channel != "queue":
                    continue
                name = f"{name.removesuffix(state_of(name))}in_doubt"
                held = encode(replace(pull, error=UNREADABLE))
            members.append(Member(drain_id, name, held, entry.comment.decode("ascii", "ignore")))
        except ValueError as error:
            damage.append(f"{entry.filename}: {error}")
    if not members:
        raise ValueError("; ".join(damage) or "the bundle is empty")
    return members, "; ".join(damage)


def as_bundle(members: Iterable[Member]) -> bytes:
    """Return what a bundle of these members holds."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as bundle:
        for member in members:
            entry = zipfile.ZipInfo(f"{member.drain_id}/{member.name}", _date_of(member))
            entry.external_attr = 0o600 << 16
            entry.comment = member.load_id.encode()
            bundle.writestr(entry, member.content)
    return content.getvalue()


def once_each(members: Iterable[Member]) -> Iterator[Member]:
    """Leave out a pull that is there already: a kill, or a replay, may have archived it twice."""
    seen: set[tuple[str, str]] = set()
    for member in members:
        key = (member.drain_id, member.name)
        if key not in seen:
            seen.add(key)
            yield member


def _date_of(member: Member) -> tuple[int, int, int, int, int, int]:
    moment = parse_time(member.drain_id.partition("-")[0])
    year = min(max(moment.year, 1980), 2107)  # what ZIP can hold: a clock, or a flipped bit, may say another
    return (year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
