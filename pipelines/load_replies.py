"""Empties the queues of Tencent Cloud SMS applications into a warehouse, each record exactly once.

    python pipelines/load_replies.py --demo     against the bundled simulator, no account needed
    python pipelines/load_replies.py --check    proves configuration and permission, takes no record
    python pipelines/load_replies.py            the job

Exit status: 0 the queues are drained and loaded; 1 the run failed; 2 wrong usage or configuration.
"""

import sys
from pathlib import Path

# Run from a checkout, as the README does, the package is beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sms_source.cli import console, job

if __name__ == "__main__":
    console(job)
