"""All contenders, one after the other, with the same work; and what a kill half way costs each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmark.bars import Workshop
from tests.benchmark.contender import Contender, arrived
from tests.benchmark.workload import AT_THE_CEILING, UNLIMITED, Setting, source


@dataclass(frozen=True)
class Course:
    """Work for all contenders.

    replies: in the queue, by setting.
    rounds: of all contenders, so that each has a turn in each.
    killed: replies in the queue of the run that is killed.
    """

    replies: dict[Setting, int]
    rounds: int
    killed: int


FULL = Course({AT_THE_CEILING: 50_000, UNLIMITED: 100_000}, rounds=3, killed=20_000)
SHORT = Course({AT_THE_CEILING: 2_000, UNLIMITED: 2_000}, rounds=1, killed=3_000)


def race(
    workshop: Workshop, contenders: Sequence[Contender], course: Course, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure each contender in each setting and round: replies a second, CPU, memory, requests."""
    results = []
    for setting, replies in course.replies.items():
        for number in range(course.rounds):
            for contender in contenders:
                usage, pulled = workshop.drain(contender, setting, replies)
                results.append(
                    {
                        "contender": contender.name,
                        "setting": setting.name,
                        "round": number + 1,
                        "replies": replies,
                        "seconds": usage.seconds,
                        "replies_per_second": replies / usage.seconds,
                        "cpu_seconds_per_million": usage.cpu_seconds / replies * 1e6,
                        "peak_megabytes": usage.peak_bytes / 1e6,
                        "requests": pulled.requests,
                    }
                )
                tell(f"{setting.name}, round {number + 1}: {contender.name}, {usage.seconds:.1f} s")
    return results


def losses(
    workshop: Workshop, contenders: Sequence[Contender], course: Course, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure what each contender loses and doubles after a kill half way, and a second run to the end."""
    results = []
    for contender in contenders:
        folder = workshop.a_folder()
        with source(AT_THE_CEILING) as queue:
            queue.enqueue(course.killed)
            run = contender.start(folder, queue)
            while run.is_running() and queue.handed_out() < course.killed / 2:
                time.sleep(0.01)
            run.kill()
            contender.start(folder, queue).wait()
            found, people = arrived(contender, folder), queue.people()
        results.append(
            {
                "contender": contender.name,
                "replies": len(people),
                "lost": len(people - found.people),
                "doubled": found.rows - len(found.people),
                "accounted": found.at_risk,
            }
        )
        tell(f"killed half way: {contender.name} has lost {results[-1]['lost']:,} replies")
    return results
