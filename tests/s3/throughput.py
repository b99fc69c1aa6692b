"""Measures how fast the main job drains a queue whose answers go into an object store first.

    python -m tests.s3.throughput --workers 16 --delays 0.03 0.1

The store is moto's server on this machine, in Python: a slow one. A delay, in seconds, is added to each of
its answers, as the way to a store in another place adds one; a pull waits for two of them. The rate is that
of the pulls in the simulator's log, without the API's quota of 100 a second.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sms_source.simulator import SimulatorProcess, demo_replies
from tests.crash.job import MAIN_SCRIPT, JournalFiles
from tests.s3.conftest import BUCKET, S3Server
from tests.s3.proxy import Proxy

APP = "1400006666"


def measure(replies: int, workers: int, store_url: str | None) -> float:
    """Drains the queue once; returns pulls a second. Without a store, the journal is a folder."""
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess([APP], rate_limit=0) as simulator:
        simulator.enqueue(APP, demo_replies(replies, seed=1, now=int(time.time())))
        options = {
            "CREDENTIALS__SECRET_ID": simulator.secret_id,
            "CREDENTIALS__SECRET_KEY": simulator.secret_key,
            "SMS_SDK_APP_IDS": APP,
            "API_ENDPOINT": simulator.url,
            "PULL_WORKERS": str(workers),
            "PULLS_PER_SECOND": "1000",
            "JOURNAL_URL": f"s3://{BUCKET}/{Path(folder).name}" if store_url else "sms_journal",
        }
        credentials = {
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "ENDPOINT_URL": store_url or "",
        }
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "DLT_DATA_DIR": str(Path(folder, "dlt")),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            **{f"SOURCES__SMS_SOURCE__{name}": value for name, value in options.items()},
            **{JournalFiles.prefix + name: value for name, value in credentials.items() if store_url},
        }
        subprocess.run(
            [sys.executable, str(MAIN_SCRIPT)], cwd=folder, env=environment, check=True, capture_output=True
        )
        times = [pull.time for pull in simulator.log() if pull.replies]
        return (len(times) - 1) / (times[-1] - times[0])


def main() -> None:
    """Prints a line for the folder, and one for the store with each delay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=20_000, metavar="N")
    parser.add_argument("--workers", type=int, default=16, metavar="N")
    parser.add_argument("--delays", type=float, nargs="*", default=[0.03, 0.1], metavar="SECONDS")
    options = parser.parse_args()
    print(f"{options.replies:,} replies, {options.workers} workers")
    print(
        f"  in a folder            {measure(options.replies, options.workers, None):6.0f} pulls/s", flush=True
    )
    server = S3Server()
    server.files().mkdir(BUCKET)
    try:
        rate = measure(options.replies, options.workers, server.url)
        print(f"  in a local S3          {rate:6.0f} pulls/s", flush=True)
        for delay in options.delays:
            with Proxy(server.port) as proxy:
                proxy.delay = delay
                rate = measure(options.replies, options.workers, proxy.url)
            print(f"  ... {delay * 1000:4.0f} ms away        {rate:6.0f} pulls/s", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
