"""Virtual environments beside .venv, for programs whose dependencies don't go together with the project's."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Environment:
    """An environment with a constraints file of its own, which pins all that is in it.

    name: of its folder, in the project's root.
    constraints: the file.
    requirements: what is asked for.
    """

    name: str
    constraints: Path
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / self.name

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.folder / "bin" / name)

    def install(self) -> None:
        """Makes it, if it is not up to date."""
        stamp = self.folder / ".installed"
        key = hashlib.sha256(
            repr((sys.version, self.folder, self.requirements)).encode() + self.constraints.read_bytes()
        ).hexdigest()
        if stamp.exists() and stamp.read_text() == key:
            return
        pins = self.constraints.relative_to(ROOT)
        print(f"Installing the versions of {pins} into {self.name} ...", flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(self.folder))
        self.pip("install", "-c", str(self.constraints), *self.requirements)
        stamp.write_text(key)

    def resolve(self) -> None:
        """Makes it anew with the newest versions that go together, and pins these."""
        run(sys.executable, "-m", "venv", "--clear", str(self.folder))
        self.pip("install", "--prefer-binary", *self.requirements)
        header = f"# The newest versions for {', '.join(self.requirements)}, with Python "
        pins = self.pip("freeze", "--all", "--exclude", "pip")
        self.constraints.write_text(f"{header}{sys.version_info.major}.{sys.version_info.minor}.\n{pins}")

    def pip(self, *arguments: str) -> str:
        """What a command of pip prints there."""
        python = self.program("python")
        return run(python, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "-q", *arguments[1:])


def run(*command: str) -> str:
    """What a command prints. Raises `CalledProcessError` when it fails."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
