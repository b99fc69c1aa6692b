"""How the server behaves, where the documents leave a choice or a test wants another."""

from __future__ import annotations

import dataclasses
from typing import Any

_CHOICES: dict[str, tuple[Any, ...]] = {
    "empty_set": ("list", "null", "absent"),
    "look_up_ends": ("both", "begin", "end", "neither"),
    "delivery": ("both", "either", "split"),
}
_AT_LEAST_0 = ("rate_limit", "look_up_rate_limit", "latency", "look_up_delay", "push_retry_seconds")
_AT_LEAST_1 = ("page_size", "push_batch", "push_workers", "reply_push_attempts", "receipt_push_attempts")


def _setting(default: Any, meaning: str) -> Any:
    """Return a field of `Settings`; its meaning is what ``configure --help`` tells."""
    return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of it can change while the server runs.

    What Tencent's documents do not tell can be had either way: how no records look, when a look-up shows a
    record, what its window compares, whether it consumes, and whether a queue and a callback both get
    everything. ``delivery`` is where a record goes when its feed has a callback URL: to the queue and the
    callback (``both``), to one of them, drawn by ``delivery_seed`` (``either``), or to the callback alone,
    so that the queue holds what has no callback (``split``).
    """

    rate_limit: int = _setting(100, "pulls a second, for each account and action; 0 is no limit")
    look_up_rate_limit: int = _setting(20, "look-ups a second, for each account and action; 0 is no limit")
    latency: float = _setting(0.0, "seconds between popping and answering")
    empty_set: str = _setting("list", 'how no records look: "list", "null" or "absent"')
    page_size: int = _setting(
        100, "bounds an answer below its Limit, which makes short pages of a full queue"
    )
    keep_alive: bool = _setting(default=True, meaning="false announces and makes a close after each answer")
    clock_skew: float = _setting(0.0, "seconds by which the server's clock is ahead")
    look_up_delay: float = _setting(0.0, "seconds until a look-up shows a record that was enqueued")
    look_up_ends: str = _setting(
        "both", 'which ends of a window belong to it: "both", "begin", "end" or "neither"'
    )
    look_up_consumes: bool = _setting(
        default=False, meaning="true takes what a look-up found from queue and look-ups alike"
    )
    look_up_newest_first: bool = _setting(
        default=False, meaning="the order of a look-up's records; false is that of the queue"
    )
    look_up_send_lag: int = _setting(
        0, "seconds before a record's time that a window compares: the send's time"
    )
    delivery: str = _setting(
        "both", 'where a record goes when there is a callback: "both", "either" or "split"'
    )
    delivery_seed: int = _setting(1, 'what "either" draws from')
    push_batch: int = _setting(100, "receipts in a push at most")
    push_workers: int = _setting(1, "pushes at the same time; more can be had later, fewer not")
    push_timeout: float = _setting(5.0, "seconds that a push waits for its answer")
    push_retry_seconds: float = _setting(0.1, "pause between the attempts of a push")
    reply_push_attempts: int = _setting(1, "whether a reply is pushed again is not documented")
    receipt_push_attempts: int = _setting(3, "documented: twice more, then never")

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}, and not {getattr(self, name)!r}")
        for names, minimum in ((_AT_LEAST_0, 0), (_AT_LEAST_1, 1)):
            for name in names:
                if getattr(self, name) < minimum:
                    raise ValueError(f"{name} is {minimum} or more, and not {getattr(self, name)!r}")
        if self.push_timeout <= 0:
            raise ValueError(f"push_timeout is more than 0, and not {self.push_timeout!r}")
