"""What a crash leaves of the model's world, and what a run is to do."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sms_source.journal.pull import Pull
from tests.model.disk import Files

DELIVERED, LOST, BROKEN, REFUSED = "delivered", "lost", "broken", "refused"
"""What becomes of a request: answered, taken and lost, an answer that breaks off, not executed."""


class Pop(NamedTuple):
    """What one request took out of the queue.

    path: of the file that waits for the answer.
    whole: how many records can be read from the answer as far as it came.
    body: of the answer.
    """

    path: str
    texts: tuple[str, ...]
    whole: int
    body: bytes

    @property
    def pull_id(self) -> str:
        """`<drain id>/<number>`."""
        return pull_of(self.path)[0]


@dataclass(frozen=True)
class Warehouse:
    """The destination: rows by their keys, what dlt committed with them, and its load ids.

    replies: a reply's text.
    pulls: of a pull the outcome, the records and those at risk.
    """

    replies: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    loads: tuple[str, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    def loaded(self, pulls: list[Pull], state: dict[str, Any], load_id: str) -> "Warehouse":
        """Return it with a package: merged by the keys; of a key that comes twice, the worse row stays."""
        replies = dict(self.replies)
        new: dict[str, tuple[str, int, int]] = {}
        for pull in pulls:
            row = ("in_doubt" if pull.in_doubt else "answered", len(pull.records), pull.at_risk)
            new[pull.pull_id] = max(row, new.get(pull.pull_id, row))
            for position, record in enumerate(pull.records):
                replies[f"{pull.pull_id}/{position}"] = record["ReplyContent"]
        return Warehouse(replies, {**self.pulls, **new}, (*self.loads, load_id), state)


@dataclass(frozen=True)
class Image:
    """All that a crash leaves, and what is known of it from outside.

    journal, spill: the files.
    queue: the texts that wait.
    ticks: of the clock.
    pops: all that ever left the queue.
    kept: the pulls whose file is durable under its final name, and its state.
    homeless: the pulls whose answer was refused by the journal and by the spill.
    rows: the ids of the rows that were loaded, but for those that an older warehouse took away.
    """

    journal: Files = field(default_factory=dict)
    spill: Files = field(default_factory=dict)
    warehouse: Warehouse = field(default_factory=Warehouse)
    queue: tuple[str, ...] = ()
    ticks: int = 0
    pops: tuple[Pop, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)
    homeless: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()

    @property
    def key(self) -> int:
        """What tells it from another one that behaves otherwise."""
        files = (frozenset(self.journal.items()), frozenset(self.spill.items()))
        tables = (frozenset(self.warehouse.replies.items()), frozenset(self.warehouse.pulls.items()))
        return hash((*files, *tables, self.warehouse.loads, self.queue, self.pops, len(self.kept)))


@dataclass(frozen=True)
class Plan:
    """What happens in one run.

    outcomes: of its pulls, one after another; those that follow are delivered.
    drain_pulls: after which a drain is full.
    nested: whether a second pull goes out while the first one is on its way.
    replay: whether it loads the archive instead.
    fails: `before` or `after` the rows are in the warehouse, the load fails.
    refuses: the calls of the journal's storage that fail, by their number.
    spill_refuses: whether the spill's storage fails, too.
    late: the call of the journal's storage at which a process that was taken for dead, and has lost its
        lease, writes an answer that it got; None when there is none.
    retention: days.
    """

    outcomes: tuple[str, ...] = ()
    drain_pulls: int = 3
    nested: bool = False
    replay: bool = False
    fails: str = ""
    refuses: frozenset[int] = frozenset()
    spill_refuses: bool = False
    late: int | None = None
    retention: int = 7


def pull_of(path: str) -> tuple[str, str]:
    """Return the id and the state of the pull whose file this is; two empty texts of another file."""
    folder, _, rest = path.partition("/")
    drain_id, _, name = rest.partition("/")
    if folder != "drains" or not name:
        return "", ""
    return f"{drain_id}/{name.partition('.')[0]}", name.rpartition(".")[2]
