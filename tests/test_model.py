"""The protocol in a world without threads and clocks, crashed at every moment at which it can be.

What runs is the product's own: pull_once, the journal with its bundles and its spill, commits, rounds. In
memory are the storage, the API's answers and dlt: see `tests.model`. Some thousand images of crashes by
default; a million with `--hypothesis-profile=thorough`.
"""

import gc
import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from sms_source.journal import local_storage
from tests.model.disk import FOLDER, STORE
from tests.model.explore import Arrive, Explorer, GoBack, Run, Step
from tests.model.image import BROKEN, DELIVERED, LOST, REFUSED, Image, Plan
from tests.model.local import RECORDED, LocalWorld, Unflushed, write_tree
from tests.model.promise import check
from tests.model.recorded import Calls, RecordedDisk, recording
from tests.model.stand_ins import in_place

KINDS = [FOLDER, STORE]

IS_THOROUGH = bool(settings.default and settings.default.max_examples > 1_000)
pytestmark = pytest.mark.timeout(7200 if IS_THOROUGH else 300)
MAX_AGAIN = None if IS_THOROUGH else 1
"""Crashes of each recovery that are examined: all of them take some minutes."""

HISTORIES: dict[str, list[Step]] = {
    "a first run": [Arrive(5), Run()],
    "a second run": [Arrive(2), Run(), Arrive(3), Run()],
    "a full drain, and the next one ahead": [Arrive(6), Run(Plan(drain_pulls=2))],
    "two pulls in flight": [Arrive(4), Run(Plan(nested=True))],
    "a lost answer": [Arrive(4), Run(Plan(outcomes=(LOST,)))],
    "a broken answer": [Arrive(4), Run(Plan(outcomes=(DELIVERED, BROKEN)))],
    "a pull that is not executed": [Arrive(2), Run(Plan(outcomes=(REFUSED,)))],
    "a load that fails": [Arrive(2), Run(Plan(fails="before")), Arrive(2), Run()],
    "a load that fails after the commit": [Arrive(2), Run(Plan(fails="after")), Arrive(2), Run()],
    "bundles that are merged": [step for _ in range(4) for step in (Arrive(1), Run())],
    "a replay": [Arrive(3), Run(), Arrive(1), Run(), Run(Plan(replay=True))],
    "a replay that fails": [Arrive(3), Run(), Run(Plan(replay=True, fails="before")), Run()],
    "an older warehouse": [Arrive(2), Run(), Arrive(2), Run(), GoBack(1), Run()],
    "a warehouse that is gone": [Arrive(2), Run(), Arrive(2), Run(), GoBack(9), Arrive(1), Run()],
}

LATE: list[Step] = [Arrive(4), Run(Plan(nested=True), crash=True), Run(Plan(late=3)), Run(Plan(late=1))]


@pytest.fixture(autouse=True, scope="module")
def model() -> Iterator[None]:
    """Put the model in the place of clocks, threads and dlt, and keep the product's log quiet."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    was_enabled = gc.isenabled()
    gc.enable()  # the main job's modules turn it off until a job begins; a million images would stay
    with in_place():
        yield
    if not was_enabled:
        gc.disable()
    logging.disable(level)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HISTORIES)
def test_every_crash_of_a_small_history_is_made_whole(name: str, kind: str) -> None:
    """At each step, with each combination of what was not flushed, and again in the recovery."""
    explorer = Explorer(kind, max_again=MAX_AGAIN)
    explorer.explore(HISTORIES[name])
    assert explorer.distinct > 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a full drain, and the next one ahead", "two pulls in flight"])
def test_every_crash_without_a_retention_is_made_whole(name: str, kind: str) -> None:
    """Nothing is archived then: what is loaded goes."""
    explorer = Explorer(kind, retention=0, max_again=MAX_AGAIN)
    explorer.explore(HISTORIES[name])
    assert explorer.distinct > 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spill_refuses", [False, True])
def test_every_call_of_the_storage_may_fail(kind: str, spill_refuses: bool) -> None:  # noqa: FBT001
    """A full disk, a store that is away: once at each call, with the spill at hand and without."""
    for call in range(1, 40):
        plan = Plan(drain_pulls=2, refuses=frozenset({call}), spill_refuses=spill_refuses)
        Explorer(kind, max_images=MAX_AGAIN).explore([Arrive(6), Run(plan)])


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_that_comes_late_is_loaded_and_no_longer_in_doubt(seed: int) -> None:
    """Its process was taken for dead by the lease of an object store, and went on."""
    Explorer(STORE, seed=seed).explore(LATE)


PLANS = st.builds(
    Plan,
    outcomes=st.lists(st.sampled_from([DELIVERED, DELIVERED, LOST, BROKEN, REFUSED]), max_size=4).map(tuple),
    drain_pulls=st.integers(1, 4),
    nested=st.booleans(),
    replay=st.sampled_from([False, False, False, True]),
    fails=st.sampled_from(["", "", "", "before", "after"]),
    refuses=st.frozensets(st.integers(1, 40), max_size=2),
    spill_refuses=st.sampled_from([False, False, False, True]),
)
STEPS = st.one_of(
    st.builds(Arrive, st.integers(1, 6)),
    st.builds(Run, PLANS, st.booleans()),
    st.builds(GoBack, st.integers(0, 4)),
)


@pytest.mark.long
@pytest.mark.parametrize("_part", range(5 if IS_THOROUGH else 1))
@settings(deadline=None, max_examples=2_500 if IS_THOROUGH else 25, suppress_health_check=list(HealthCheck))
@given(
    history=st.lists(STEPS, min_size=2, max_size=12),
    kind=st.sampled_from(KINDS),
    late=st.lists(st.integers(1, 30), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_crashes_of_long_histories_are_made_whole(
    _part: int, history: list[Step], kind: str, late: list[int], seed: int
) -> None:
    """Replies, faults, crashes, replays and older warehouses in any order; a sample of each run's crashes."""
    steps: list[Step] = [*history]
    if kind == STORE:
        steps += [Run(Plan(late=call)) for call in late]
    explorer = Explorer(kind, max_images=6, max_again=2, seed=seed)
    explorer.explore(steps)
    note(f"{explorer.images} images, {explorer.distinct} of them distinct")


@pytest.mark.long
def test_a_folder_is_what_the_model_takes_it_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each system call of `LocalStorage`: a kill, and power cuts that lose what was not flushed."""
    folder, disk, draw = tmp_path / "recorded", RecordedDisk(), random.Random(1)
    folder.mkdir()
    images: dict[int, tuple[dict[str, bytes | None], Image]] = {}
    world = LocalWorld(Image(), folder)

    def crash() -> None:
        outside = world.outside()
        for tree in disk.trees(draw, 30 if IS_THOROUGH else 1):
            images.setdefault(hash((frozenset(tree.items()), outside.key)), (tree, outside))

    calls = Calls(folder, disk, crash)
    with recording(calls):
        world.go_through(RECORDED)

    monkeypatch.setattr(local_storage, "os", Unflushed())
    monkeypatch.setattr(local_storage, "shutil", shutil)
    for number, (tree, outside) in enumerate(images.values()):
        copy = tmp_path / str(number)
        write_tree(copy, tree)
        recovered = LocalWorld(outside, copy)
        assert recovered.run(Plan()) is None
        check(recovered.image())
        before = recovered.image()
        assert recovered.run(Plan()) is None
        assert recovered.image().key == before.key
        shutil.rmtree(copy)
    print(len(images))
    assert len(images) > 250
