"""A world without threads and clocks: queue, journal, spill and warehouse, and runs of the real protocol.

What runs is the product's: `pull_once`, `Journal`, `Archive`, `Spill`, `commits`, `Round`. In memory are the
storage (`tests.model.disk`), the API's answers, and dlt: tables with an atomic load of rows, state and load
id (`tests.model.stand_ins`).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Event
from typing import Any

from sms_source.api.answers import parse_answer
from sms_source.configuration import SmsSourceConfiguration
from sms_source.feeds import REPLIES
from sms_source.journal.file_format import encode, parse_name
from sms_source.journal.identity import Owner
from sms_source.journal.journal import Journal
from sms_source.loading.rounds import Round
from sms_source.loading.summary import Summary
from sms_source.loading.whereabouts import whereabouts
from tests.model.disk import FOLDER, Disk, Files
from tests.model.image import Image, Plan, pull_of
from tests.model.stand_ins import Engine, running

OWNER = Owner("sms_replies", "model", "sms")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class World:
    """An image that a run goes on from; `in_place` of the stand-ins is entered.

    Args:
        image: to begin with.
        kind: of the journal's storage.
        seen: is given each image that a crash could leave; None to go faster.
    """

    def __init__(self, image: Image, kind: str = FOLDER, seen: Callable[[Image], None] | None = None) -> None:
        self.journal = Disk("memory://journal", kind, dict(image.journal), self.moment, self._durable)
        self.spill = Disk("memory://spill", FOLDER, dict(image.spill), self.moment, self._durable)
        self.warehouse, self.queue, self.ticks = image.warehouse, image.queue, image.ticks
        self.pops, self.kept, self.rows = image.pops, dict(image.kept), image.rows
        self.homeless = image.homeless
        self.plan = Plan()
        self._seen = seen
        self._calls = 0
        self._earlier = image.pops
        self.journal.refuses = self._refuses
        self.spill.refuses = self._spill_refuses

    def image(self, journal_back: Files | None = None, spill_back: Files | None = None) -> Image:
        """Return what is there now, with some of the files that were removed."""
        journal = {**(journal_back or {}), **self.journal.files}
        spill = {**(spill_back or {}), **self.spill.files}
        return replace(self.outside(), journal=journal, spill=spill)

    def outside(self) -> Image:
        """Return what is known without a look at the files."""
        return Image(
            {},
            {},
            self.warehouse,
            self.queue,
            self.ticks,
            self.pops,
            dict(self.kept),
            self.homeless,
            self.rows,
        )

    def now(self) -> datetime:
        """Return a moment later than the last one."""
        self.ticks += 1
        return START + timedelta(milliseconds=self.ticks)

    def token(self, size: int) -> str:
        """Return a random text that is never the same."""
        self.ticks += 1
        return f"{self.ticks:0{2 * size}x}"

    def run(self, plan: Plan) -> Exception | None:
        """Run the job; return what it failed with."""
        self.plan, self._calls = plan, 0
        try:
            with running(self), Journal("", storage=self.journal) as journal:
                self._round(journal, plan)
        except Exception as error:  # noqa: BLE001 - the invariants judge what it leaves
            return error
        return None

    def _round(self, journal: Journal, plan: Plan) -> None:
        """Do what `Loader.round` does."""
        options = SmsSourceConfiguration(
            journal_retention_days=plan.retention, pull_feeds=["replies"], create_views=False
        )
        engine: Any = Engine(self, journal)
        concurrency: Any = None
        try:
            journal.claim(OWNER)
            own = Round(journal, OWNER, options, lambda: engine, concurrency, Summary(OWNER), Event())
            (own.replay if plan.replay else own.drain)()
        except BaseException:
            whereabouts(journal)
            raise

    def moment(self) -> None:
        """Let a crash come here."""
        if self._seen is None:
            return
        for journal in _some_of(self.journal.removed):
            for spill in _some_of(self.spill.removed):
                self._seen(self.image(journal, spill))

    def _durable(self, path: str) -> None:
        pull_id, state = pull_of(path)
        if state in ("answer", "in_doubt"):
            self.kept[pull_id] = state

    def _spill_refuses(self, method: str, path: str) -> bool:
        if method != "write" or not self.plan.spill_refuses:
            return False
        self.homeless |= {pull_of(path)[0]}
        return True

    def _refuses(self, method: str, _path: str) -> bool:
        if method in ("read", "names"):
            return False
        self._calls += 1
        if self._calls == self.plan.late:
            self.plan = replace(self.plan, late=None)
            self.have_late_answer()
        return self._calls in self.plan.refuses

    def have_late_answer(self) -> None:
        """Write an answer that an earlier process got, if there is one that no file has."""
        for pop in self._earlier:
            if pop.pull_id not in self.kept and pop.whole == len(pop.texts):
                _, drain_id, name = pop.path.split("/")
                pull = replace(parse_name(drain_id, name), error=None)
                content = encode(pull.answered(parse_answer(REPLIES, pop.body), pop.body))
                path = pop.path.replace(".intent", ".answer")
                self.journal.files[path] = content
                self._durable(path)
                return


def _some_of(removed: Files) -> Iterator[Files]:
    """Yield which of the removed files a power cut may bring back: all subsets of a few, else some."""
    paths = sorted(removed)
    if len(paths) <= 3:
        for number in range(2 ** len(paths)):
            yield {path: removed[path] for i, path in enumerate(paths) if number >> i & 1}
        return
    yield {}
    yield dict(removed)
    for path in paths:
        yield {path: removed[path]}
        yield {other: removed[other] for other in paths if other != path}
