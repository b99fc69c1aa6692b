"""What stands in the place of threads, the API, dlt, clocks and random numbers while the model runs."""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sms_source import settings
from sms_source.api.answers import parse_answer
from sms_source.api.catalogue import error_for
from sms_source.api.client import RawAnswer
from sms_source.errors import InDoubtError
from sms_source.feeds import REPLIES, Feed
from sms_source.journal import archive
from sms_source.journal.journal import Journal
from sms_source.journal.pull import Pull
from sms_source.journal.writer import JournalDrain
from sms_source.loading import commits, rounds
from sms_source.loading.destinations import NOTEBOOK
from sms_source.loading.extraction import Extraction
from sms_source.pulling.pull_once import Queue, pull_once
from sms_source.pulling.report import DrainReport
from tests.model.image import BROKEN, DELIVERED, LOST, REFUSED, Pop

if TYPE_CHECKING:
    from tests.model.world import World

APP = "1400006666"
LIMIT = 2
PACKAGE_RECORDS = 4
MERGED_AT = 3

_worlds: list["World"] = []
"""The one that runs is the last."""


class LoadFailedError(Exception):
    """A step of dlt's failed, as the plan says."""


@contextmanager
def running(world: "World") -> Iterator[None]:
    """Have the stand-ins serve this world."""
    _worlds.append(world)
    try:
        yield
    finally:
        _worlds.pop()


@contextmanager
def in_place() -> Iterator[None]:
    """Put the stand-ins where the product has the real things."""

    def missing(_pipeline: Any, load_ids: Any, _since: Any) -> set[str]:
        return set(load_ids).difference(_worlds[-1].warehouse.loads)

    def drain(_options: Any, journal: JournalDrain, **given: Any) -> Drain:
        return Drain(_worlds[-1], journal, given["on_full"])

    def file_state(_location: str) -> list[int] | None:
        warehouse = _worlds[-1].warehouse
        return [zlib.crc32(repr(warehouse).encode())] if warehouse.loads else None

    def now() -> datetime:
        return _worlds[-1].now()

    def token(size: int) -> str:
        return _worlds[-1].token(size)

    journal = "sms_source.journal"
    with ExitStack() as stack:
        for module in ("pull", "writer", "file_format", "archive"):
            stack.enter_context(patch(f"{journal}.{module}.now", now))
        stack.enter_context(patch("secrets.token_hex", token))
        stack.enter_context(patch(f"{journal}.spill.LocalStorage", lambda _root: _worlds[-1].spill))
        stack.enter_context(patch(f"{journal}.spill.data_directory", lambda: Path("data")))
        stack.enter_context(patch.object(commits, "missing_loads", missing))
        stack.enter_context(patch.object(commits, "table_versions", lambda _pipeline, _since: {}))
        stack.enter_context(patch.object(rounds, "Drain", drain))
        stack.enter_context(patch.object(rounds, "file_state", file_state))
        stack.enter_context(patch.object(settings, "PACKAGE_RECORDS", PACKAGE_RECORDS))
        stack.enter_context(patch.object(archive, "MERGED_AT", MERGED_AT))
        yield


class Client:
    """Answers from the world's queue, as the plan says.

    Args:
        world: with the queue.
        meanwhile: is called while the answer is on its way.
    """

    def __init__(self, world: "World", meanwhile: Callable[[], None]) -> None:
        self._world = world
        self._meanwhile = meanwhile

    def pull(
        self, feed: Feed, _sms_sdk_app_id: str, limit: int, before_sending: Callable[[], None]
    ) -> RawAnswer:
        """Take records out of the queue, and answer with them, or fail."""
        before_sending()
        world = self._world
        path = world.journal.reserved
        outcome = world.plan.outcomes[0] if world.plan.outcomes else DELIVERED
        world.plan = replace(world.plan, outcomes=world.plan.outcomes[1:])
        world.moment()
        if outcome == REFUSED:
            raise error_for("RequestLimitExceeded", "")
        texts, world.queue = world.queue[:limit], world.queue[limit:]
        body = _body(feed, texts, f"request of {path}")
        cut = body.find(b"}") + 1 if outcome == BROKEN else len(body)  # behind the first record
        if texts:
            whole = {DELIVERED: len(texts), BROKEN: 1, LOST: 0}[outcome]
            world.pops = (*world.pops, Pop(path, texts, whole, body))
        world.moment()
        self._meanwhile()
        if outcome in (LOST, BROKEN):
            error = error_for("Client.TruncatedBody", "")
            assert isinstance(error, InDoubtError)
            error.body = body[:cut] if outcome == BROKEN else b""
            raise error
        return RawAnswer(parse_answer(feed, body), body)


class Drain:
    """What `sms_source.pulling.drain.Drain` does, without threads: it pulls as soon as it starts."""

    def __init__(self, world: "World", journal: JournalDrain, on_full: Callable[[], None]) -> None:
        self.report = DrainReport()
        self.drain_id = journal.drain_id
        self.in_flight = 0
        self.backlog: list[Queue] = []
        self._world = world
        self._journal = journal
        self._on_full = on_full
        self._pulls: list[Pull] | None = None
        self._nested = False

    def start(self) -> None:
        """Pull all that the drain will."""
        self.begin()

    def begin(self) -> bool:
        """Pull, if that was not done; return whether anything came."""
        if self._pulls is None:
            self._pulls = []
            for _ in range(self._world.plan.drain_pulls):
                if not (self.report.drained or self.report.failures):
                    self._pull(self._pulls)
        return bool(self._pulls)

    def pulls(self) -> Iterator[Pull]:
        """Yield what came; the next drain has begun by then."""
        self.begin()
        if not (self.report.drained or self.report.failures):
            self._on_full()
        yield from self._pulls or ()
        self.close()

    def close(self) -> None:
        """End the drain."""
        self._journal.close()

    def _pull(self, pulls: list[Pull]) -> None:
        queue = Queue(REPLIES, APP, "ap-guangzhou", LIMIT)
        client = Client(self._world, lambda: self._meanwhile(pulls))
        result = pull_once(client, self._journal, queue, lambda: None)
        if result.pull is not None:
            pulls.append(result.pull)
        if result.fatal is not None:
            self.report.failures.append(result.fatal)
        self.report.drained = result.answer is not None and not result.answer.records

    def _meanwhile(self, pulls: list[Pull]) -> None:
        """Make another pull while one is on its way."""
        if self._world.plan.nested and not self._nested:
            self._nested = True
            self._pull(pulls)
            self._nested = False


class Engine:
    """What `sms_source.loading.engine.Engine` does, with the world's tables in the place of dlt."""

    def __init__(self, world: "World", journal: Journal) -> None:
        self.pipeline: Any = None
        self.destination = NOTEBOOK
        self._world = world
        self._journal = journal

    def refuse_what_is_in_the_way(self, location: str) -> None:
        """Find nothing in the way."""

    def load(self, extraction: Extraction) -> str | None:
        """Load rows, state and load id at once."""
        world = self._world
        world.ticks += 1
        load_id = f"{1_700_000_000 + world.ticks}.{world.ticks}"
        pulls = list(extraction._pulls())
        assert len({pull.pull_id for pull in pulls}) == len(pulls)  # or an upsert fails, or doubles rows
        state = dict(world.warehouse.state)
        if extraction.included:
            commits.note(state, self._journal, extraction.included, load_id)
        elif world.warehouse.loads:
            return None
        world.moment()
        if world.plan.fails == "before":
            raise LoadFailedError
        world.warehouse = world.warehouse.loaded(pulls, state, load_id)
        world.rows |= {f"{pull.pull_id}/{n}" for pull in pulls for n in range(len(pull.records))}
        world.moment()
        if world.plan.fails == "after":
            raise LoadFailedError
        return load_id

    def restore(self) -> commits.State:
        """Return the state that was loaded last."""
        return self._world.warehouse.state

    def rows(self, _tables: Any) -> dict[str, int]:
        """Return how many rows there are."""
        return {"replies": len(self._world.warehouse.replies)}

    def have_missing_tables_made(self) -> None:
        """There is nothing to make."""


def _body(feed: Feed, texts: tuple[str, ...], request_id: str) -> bytes:
    records = [
        {"PhoneNumber": "+8612000000001", "ReplyTime": 1_700_000_000, "ReplyContent": text} for text in texts
    ]
    return json.dumps({"Response": {feed.result_set: records, "RequestId": request_id}}).encode()
