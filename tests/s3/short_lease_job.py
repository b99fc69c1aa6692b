"""The main job, with a lease that ends soon: a process to pause."""

import sys

from sms_source.cli import job
from sms_source.journal import lease

lease.LEASE_SECONDS = 3.0
sys.exit(job(sys.argv[1:]))
