"""An Airflow of its own, in .venv-airflow, for the tests of the DAG.

    python -m tests.airflow.environment            installs it, from the versions in constraints.txt
    python -m tests.airflow.environment --resolve  makes constraints.txt anew, with the newest versions

Airflow has more dependencies than everything else here together, and its own opinion of their versions.
So it has an environment of its own, which is made once and used again until what is in it should change.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import tomlkit

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
FOLDER = ROOT / ".venv-airflow"
# The extra of the destination is what the DAG's docstring tells a user to install.
REQUIREMENTS = ("apache-airflow>=3.2,<4", "dlt[postgres]")
BUILD = ("hatchling", "editables")


def install() -> None:
    """Makes the environment if it is not up to date, and installs the project into it, as it is now."""
    key = _key()
    stamp = FOLDER / ".installed"
    if not stamp.exists() or stamp.read_text() != key:
        print(
            f"Installing the versions of {CONSTRAINTS.relative_to(ROOT)} into {FOLDER.name} ...", flush=True
        )
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
        _pip(FOLDER, "install", "-c", str(CONSTRAINTS), *BUILD)
        _pip(FOLDER, "install", "-c", str(CONSTRAINTS), "--no-build-isolation", str(ROOT), *REQUIREMENTS)
        stamp.write_text(key)
    else:
        _pip(FOLDER, "install", "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT))


def resolve() -> None:
    """Writes the constraints: the newest versions that go together, as pip finds them."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "venv")
        _run(sys.executable, "-m", "venv", str(environment))
        _pip(environment, "install", "--only-binary=:all:", *BUILD)
        _pip(environment, "install", "--prefer-binary", "--no-build-isolation", str(ROOT), *REQUIREMENTS)
        pins = _pip(environment, "freeze", "--all", "--exclude", "pip", "--exclude", "tencent-sms-replies")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    header = f"# Made by `python -m tests.airflow.environment --resolve`, with Python {python}.\n"
    CONSTRAINTS.write_text(header + pins, encoding="utf-8")


def _key() -> str:
    """What the environment depends on."""
    parts = (
        sys.version.encode(),
        str(FOLDER).encode(),
        Path(__file__).read_bytes(),
        CONSTRAINTS.read_bytes(),
    )
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]
    dependencies = repr(project["dependencies"]).encode()
    return hashlib.sha256(b"\0".join((*parts, dependencies))).hexdigest()


def _pip(environment: Path, *arguments: str) -> str:
    python = str(environment / "bin" / "python")
    return _run(python, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "-q", *arguments[1:])


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolve", action="store_true", help="make constraints.txt anew")
    if parser.parse_args().resolve:
        resolve()
    else:
        install()


if __name__ == "__main__":
    main()
