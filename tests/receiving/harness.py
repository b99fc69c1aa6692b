"""Kills the job that receives while it is pushed to, hundreds of times, and looks what is missing.

    python -m tests.receiving.harness --kills 300

Some senders push replies and receipts over real HTTP, as fast as they are answered, and push again what was
not answered, as Tencent Cloud does; replies wait in the queue, too. Each job is a process of its own, ended
by SIGKILL at a moment drawn from the first seconds of its life, which has several rounds with loads. At the
end one runs undisturbed. The promise: what was answered with success is in the warehouse exactly once, and
nothing is there twice.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, a_reply
from tests.helpers.jobs import run_job
from tests.receiving.receiving_job import TOKEN, ReceivingJob, a_pushed_receipt, a_pushed_reply, configure

SENDERS = 4
LONGEST_LIFE = 2.5
"""Seconds from the moment at which a job listens to its kill, at most."""
PAUSE = 0.01
"""Seconds between two pushes of a sender, so that the warehouse does not outgrow the harness."""


class Result(NamedTuple):
    """What became of it."""

    kills: int
    accepted: int
    pushed_again: int
    violations: list[str]


class Sender(threading.Thread):
    """Pushes until it is to stop; `accepted` is what was answered with success, `sent` all that was tried."""

    def __init__(self, number: int, port: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._prefix = f"{number}-"
        self._port = port
        self.stopping = threading.Event()
        self.sent: set[str] = set()
        self.accepted: set[str] = set()
        self.again = 0

    def run(self) -> None:
        """Push one body after the other, each until it is accepted."""
        count = 0
        while not self.stopping.is_set():
            count += 1
            path, body, names = self._make(count)
            self.sent.update(names)
            while not self._push(path, body):
                self.again += 1
                if self.stopping.is_set():
                    return
                time.sleep(0.02)
            self.accepted.update(names)
            time.sleep(PAUSE)

    def _make(self, count: int) -> tuple[str, bytes, list[str]]:
        name = f"{self._prefix}{count}"
        if count % 3:
            path = f"replies/{OTHER_APP}" if count % 2 else "replies"
            return path, json.dumps(a_pushed_reply(name, time=1_700_000_000 + count)).encode(), [name]
        names = [f"{name}-{n}" for n in range(5)]
        return f"receipts/{APP}", json.dumps([a_pushed_receipt(one) for one in names]).encode(), names

    def _push(self, path: str, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=30)
        try:
            connection.request("POST", f"/{TOKEN}/{path}", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status == 200 and json.loads(response.read())["result"] == 0
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()


class Harness:
    """The simulator, the senders, and one job after the other."""

    def __init__(self, kills: int, seed: int, folder: Path) -> None:
        self._kills = kills
        self._random = random.Random(seed)
        self._folder = folder
        self._port = 1
        self._queued = 0

    def run(self, told: Callable[[str], None] = lambda line: None) -> Result:
        """Do all of it."""
        with SimulatorProcess(app_ids=[APP]) as simulator:
            configure(simulator, str(self._folder))
            senders = [Sender(number, lambda: self._port) for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            for number in range(1, self._kills + 1):
                self._crash_once(simulator)
                if not number % 20:
                    told(f"{number} kills, {sum(len(s.accepted) for s in senders):,} records accepted")
            for sender in senders:
                sender.stopping.set()
                sender.join()
            status, _, errors = run_job()
            violations = [errors] if status else []
            violations += self._violations(senders)
            accepted = sum(len(sender.accepted) for sender in senders)
            return Result(self._kills, accepted, sum(sender.again for sender in senders), violations)

    def _crash_once(self, simulator: SimulatorProcess) -> None:
        with ReceivingJob() as job:
            self._port = job.port
            simulator.enqueue(APP, [a_reply(f"queue {self._queued + n}") for n in range(5)])
            self._queued += 5
            time.sleep(self._random.uniform(0, LONGEST_LIFE))
            job.process.kill()
            job.process.wait()
        if "Traceback" in job.output:
            raise AssertionError(job.output)

    def _violations(self, senders: list[Sender]) -> list[str]:
        with duckdb.connect(str(self._folder / "sms_replies.duckdb"), read_only=True) as connection:
            query: Any = (
                "select reply_content from sms.replies where channel = 'callback' "
                "union all select serial_no from sms.receipts"
            )
            found = Counter(text for (text,) in connection.execute(query).fetchall())
            pulled = connection.execute(
                "select count(*), count(distinct reply_content) from sms.replies where channel = 'queue'"
            ).fetchone()
            (at_risk,) = connection.execute("select coalesce(sum(at_risk), 0) from sms.pulls").fetchone() or (
                0,
            )
        accepted: set[str] = set().union(*(sender.accepted for sender in senders))
        sent: set[str] = set().union(*(sender.sent for sender in senders))
        problems = {
            "accepted, and missing": accepted - found.keys(),
            "there, and never sent": found.keys() - sent,
            "there twice": {name for name, count in found.items() if count > 1},
        }
        violations = [
            f"{what}: {len(names)}, such as {sorted(names)[:3]}" for what, names in problems.items() if names
        ]
        if (
            pulled is None
            or pulled[0] != pulled[1]
            or not self._queued - at_risk <= pulled[0] <= self._queued
        ):
            violations.append(f"of {self._queued} in the queue {pulled} are there; {at_risk} were at risk")
        return violations


def main() -> int:
    """Run it; return 1 when the promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiving-") as folder:
        result = Harness(args.kills, args.seed, Path(folder)).run(
            lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(
        f"{result.kills} kills, {result.accepted:,} records accepted, {result.pushed_again:,} pushes made "
        f"again: {len(result.violations)} violations"
    )
    print(*result.violations, sep="\n")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
