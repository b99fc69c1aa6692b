"""What all are measured with: the same replies, from the same simulator; and what it saw of each."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from sms_source.feeds import REPLIES
from sms_source.journal.pull import Pull
from sms_source.loading.tables import feed_schema, to_tables
from sms_source.settings import MAX_PULL_LIMIT, TABLE_RECORDS
from sms_source.simulator import SimulatorProcess

CEILING = 10_000
"""Replies a second that the API allows: 100 pulls of 100."""

_TEXTS = (
    "T",
    "Y",
    "退订",
    "5",
    "收到",
    "4 - fast, thank you",
    "包裹还没到 😡",
    "Can I come an hour later?",
    "你好\n我想换个地址",
    "好的",
    "1 分 太慢了",
    "Yes",
)
_FIRST_REPLY_TIME = 1_700_000_000


@dataclass(frozen=True)
class Setting:
    """How the simulator answers.

    rate_limit: pulls a second; 0 is no limit.
    latency: seconds between a request and its answer.
    """

    name: str
    rate_limit: int
    latency: float


AT_THE_CEILING = Setting("limit and latency", rate_limit=100, latency=0.05)
UNLIMITED = Setting("no limit, no latency", rate_limit=0, latency=0.0)


@dataclass(frozen=True)
class Pulled:
    """What the simulator saw of a run.

    requests: pulls that it was asked for.
    refused: of them, refused for the rate.
    replies: handed out.
    seconds: the pull phase, from the first pull that handed out replies to the last.
    rate: replies a second in that phase, those of its first pull apart: they begin it.
    """

    requests: int
    refused: int
    replies: int
    seconds: float
    rate: float


class Source:
    """One application of a simulator, whose queue one run empties."""

    def __init__(self, simulator: SimulatorProcess, app_id: str, setting: Setting) -> None:
        self.simulator = simulator
        self.app_id = app_id
        self.setting = setting
        self._start = simulator.stats()

    def enqueue(self, count: int) -> None:
        """Append so many replies to the queue, each with a phone number of its own."""
        self.simulator.enqueue(self.app_id, a_campaign(count))

    def handed_out(self) -> int:
        """Return how many replies were handed out so far."""
        return self.simulator.stats().handed_out - self._start.handed_out

    def pulled(self) -> Pulled:
        """Return what the simulator saw until now."""
        end = self.simulator.stats()
        # The first and the last that handed out replies are near the ends of a log that may be long.
        near = 500
        first = next(p for p in self.simulator.log(self._start.pulls, self._start.pulls + near) if p.replies)
        tail = self.simulator.log(max(end.pulls - near, self._start.pulls), end.pulls)
        last = next(pull for pull in reversed(tail) if pull.replies)
        replies = end.handed_out - self._start.handed_out
        seconds = last.time - first.time
        return Pulled(
            requests=end.pulls - self._start.pulls,
            refused=end.limited - self._start.limited,
            replies=replies,
            seconds=seconds,
            rate=(replies - len(first.replies)) / seconds if seconds else 0.0,
        )

    def people(self) -> set[str]:
        """Return the phone numbers of all replies that were handed out."""
        return {
            record["PhoneNumber"] for pull in self.simulator.log(self._start.pulls) for record in pull.records
        }


@contextmanager
def sources(setting: Setting, count: int) -> Iterator[list[Source]]:
    """Provide a simulator process with so many applications."""
    app_ids = [str(1_400_000_001 + number) for number in range(count)]
    simulator = SimulatorProcess(app_ids, rate_limit=setting.rate_limit, latency=setting.latency)
    with simulator:
        yield [Source(simulator, app_id, setting) for app_id in app_ids]


@contextmanager
def source(setting: Setting) -> Iterator[Source]:
    """Provide a simulator process with one application."""
    with sources(setting, 1) as (only,):
        yield only


def a_campaign(count: int) -> Iterator[dict[str, str | int]]:
    """Yield replies as a campaign brings them; the phone number tells each from all others."""
    for number in range(count):
        subscriber_number = f"12{number:09}"
        yield {
            "ExtendCode": "101",
            "CountryCode": "86",
            "PhoneNumber": f"+86{subscriber_number}",
            "SubscriberNumber": subscriber_number,
            "SignName": "湖畔书店",
            "ReplyContent": _TEXTS[number % len(_TEXTS)],
            "ReplyTime": _FIRST_REPLY_TIME + number // 100,
        }


def write_rows(path: Path, count: int) -> None:
    """Write the rows of a campaign, as this connector makes them of its answers, as a Parquet file."""
    now = datetime.now(timezone.utc)
    replies = a_campaign(count)
    with pq.ParquetWriter(path, feed_schema(REPLIES)) as writer:
        while pulls := [
            Pull(
                f"{uuid.uuid4().hex}/000001",
                "replies",
                "1400000001",
                "ap-guangzhou",
                MAX_PULL_LIMIT,
                requested_at=now,
                answered_at=now,
                request_id=str(uuid.uuid4()),
                records=records,
            )
            for _ in range(TABLE_RECORDS // MAX_PULL_LIMIT)
            if (records := list(islice(replies, MAX_PULL_LIMIT)))
        ]:
            writer.write_table(to_tables(pulls, [REPLIES], {}).records["replies"])
