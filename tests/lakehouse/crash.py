"""The crash harness on a folder of Delta tables.

python -m tests.lakehouse.crash 200
"""

import os
import sys
import tempfile
from pathlib import Path

from deltalake import DeltaTable

from tests.crash.harness import Harness, Options, Report
from tests.crash.truth import Tables


class LakeHarness(Harness):
    """Reads the tables as deltalake does; DuckDB would need an extension for it."""

    def _read_tables(self, feed: str) -> Tables:
        folder = Path(os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"], self._dataset)
        names = (feed, "pulls", "rejected_records")
        return Tables(*(DeltaTable(folder / name).to_pyarrow_table().to_pylist() for name in names))


def run(kills: int, seed: int) -> Report:
    """So many kills of the job that writes Delta tables below the configured folder."""
    with LakeHarness(Options(kills=kills, seed=seed, destination="filesystem")) as harness:
        harness.crash_often(lambda line: print(line, flush=True))
        return harness.report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as lake:
        os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = lake
        report = run(int(sys.argv[1]), seed=1)
    print(report)
    sys.exit(bool(report.violations))
