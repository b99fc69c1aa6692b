"""What the tests of receiving share."""

from collections.abc import Iterator

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import Warehouse
from tests.receiving.receiving_job import ReceivingJob


@pytest.fixture
def receiver(configured: SimulatorProcess, warehouse: Warehouse) -> Iterator[ReceivingJob]:
    """Provide a job that drains replies and receives, with a status to look at."""
    with ReceivingJob("--status", "0") as job:
        yield job
