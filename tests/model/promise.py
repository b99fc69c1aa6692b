"""The invariants: the promise, both halves."""

from typing import Any

from tests.model.image import Image, Pop


class BrokenPromiseError(AssertionError):
    """An invariant does not hold."""


def check(image: Image) -> None:
    """Look whether a world in which nothing waits any more is whole. Raises `BrokenPromiseError`."""
    warehouse = image.warehouse
    texts = list(warehouse.replies.values())
    _expect(len(texts) == len(set(texts)), "a record is there twice", texts)
    _expect(not image.queue, "the queue is not empty", image.queue)
    waiting = [path for path in image.journal if path.startswith("drains/")]
    _expect(not waiting, "something waits in the journal", waiting)
    _expect(not image.spill, "something waits in the spill", list(image.spill))
    explained: set[str] = set()
    for pop in image.pops:
        explained |= _check_pop(image, pop)
    strange = warehouse.replies.keys() - explained
    _expect(not strange, "rows that nobody sent", strange)
    for pull_id, row in warehouse.pulls.items():
        is_kept = image.kept.get(pull_id) == "answer"
        _expect(not (row[0] == "in_doubt" and is_kept), "an answer that was kept is in doubt", pull_id)


def _check_pop(image: Image, pop: Pop) -> set[str]:
    """Look at what one request took out of the queue; return the ids of its rows."""
    ids = [f"{pop.pull_id}/{n}" for n in range(len(pop.texts))]
    there = [n for n, each in enumerate(ids) if each in image.warehouse.replies]
    row = image.warehouse.pulls.get(pop.pull_id)
    for n in there:
        _expect(image.warehouse.replies[ids[n]] == pop.texts[n], "another text than was sent", ids[n])
    kept = image.kept.get(pop.pull_id)
    if kept == "answer":
        _expect(len(there) == len(ids), "journaled, and not loaded", pop)
    if kept == "in_doubt":
        _expect(there == list(range(pop.whole)), "what a broken answer brought is not loaded", (pop, there))
    gone = [each for each in ids if each in image.rows and each not in image.warehouse.replies]
    _expect(not gone, "loaded once, and not there any more", gone)
    if row == ("answered", len(ids), 0) and kept != "in_doubt":
        _expect(len(there) == len(ids), "answered, and not loaded", pop)
    else:
        _expect(kept != "answer", "the ledger differs from the answer", (pop, row))
        covered = row is not None and row[0] == "in_doubt" and row[2] >= len(ids) - len(there)
        _expect(covered, "lost, and not in doubt", (pop, row))
        # An answer that was written nowhere is loaded from memory; killed then, a run leaves the intent.
        is_homeless = kept is None and pop.pull_id in image.homeless
        counted = row is not None and (row[1] == len(there) or is_homeless)
        _expect(counted, "the ledger counts other records", (pop, row))
    return set(ids)


def expect_the_same(before: Image, after: Image, what: str) -> None:
    """Compare, but for answers that were written nowhere: with the warehouse, they are gone."""
    exempt = before.homeless - before.kept.keys()
    tables: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "replies": (before.warehouse.replies, after.warehouse.replies),
        "pulls": (before.warehouse.pulls, after.warehouse.pulls),
    }
    for name, (old, new) in tables.items():
        keys = [key for key in old.keys() | new.keys() if not key.startswith(tuple(exempt))]
        if any(old.get(key) != new.get(key) for key in keys):
            raise BrokenPromiseError(f"{what} changed {name}: {_difference(old, new)}")


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return what differs, in some examples."""
    keys = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return "; ".join(f"{key}: {before.get(key)} is {after.get(key)}" for key in sorted(keys)[:3])


def _expect(holds: bool, what: str, example: Any) -> None:  # noqa: FBT001 - a condition comes first
    if not holds:
        raise BrokenPromiseError(f"{what}: {example}")
