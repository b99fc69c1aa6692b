"""load() leaves dlt and the process as it found them."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dlt.common.configuration.container import Container
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.pipeline import PipelineContext

_one_at_a_time = threading.RLock()


@contextmanager
def as_found() -> Iterator[None]:
    """Restore, at the end, the active pipeline, dlt's logger and the mask of new files' permissions.

    All three are the whole process's, so a second thread waits for the first. What is written meanwhile only
    this user can read: it holds people's numbers and words.
    """
    with _one_at_a_time, warnings.catch_warnings():
        # What SQLAlchemy says with each run about the SQL that dlt has it make.
        warnings.filterwarnings("ignore", "implicitly coercing SELECT object to scalar subquery")
        context = Container()[PipelineContext]
        before = context.pipeline() if context.is_active() else None
        dlt_logger = logging.getLogger("dlt")
        filters = list(dlt_logger.filters)
        dlt_logger.addFilter(_is_not_about_speed)
        umask = os.umask(0o077)
        try:
            yield
        finally:
            os.umask(umask)
            dlt_logger.filters[:] = filters
            if before is not None:
                context.activate(before)
            elif context.is_active():
                context.deactivate()


def forget_credentials() -> None:
    """Keep what was resolved so far, keys among it, out of the trace that dlt writes of the next run."""
    get_resolved_traces().clear()


def _is_not_about_speed(record: logging.LogRecord) -> bool:
    """Leave out what dlt says with each package about Arrow tables in the file format chosen here."""
    return "native writer could not be found" not in record.getMessage()
