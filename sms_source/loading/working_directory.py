"""dlt's working directory, which is disposable: emptied before a process loads, and never read.

What a kill or a power cut left in it (half a schema, a torn state, a pending package) is of no use: the
journal has every answer, and dlt restores its state from the destination. So nothing in it needs repair.
"""

import contextlib
import secrets
import shutil
from pathlib import Path

from dlt.common.pipeline import get_dlt_pipelines_dir
from filelock import FileLock, Timeout

from sms_source.errors import ConfigurationError
from sms_source.journal.spill import data_directory

SCHEMA = "sms_source"
_ASIDE = ".emptied-"


class WorkingDirectory:
    """A pipeline's working directory, for one process at a time.

    That is dlt's own for the pipeline's name, where its commands look for it. While another process uses that
    one, it is a directory of the journal's.

    Args:
        pipeline_name: of dlt.
        journal_id: tells jobs of one name apart.
    """

    def __init__(self, pipeline_name: str, journal_id: str) -> None:
        self._name = pipeline_name
        self._lock = FileLock(data_directory() / f"{pipeline_name}.lock", mode=0o600, thread_local=False)
        self.pipelines_dir = Path(get_dlt_pipelines_dir())
        self._own = data_directory() / journal_id / "pipelines"

    def __enter__(self) -> "WorkingDirectory":
        data_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self.pipelines_dir = self._own
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def path(self) -> Path:
        """The directory."""
        return self.pipelines_dir / self._name

    def empty(self) -> None:
        """Have dlt begin in an empty directory. Raises `ConfigurationError` as `empty_working_directory`."""
        empty_working_directory(self._name, self.pipelines_dir)

    def forget_rows(self) -> None:
        """Delete the loaded files of packages that dlt keeps: the archive is the journal."""
        for jobs in self.path.glob("load/loaded/*/completed_jobs"):
            shutil.rmtree(jobs, ignore_errors=True)


def refuse_foreign_schemas(path: Path) -> None:
    """Raise `ConfigurationError` when a pipeline's directory holds another source's schema."""
    schemas = path / "schemas"
    names = [file.name for file in schemas.iterdir()] if schemas.is_dir() else []
    foreign = sorted({name.partition(".")[0] for name in names if name.endswith(".schema.json")} - {SCHEMA})
    if foreign:
        raise ConfigurationError(
            f"dlt's working directory {path} also holds the source {foreign[0]!r}. It would be emptied: give "
            "the pipeline of this job a name of its own (--pipeline, or pipeline_name)."
        )


def empty_working_directory(pipeline_name: str, pipelines_dir: str | Path | None = None) -> None:
    """Replace a pipeline's working directory by an empty one that only its owner can read.

    For a pipeline of one's own, before `dlt.pipeline(...)`: whatever a kill left there, the journal has every
    answer, and dlt restores its state from the destination. No other process may be using the directory.

    It is renamed and then deleted, so that a kill in the middle leaves nothing that dlt would read; what such
    a kill left is deleted, too.

    Args:
        pipeline_name: of dlt.
        pipelines_dir: where the directory is; by default where dlt has them.

    Raises:
        ConfigurationError: the directory also holds another source's schema.
    """
    folder = Path(pipelines_dir or get_dlt_pipelines_dir())
    path = folder / pipeline_name
    refuse_foreign_schemas(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(folder / f"{_ASIDE}{pipeline_name}-{secrets.token_hex(4)}")
    for old in folder.glob(f"{_ASIDE}{pipeline_name}-*"):
        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
    path.mkdir(mode=0o700)
