"""Requirements: those of tests/postgres and tests/s3."""

from tests.postgres.conftest import postgres, server
from tests.s3.conftest import s3

__all__ = ["postgres", "s3", "server"]
