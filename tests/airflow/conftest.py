"""Requirements: Airflow in its environment (tests.airflow.environment), and PostgreSQL's server programs."""

from tests.postgres.conftest import postgres, server

__all__ = ["postgres", "server"]
