"""dlt's working directory, which is disposable: emptied before a process loads, and never read.

What a kill or a power cut left in it (half a schema, a torn state, a pending package) is of no use: the
journal has every answer, and dlt restores its state from the destination. So nothing in it needs repair.

dlt writes rows into it in clear. They are deleted at the end; after a kill, by the next run. Where the
journal is encrypted, the directory is in memory until then, and a kill leaves no row on a disk.
"""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from dlt.common.pipeline import get_dlt_pipelines_dir
from filelock import FileLock, Timeout

from sms_source.errors import ConfigurationError
from sms_source.journal.spill import data_directory
from sms_source.settings import PACKAGE_BYTES

logger = logging.getLogger(__name__)

SCHEMA = "sms_source"
KEPT_PACKAGES = 10
"""Loaded packages that `dlt pipeline info` can still tell about."""
_ASIDE = ".emptied-"
_PACKAGES = ("normalize/extracted/*", "load/new/*", "load/normalized/*", "load/loaded/*/*_jobs")
"""Where rows are. What else is there tells dlt's commands which packages were loaded."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder is made there that this user alone can read
_IN_MEMORY = "sms_source-"
"""What the names of the folders in memory begin with."""
_MIN_MEMORY = 4 * PACKAGE_BYTES


class WorkingDirectory:
    """A pipeline's working directory, for one process at a time.

    That is dlt's own for the pipeline's name, where its commands look for it. While another process uses that
    one, it is a directory of the journal's.

    Args:
        pipeline_name: of dlt.
        journal_id: tells jobs of one name apart.
        in_memory: whether rows must not reach a disk. A link then leads from where dlt's commands look.
    """

    def __init__(self, pipeline_name: str, journal_id: str, *, in_memory: bool = False) -> None:
        self.journal_id = journal_id
        self._name = pipeline_name
        self._in_memory = in_memory
        self._is_emptied = False
        self._link: Path | None = None
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
        # One that was refused is another's, with what waits in it.
        for packages in _PACKAGES if self._is_emptied else ():
            for path in self.path.glob(packages):
                shutil.rmtree(path, ignore_errors=True)
        if self._link:
            _move_to_disk(self.path, self._link)
        self._lock.release()

    @property
    def path(self) -> Path:
        """The directory."""
        return self.pipelines_dir / self._name

    def empty(self) -> None:
        """Have dlt begin in an empty directory. Raises `ConfigurationError` as `empty_working_directory`."""
        empty_working_directory(self._name, self.pipelines_dir)
        if self.pipelines_dir != self._own:
            _delete(self._own, self._name)  # a run beside another process may have been killed there
        self._is_emptied = True
        if self._in_memory and (memory := _folder_in_memory(self.path)):
            self._link, self.pipelines_dir = self.path, memory

    def forget_failure(self) -> None:
        """Delete dlt's trace of a failed step where no row may be on a disk: an error may show one."""
        if self._in_memory:
            (self.path / "trace.pickle").unlink(missing_ok=True)

    def forget_rows(self) -> None:
        """Delete the loaded files of packages, and all but the last packages: dlt keeps each for good."""
        for jobs in self.path.glob("load/loaded/*/completed_jobs"):
            shutil.rmtree(jobs, ignore_errors=True)
        for package in sorted(self.path.glob("load/loaded/*"))[:-KEPT_PACKAGES]:
            shutil.rmtree(package, ignore_errors=True)


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
    _delete(folder, pipeline_name)
    path.mkdir(mode=0o700)


def _delete(folder: Path, pipeline_name: str) -> None:
    """Delete a working directory, and what a kill left of one that was being deleted."""
    with contextlib.suppress(FileNotFoundError):
        (folder / pipeline_name).rename(folder / f"{_ASIDE}{pipeline_name}-{secrets.token_hex(4)}")
    for old in folder.glob(f"{_ASIDE}{pipeline_name}-*"):
        if old.is_symlink():
            _forget_memory(old)
            old.unlink()
        elif old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)


def _folder_in_memory(path: Path) -> Path | None:
    """Have a working directory in memory, with a link to it in its place; return the folder that it is in.

    None, with a warning, where there is no such memory, or too little of it.
    """
    try:
        status = os.statvfs(_MEMORY)
        has_room = status.f_bavail * status.f_frsize >= _MIN_MEMORY
    except OSError:
        has_room = False
    if not has_room:
        logger.warning(
            "%s has no %d MB free, so rows in dlt's working directory %s are on a disk, in clear: a run "
            "that is killed leaves them there until the next run. A container has more with --shm-size.",
            _MEMORY,
            _MIN_MEMORY >> 20,
            path,
        )
        return None
    memory = Path(tempfile.mkdtemp(prefix=_IN_MEMORY, dir=_MEMORY))
    (memory / path.name).mkdir(mode=0o700)
    path.rmdir()
    path.symlink_to(memory / path.name)
    return memory


def _move_to_disk(path: Path, link: Path) -> None:
    """Put what is in memory, without rows by now, in the place of the link."""
    draft = link.with_name(f"{_ASIDE}{link.name}-{secrets.token_hex(4)}")
    shutil.copytree(path, draft)
    link.unlink()
    draft.rename(link)
    shutil.rmtree(path.parent, ignore_errors=True)


def _forget_memory(link: Path) -> None:
    """Delete what a kill left in memory, where a link leads to."""
    memory = link.readlink().parent
    is_ours = memory.parent == _MEMORY and memory.name.startswith(_IN_MEMORY)
    if is_ours and memory.is_dir() and memory.lstat().st_uid == os.geteuid():
        shutil.rmtree(memory, ignore_errors=True)
