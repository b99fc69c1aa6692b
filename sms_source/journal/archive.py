"""The archive: what is loaded, in bundles, for a replay or a warehouse that went back in time.

    archive/<first>-<last>-<drain>.<digest of the members' names>.<level>.<load id>.zip

A bundle is an uncompressed ZIP file that holds the pulls' files byte for byte, so that a person can read it
with any tool. A member's name is `<drain id>/<the file's name>`, its comment dlt's id of the package that
loaded it first. The bundle's own name has the days of its drains, and the id of the package that proves that
all of it is loaded. It is kept for the retention from that load on: a drain may have waited for long before.

Small bundles are merged, so the archive has some hundreds of files whatever number of drains it holds.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from sms_source.journal.bundle import Member, as_bundle, mended_bundle, once_each
from sms_source.journal.file_format import (
    format_time,
    is_whole,
    number_of,
    parse_time,
    rank_of,
)
from sms_source.journal.pull import now
from sms_source.journal.storage import NO_FILE, Storage, names_in, set_aside

FOLDER = "archive"
BUNDLE_BYTES = 8 << 20
"""A bundle is closed when it holds so many bytes: it is written and read whole, in memory."""
MERGED_AT = 32
"""Bundles of one level that become one of the next."""
LONGEST_SPAN = timedelta(days=1)
"""Between the first and the last drain of a bundle, and the loads of those that are merged: it is deleted
whole, when all of it is old."""
FINAL_LEVEL = 9
"""Of a bundle that is not merged any more."""

_NAME = re.compile(
    r"(?P<first>\d{8}T\d{12}Z)-(?P<last>\d{8}T\d{12}Z)-(?P<suffix>[0-9a-f]{8}\.[0-9a-f]{8})"
    r"\.(?P<level>\d)\.(?P<load_id>[\w.-]+)\.zip",
    re.ASCII,
)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class BundleName(NamedTuple):
    """What a bundle's name says: the start of its first and last drain, its level, its load."""

    first: str
    last: str
    suffix: str
    level: int
    load_id: str

    def __str__(self) -> str:
        return f"{self.first}-{self.last}-{self.suffix}.{self.level}.{self.load_id}.zip"

    @classmethod
    def parse(cls, name: str) -> "BundleName":
        """Return what a name says. Raises `ValueError` when it is no bundle's."""
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise ValueError(f"{name!r} is no bundle")
        return cls.of(parts)

    @classmethod
    def of(cls, parts: re.Match[str]) -> "BundleName":
        """Return what the parts of a name say."""
        return cls(parts["first"], parts["last"], parts["suffix"], int(parts["level"]), parts["load_id"])

    @property
    def loaded_at(self) -> float:
        """When it was loaded, in Unix seconds, which is what dlt's load ids are; 0 when the id tells none."""
        return float(self.load_id) if _SECONDS.fullmatch(self.load_id) else 0.0


def is_bundle(name: str) -> bool:
    """Return whether a name is a bundle's."""
    return _NAME.fullmatch(name) is not None


class Archive:
    """The loaded part of a journal."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def names(self) -> list[BundleName]:
        """Return the bundles, the oldest first."""
        return _bundles(names_in(self._storage, FOLDER))

    def add(self, members: Iterable[Member], load_id: str) -> None:
        """Write the pulls of a loaded package; when this returns, they are durable.

        Written again after a crash, the same pulls have the same name; others never do.
        """
        pulls: dict[str, set[str]] = defaultdict(set)
        for batch in _batches(members):
            self._write(batch, 0, load_id)
            for member in batch:
                pulls[member.drain_id].add(number_of(member.name))
        self._drop_doubts(pulls, load_id)

    def add_bundle(self, path: str, load_id: str) -> None:
        """Take back a bundle that was given again and is loaded now."""
        name = BundleName.parse(path.rpartition("/")[2])
        self._storage.move(path, f"{FOLDER}/{name._replace(load_id=load_id)}")

    def pulls_of(self, drain_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return what is archived of drains: by drain, the pulls' numbers with the rank of the file of each.

        Of an answer, a doubt that was archived before it is taken out.
        """
        wanted = set(drain_ids)
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for name in self._around(wanted):
            for member in self._read(name):
                if member.drain_id in wanted and is_whole(member.content):
                    ranks, number = found[member.drain_id], number_of(member.name)
                    ranks[number] = max(rank_of(member.name), ranks.get(number, 0))
        answered = {drain: {n for n, rank in ranks.items() if rank} for drain, ranks in found.items()}
        self._drop_doubts(answered)
        return found

    def tidy(self, retention: timedelta) -> None:
        """Delete what is older than the retention and what a kill left half written; merge small bundles."""
        oldest = now() - retention
        listed = names_in(self._storage, FOLDER)
        names = _bundles(listed)
        drafts = [name for name in listed if name.endswith(".zip.new")]
        expired = {name for name in names if _is_older(name, oldest)}
        self._storage.remove([f"{FOLDER}/{name}" for name in (*expired, *drafts)])
        by_level: dict[int, list[BundleName]] = defaultdict(list)
        for name in names:
            if name not in expired and name.level < FINAL_LEVEL:
                by_level[name.level].append(name)
        for level, bundles in by_level.items():
            while len(bundles) >= MERGED_AT:
                self._merge(bundles[:MERGED_AT], level + 1)
                del bundles[:MERGED_AT]

    def _around(self, drain_ids: Iterable[str]) -> list[BundleName]:
        """Return the bundles in which drains may be."""
        starts = [drain_id.partition("-")[0] for drain_id in drain_ids]
        names = self.names() if starts else []
        return [name for name in names if any(name.first <= start <= name.last for start in starts)]

    def _drop_doubts(self, pulls: dict[str, set[str]], load_id: str | None = None) -> None:
        """Take out what an earlier package noted as in doubt of pulls of which more came late.

        Args:
            pulls: of which there is more: their numbers, by drain.
            load_id: of the package that brought it, whose own doubts stay.
        """
        for name in self._around(pulls):
            if name.load_id == load_id:
                continue
            members = list(self._read(name))
            kept = [
                m for m in members if not (_is_doubt(m) and number_of(m.name) in pulls.get(m.drain_id, ()))
            ]
            if len(kept) < len(members):
                if kept:
                    self._write_as(name._replace(suffix=_suffix(kept)), kept)
                self._storage.remove([f"{FOLDER}/{name}"])

    def _merge(self, names: list[BundleName], level: int) -> None:
        by_day: dict[float, list[BundleName]] = defaultdict(list)
        for name in names:
            by_day[name.loaded_at // LONGEST_SPAN.total_seconds()].append(name)
        for of_day in by_day.values():
            load_id = max(name.load_id for name in of_day)
            members = (member for name in of_day for member in self._read(name))
            for batch in _batches(once_each(members)):
                self._write(batch, level, load_id)
        # Killed before this, the archive has some pulls twice, which a replay's merge takes out.
        self._storage.remove([f"{FOLDER}/{name}" for name in names])

    def _read(self, name: BundleName) -> Iterator[Member]:
        """Yield a bundle's members; one that can't be read is kept, for a person."""
        try:
            yield from mended_bundle(self._storage, f"{FOLDER}/{name}")
        except NO_FILE as error:
            set_aside(self._storage, f"{FOLDER}/{name}", str(error))

    def _write(self, batch: list[Member], level: int, load_id: str) -> None:
        starts = [member.drain_id.partition("-")[0] for member in batch]
        if sum(len(member.content) for member in batch) > BUNDLE_BYTES // 2:
            level = FINAL_LEVEL
        level = min(level, FINAL_LEVEL)
        self._write_as(BundleName(min(starts), max(starts), _suffix(batch), level, load_id), batch)

    def _write_as(self, name: BundleName, batch: list[Member]) -> None:
        self._storage.write(f"{FOLDER}/{name}", as_bundle(batch))


def _is_older(name: BundleName, oldest: datetime) -> bool:
    """Return whether all of a bundle was pulled, and loaded, by a moment."""
    return name.last <= format_time(oldest) and name.loaded_at <= oldest.timestamp()


def _bundles(names: Iterable[str]) -> list[BundleName]:
    found = (_NAME.fullmatch(name) for name in names)
    return [BundleName.of(parts) for parts in found if parts]


def _suffix(batch: list[Member]) -> str:
    """Return the part of a bundle's name that tells bundles of other pulls apart."""
    names = "\n".join(f"{member.drain_id}/{member.name}" for member in batch)
    return f"{batch[0].drain_id.rpartition('-')[2]}.{hashlib.sha256(names.encode()).hexdigest()[:8]}"


def _is_doubt(member: Member) -> bool:
    return member.name.endswith(".in_doubt")


def _batches(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Gather members into what one bundle may hold."""
    batch: list[Member] = []
    size, first = 0, ""
    for member in members:
        start = member.drain_id.partition("-")[0]
        is_long = bool(batch) and parse_time(start) - parse_time(first) > LONGEST_SPAN
        if batch and (size + len(member.content) > BUNDLE_BYTES or is_long):
            yield batch
            batch, size = [], 0
        if not batch:
            first = start
        batch.append(member)
        size += len(member.content)
    if batch:
        yield batch
