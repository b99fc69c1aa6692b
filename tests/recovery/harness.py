"""Recovers lost replies at full scale, killed again and again, and looks whether each is there once.

    python -m tests.recovery.harness --recipients 20000 --lost 1000 --kills 12

The simulator enforces the API's rate, so 20,000 recipients take 17 minutes at least.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import duckdb

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.helpers.jobs import ROOT, home_in, options_for
from tests.recovery.conftest import reply_of, write_numbers

COMMAND = [sys.executable, "-c", "import sys; from sms_source.cli import main; sys.exit(main(sys.argv[1:]))"]


def main() -> int:
    """Run it; return 1 when a reply is missing or there twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--lost", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess(app_ids=[APP]) as simulator:
        return _run(args, chance, Path(folder), simulator)


def _run(args: argparse.Namespace, chance: random.Random, folder: Path, simulator: SimulatorProcess) -> int:
    environment = {
        **home_in(folder),
        **options_for(simulator, APP),
        "PYTHONPATH": str(ROOT),
    }
    replies = [
        reply_of(chance.randrange(args.recipients), f"reply {n}", ago=chance.randrange(600, 6 * 86_400))
        for n in range(args.lost * 3)
    ]
    simulator.enqueue(APP, replies)
    for _ in range(args.lost // 100):  # of each three pulls, one is lost
        simulator.fail_next("reset", after=2)
    subprocess.run([*COMMAND, "load"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    lost = simulator.stats().lost
    numbers = write_numbers(folder / "numbers.csv", args.recipients)
    recover = [*COMMAND, "recover", "--numbers", str(numbers), "--log-format", "json"]
    began = time.monotonic()
    expected = args.recipients / 20
    for _ in range(args.kills):
        process = subprocess.Popen(
            recover, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=chance.uniform(0.5, 1.5 * expected / args.kills))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    last = subprocess.run(recover, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - began
    with duckdb.connect(str(folder / "sms_replies.duckdb"), read_only=True) as connection:
        rows = connection.sql("select reply_content, channel from sms.replies").fetchall()
    found = Counter(text for text, _ in rows)
    truth = Counter(reply["ReplyContent"] for reply in replies)
    refused = sum(pull.code == "RequestLimitExceeded" for pull in simulator.look_ups())
    result = {
        "lost": lost,
        "recovered": sum(channel == "lookup" for _, channel in rows),
        "missing": (truth - found).total(),
        "doubled": (found - truth).total(),
        "kills": args.kills,
        "recipients": args.recipients,
        "look_ups": simulator.stats().look_ups,
        "refused_for_the_rate": refused,
        "seconds": round(seconds),
        "last": json.loads(last.stdout.splitlines()[-1]),
    }
    print(json.dumps(result, indent=2))
    return int(found != truth)


if __name__ == "__main__":
    sys.exit(main())
