"""An Airflow of its own, in .venv-airflow, for the tests of the DAG.

    python -m tests.airflow.environment            installs it, from the versions in constraints.txt
    python -m tests.airflow.environment --resolve  makes constraints.txt anew, with the newest versions

Airflow has more dependencies than everything else here together, and its own opinion of their versions.
"""

import argparse
from pathlib import Path

from tests.environment import Environment

AIRFLOW = Environment(
    ".venv-airflow",
    Path(__file__).with_name("constraints.txt"),
    # The extra of the destination is what the DAG's docstring tells a user to install.
    ("apache-airflow>=3.2,<4", "dlt[postgres]"),
    has_project=True,
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolve", action="store_true", help="make constraints.txt anew")
    if parser.parse_args().resolve:
        AIRFLOW.resolve()
    else:
        AIRFLOW.install()
