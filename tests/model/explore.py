"""Goes through histories, and looks whether the next run makes whole what each crash of them leaves."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tests.model.disk import FOLDER
from tests.model.image import Image, Plan, Warehouse
from tests.model.promise import BrokenPromiseError, check, expect_the_same
from tests.model.world import World


@dataclass(frozen=True)
class Arrive:
    """People reply.

    count: so many.
    """

    count: int


@dataclass(frozen=True)
class Run:
    """A run of the job.

    plan: what happens in it.
    crash: whether it ends at one of the moments at which it can, which the explorer draws.
    """

    plan: Plan = field(default_factory=Plan)
    crash: bool = False


@dataclass(frozen=True)
class GoBack:
    """Somebody puts an older copy of the warehouse in its place.

    runs: so many runs older, at most.
    """

    runs: int


Step = Arrive | Run | GoBack


@dataclass
class Explorer:
    """Recovers from the images of crashes, and counts them.

    kind: of the journal's storage.
    retention: days; of 0, nothing can heal.
    max_images: images of a run that are examined, drawn at random; None for all.
    max_again: the same of each recovery: of its own crashes.
    seed: of the draws.
    """

    kind: str = FOLDER
    retention: int = 7
    max_images: int | None = None
    max_again: int | None = 0
    seed: int = 0
    images: int = 0
    distinct: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._met: set[int] = set()

    def explore(self, history: Iterable[Step]) -> Image:
        """Go through a history, and examine what each crash of it leaves; return what is there in the end."""
        image, arrived = Image(), 0
        warehouses = [image.warehouse]
        for step in history:
            if isinstance(step, Arrive):
                texts = (f"text {arrived + n}" for n in range(step.count))
                image, arrived = replace(image, queue=(*image.queue, *texts)), arrived + step.count
            elif isinstance(step, GoBack):
                warehouse = warehouses[-1 - step.runs] if step.runs < len(warehouses) else Warehouse()
                image = _gone_back(image, warehouse)
            else:
                crashes: list[Image] = []
                after = self._run(image, step.plan, crashes)
                image = self._random.choice(crashes) if step.crash and crashes else after
                self._examine_some(crashes)
                older = self._random.choice(warehouses)
                if self.retention:
                    self._examine_some([_gone_back(crash, older) for crash in crashes])
                warehouses.append(image.warehouse)
            self.examine(image, is_last=False)
        return image

    def examine(self, image: Image, *, is_last: bool = True) -> None:
        """Recover from an image, unless it was met before, and see that it stays whole.

        Args:
            image: of a crash.
            is_last: whether the recovery is left in peace; else it crashes, too.

        Raises:
            BrokenPromiseError: the recovery fails, or an invariant does not hold.
        """
        self.images += 1
        if image.key in self._met:
            return
        self._met.add(image.key)
        self.distinct += 1
        crashes: list[Image] = []
        whole = self._recover(image, None if is_last else crashes)
        again = self._run(whole, Plan())
        if again.key != whole.key:
            raise BrokenPromiseError("a third run changed something")
        if self.retention and not is_last:
            gone = _gone_back(whole, Warehouse())
            expect_the_same(whole, self._recover(gone), "healing")
            expect_the_same(whole, self._run(whole, Plan(replay=True)), "a replay")
        for crash in self._draw(crashes, self.max_again):
            self.examine(crash)

    def _examine_some(self, images: list[Image]) -> None:
        for image in self._draw(images, self.max_images):
            self.examine(image, is_last=False)

    def _draw(self, images: list[Image], maximum: int | None) -> list[Image]:
        return images if maximum is None or len(images) <= maximum else self._random.sample(images, maximum)

    def _run(self, image: Image, plan: Plan, crashes: list[Image] | None = None) -> Image:
        """Run once, whatever it ends with."""
        world = self._world(image, crashes)
        world.run(replace(plan, retention=self.retention))
        return world.image()

    def _recover(self, image: Image, crashes: list[Image] | None = None) -> Image:
        """Run undisturbed, and look whether all is whole then."""
        world = self._world(image, crashes)
        error = world.run(Plan(retention=self.retention))
        if error is not None:
            raise BrokenPromiseError(f"the recovery failed: {error!r}") from error
        whole = world.image()
        check(whole)
        return whole

    def _world(self, image: Image, crashes: list[Image] | None) -> World:
        return World(image, self.kind, None if crashes is None else crashes.append)


def _gone_back(image: Image, warehouse: Warehouse) -> Image:
    """Put another warehouse into the place of the image's."""
    return replace(image, warehouse=warehouse, rows=image.rows.intersection(warehouse.replies))
