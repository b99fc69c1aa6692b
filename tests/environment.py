"""Virtual environments beside .venv, for programs whose dependencies don't go together with the project's."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tomlkit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "dlt-tencent-sms"
BUILD = ("hatchling", "editables")


@dataclass(frozen=True)
class Environment:
    """An environment with a constraints file of its own, which pins all that is in it.

    name: of its folder, in the project's root.
    constraints: the file.
    requirements: what is asked for.
    has_project: whether this project is installed there as well, as it is at the moment.
    """

    name: str
    constraints: Path
    requirements: tuple[str, ...]
    has_project: bool = False

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / self.name

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self.folder / "bin" / name)

    def install(self) -> None:
        """Make it, if it is not up to date."""
        stamp, key = self.folder / ".installed", self._key()
        if stamp.exists() and stamp.read_text() == key:
            if self.has_project:
                self.pip("install", "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT))
            return
        pins = self.constraints.relative_to(ROOT)
        print(f"Installing the versions of {pins} into {self.name} ...", flush=True)
        self._make("-c", str(self.constraints))
        stamp.write_text(key)

    def resolve(self) -> None:
        """Make it anew with the newest versions that go together, and pin these."""
        self._make("--prefer-binary")
        header = f"# The newest versions for {', '.join(self.requirements)}, with Python "
        pins = self.pip("freeze", "--all", "--exclude", "pip", "--exclude", PROJECT)
        self.constraints.write_text(f"{header}{sys.version_info.major}.{sys.version_info.minor}.\n{pins}")

    def _make(self, *options: str) -> None:
        run(sys.executable, "-m", "venv", "--clear", str(self.folder))
        if self.has_project:
            self.pip("install", *options, *BUILD)
            self.pip("install", *options, "--no-build-isolation", str(ROOT), *self.requirements)
        else:
            self.pip("install", *options, *self.requirements)

    def _key(self) -> str:
        """Return what it depends on."""
        asked_for: list[object] = [sys.version, self.folder, self.requirements]
        if self.has_project:
            project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]
            asked_for.append(project["dependencies"])
        return hashlib.sha256(repr(asked_for).encode() + self.constraints.read_bytes()).hexdigest()

    def pip(self, *arguments: str) -> str:
        """Return what a command of pip prints there."""
        python = self.program("python")
        return run(python, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "-q", *arguments[1:])


def run(*command: str) -> str:
    """Return what a command prints. Raises `CalledProcessError` when it fails."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
