"""Whatever happens, in whatever order: a model knows what must be in the warehouse, and looks each time.

5 sequences of events by default; 500 with `--hypothesis-profile=thorough`.
"""

import pkgutil
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipelines import load_replies
from sms_source.simulator import Pull, Simulator
from tests.conftest import APP, Warehouse, a_reply
from tests.crash.kill_at import POINTS, run_until

EXAMPLES = max(5, (settings.default.max_examples if settings.default else 0) // 20)
STEPS = 10
LATE = 1_000_000_000

FAULTS: dict[str, dict[str, Any]] = {
    "reset": {},
    "truncate": {},
    "http_status": {},
    "close_unread": {},
    "api_error": {"code": "InternalError", "popped": True},
    "no_request_id": {},
    "duplicate_request_id": {},
}
REFUSALS = ["RequestLimitExceeded", "AuthFailure.UnauthorizedOperation"]

# Where an exception ends a run, in the main thread: a step of dlt, before or after it, or the source's own.
BREAKS = [
    ("sms_source.loading.batches.to_tables", "before"),
    ("sms_source.loading.batches.to_tables", "after"),
    ("sms_source.journal.journal.Journal.expire", "after"),
    ("dlt.extract.extract.Extract.commit_packages", "before"),
    ("dlt.extract.extract.Extract.commit_packages", "after"),
    ("dlt.Pipeline.normalize", "before"),
    ("dlt.Pipeline.normalize", "after"),
    ("dlt.Pipeline.load", "before"),
    ("dlt.load.load.Load.complete_package", "before"),
    ("dlt.Pipeline.load", "after"),
]


class BrokenOffError(Exception):
    """Ends a run where the machine says."""


def breaking(original: Callable[..., Any], when: str) -> Callable[..., Any]:
    """A function that raises before or after it does its work."""

    def broken(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            original(*arguments, **options)
        raise BrokenOffError

    return broken


class Machine(RuleBasedStateMachine):
    """Runs of the main job against one queue, and everything that can come between them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.patch = patch
        self.warehouse = Warehouse(self.folder)
        self.journal = self.folder / "sms_journal"
        self.working = self.folder / "dlt"
        self.copy = self.folder / "copy"
        self.simulator = Simulator([APP], page_size=3).__enter__()
        self.serial = 0
        self.doubts: set[str] = set()
        self.perished: set[str] = set()
        self.has_loaded = False
        self.is_whole = True
        for name, value in {
            "DLT_DATA_DIR": self.working,
            "DLT_LOCAL_DIR": self.folder,
            "DLT_PROJECT_DIR": self.folder,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "SOURCES__SMS_SOURCE__CREDENTIALS__SECRET_ID": self.simulator.secret_id,
            "SOURCES__SMS_SOURCE__CREDENTIALS__SECRET_KEY": self.simulator.secret_key,
            "SOURCES__SMS_SOURCE__API_ENDPOINT": self.simulator.url,
            "SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS": APP,
            "SOURCES__SMS_SOURCE__PULL_WORKERS": "2",
            "SOURCES__SMS_SOURCE__PULL_LIMIT": "3",
        }.items():
            patch.setenv(name, str(value))
        patch.chdir(self.folder)

    def teardown(self) -> None:
        """Ends with an undisturbed run, which must make everything whole."""
        self.simulator.clear_faults()
        for _ in range(2):
            self.run(retention=7, is_replay=False)
        self.the_warehouse_holds_what_the_model_knows()
        self.simulator.__exit__()

    # What happens.

    @initialize()
    def begin(self) -> None:
        """The first replies."""
        self.enqueue(4, is_late=False, is_bad=False)

    @rule(count=st.integers(1, 8), is_late=st.booleans(), is_bad=st.booleans())
    def enqueue(self, count: int, is_late: bool, is_bad: bool) -> None:  # noqa: FBT001 - a rule's arguments
        """People reply: in time or late, with a record that does not fit among them or not."""
        time = LATE + self.serial if is_late else 1_700_000_000 + self.serial
        replies: list[Any] = [a_reply(f"{self.serial + n:04d}", ReplyTime=time) for n in range(count)]
        self.serial += count
        if is_bad:
            replies.insert(count // 2, a_reply(f"{self.serial:04d}", ReplyTime=str(time)))
            self.serial += 1
        self.simulator.enqueue(APP, replies)

    @rule(kind=st.sampled_from(sorted(FAULTS)), after=st.integers(0, 2))
    def fault(self, kind: str, after: int) -> None:
        """One of the next pulls fails, on the way or at the other end."""
        self.simulator.fail_next(kind, after=after, **FAULTS[kind])

    @rule(code=st.sampled_from(REFUSALS), after=st.integers(0, 2))
    def refuse(self, code: str, after: int) -> None:
        """One of the next pulls is refused, for a moment or for good."""
        self.simulator.fail_next("api_error", code=code, after=after)

    @rule(retention=st.sampled_from([0, 7]), is_replay=st.booleans())
    def run(self, retention: int, is_replay: bool) -> None:  # noqa: FBT001
        """The job, or a replay of the archive."""
        self.patch.setenv("SOURCES__SMS_SOURCE__JOURNAL_RETENTION_DAYS", str(retention))
        load_replies.main(["--replay"] if is_replay else [])
        self.is_whole = not is_replay
        self.look_at_the_journal()

    @rule(place=st.sampled_from(BREAKS), retention=st.sampled_from([0, 7]))
    def run_that_breaks_off(self, place: tuple[str, str], retention: int) -> None:
        """The job ends with an exception; what it had pulled is in the journal or in a package."""
        name, when = place
        owner_name, _, attribute = name.rpartition(".")
        owner = pkgutil.resolve_name(owner_name)
        with self.patch.context() as patch:
            patch.setattr(owner, attribute, breaking(getattr(owner, attribute), when))
            self.run(retention, is_replay=False)
        self.is_whole = False

    @rule(point=st.sampled_from(sorted(POINTS)))
    def kill(self, point: str) -> None:
        """The job is killed, if it comes to the point; an answer that no file has by then is lost."""
        before = len(self.simulator.log())
        status = run_until(point)
        files = (path for path in self.journal.rglob("*") if path.is_file() and not _is_torn(path))
        kept = b"".join(path.read_bytes() for path in files)
        if status == -signal.SIGKILL:
            self.perished |= {
                pull.request_id
                for pull in self.simulator.log(before)
                if pull.replies and pull.request_id.encode() not in kept
            }
        self.is_whole = False
        self.look_at_the_journal()

    @rule()
    def copy_the_working_directory(self) -> None:
        """Somebody takes an image of the machine, without the journal and the database."""
        if self.working.exists():
            shutil.rmtree(self.copy, ignore_errors=True)
            shutil.copytree(self.working, self.copy)

    @rule(is_copy=st.booleans())
    def lose_the_working_directory(self, is_copy: bool) -> None:  # noqa: FBT001
        """The next run finds dlt's state as it was long ago, packages and all, or not at all."""
        shutil.rmtree(self.working, ignore_errors=True)
        if is_copy and self.copy.exists():
            shutil.copytree(self.copy, self.working)
        self.is_whole = False

    # What must hold.

    def look_at_the_journal(self) -> None:
        """Notes which pulls are in doubt, before a later run forgets their files."""
        for path in self.journal.glob("drains/*/*"):
            if path.suffix == ".in_doubt" or _is_torn(path):
                self.doubts.add(f"{path.parent.name}/{path.name.partition('.')[0]}")

    @precondition(lambda self: self.is_whole)
    @invariant()
    def the_warehouse_holds_what_the_model_knows(self) -> None:
        """Each delivered reply is there exactly once; each lost one is covered; nothing else is in doubt."""
        if not self.warehouse.database.exists():
            return
        rows = self.warehouse.query("select reply_content from sms.replies")
        rows += self.warehouse.query("select record->>'$.ReplyContent' from sms.rejected_replies")
        there = Counter(content for (content,) in rows)
        pulls = [pull for pull in self.simulator.log() if pull.replies]
        reached = [pull for pull in pulls if pull.delivered and pull.request_id not in self.perished]
        expected = Counter(_texts(reached))
        assert there == expected, (there - expected, expected - there)
        lost = [pull for pull in pulls if pull not in reached]
        in_doubt = self.warehouse.query("select pull_id, at_risk from sms.pulls where outcome = 'in_doubt'")
        assert {pull_id for pull_id, _ in in_doubt} == self.doubts
        assert len(in_doubt) == len(self.doubts) >= len(lost)
        assert {at_risk for _, at_risk in in_doubt} <= {3}
        assert self.warehouse.query("select coalesce(sum(replies), 0) from sms.pulls") == [(len(rows),)]


def _is_torn(path: Path) -> bool:
    """Whether a file is an intent without a whole answer: of a small one, half has the RequestId already."""
    return path.suffix == ".intent" and not path.read_bytes().rstrip(b"\0").endswith(b"}}")


def _texts(pulls: list[Pull]) -> list[str]:
    return [record["ReplyContent"] for pull in pulls for record in pull.records]


def test_nothing_is_lost_and_nothing_doubled_in_any_order_of_events(
    own_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies, faults, runs, exceptions, kills, replays, sweeps, lost and old working directories."""
    monkeypatch.setattr("sms_source.pulling.queue_state.LONGEST_BACKOFF_SECONDS", 0.01)

    class Example(Machine):
        def __init__(self) -> None:
            super().__init__(tmp_path, monkeypatch)

    run_state_machine_as_test(
        Example,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
