"""Answers that the journal refused: files of the journal's form, in dlt's data directory.

    <data directory>/sms_source/<journal id>/spill/drains/<drain id>/<file>

The next run takes them into the journal first. What can be written nowhere stays in memory, is loaded from
there, and is tried again when the load fails.
"""

import logging
import threading
from pathlib import Path

from sms_source.journal.encrypted_storage import EncryptedStorage
from sms_source.journal.encryption import Keys
from sms_source.journal.local_storage import LocalStorage
from sms_source.journal.storage import NO_FILE, Storage, names_in, set_aside

logger = logging.getLogger(__name__)


class Spill:
    """The answers that one journal refused.

    Args:
        journal_id: of the journal.
        keys: of the journal: what is here is encrypted as it would be there.
        root: where to keep them; by default in dlt's data directory.
    """

    def __init__(self, journal_id: str, keys: Keys | None = None, root: Path | None = None) -> None:
        self.root = root or data_directory() / journal_id / "spill"
        self._files = EncryptedStorage(LocalStorage(self.root), keys or Keys())
        self._memory: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def keep(self, path: str, content: bytes) -> None:
        """Keep an answer, and log where it is for now."""
        with self._lock:
            try:
                self._files.write(path, content)
            except OSError as error:
                self._memory[path] = content
                logger.error(
                    "An answer could be written neither into the journal nor into %s (%s): for now it is in "
                    "this process's memory alone.",
                    self.root,
                    error,
                )
            else:
                logger.warning("An answer is in %s until the journal takes it.", self.root)

    def in_memory(self, drain_id: str) -> dict[str, bytes]:
        """Return the answers of a drain that could be written nowhere, by the names of their files."""
        folder = f"drains/{drain_id}/"
        with self._lock:
            return {p.removeprefix(folder): held for p, held in self._memory.items() if p.startswith(folder)}

    def save_again(self, storage: Storage) -> int:
        """Try again to write what is in memory alone; return how many answers still are."""
        with self._lock:
            for path, content in list(self._memory.items()):
                for place in (storage, self._files):
                    try:
                        place.write(path, content)
                    except OSError:
                        continue
                    del self._memory[path]
                    break
            return len(self._memory)

    def is_in_use(self) -> bool:
        """Return whether an answer waits here for the journal."""
        return bool(names_in(self._files, "drains"))

    def take_into(self, storage: Storage) -> None:
        """Write what is here into the journal, and forget it here; what comes meanwhile stays for later."""
        self.save_again(storage)
        for drain_id in names_in(self._files, "drains"):
            for name in names_in(self._files, f"drains/{drain_id}"):
                path = f"drains/{drain_id}/{name}"
                if not name.endswith(".new"):
                    self._take(path, storage)
                with self._lock:  # no thread writes here now: a draft is one that a kill left
                    self._files.remove([path])
            with self._lock:
                self._files.remove_folder(f"drains/{drain_id}", only_empty=True)

    def _take(self, path: str, storage: Storage) -> None:
        try:
            content = self._files.read(path)
        except NO_FILE as error:
            set_aside(self._files, path, str(error))
            return
        storage.write(path, content)
        logger.warning("%s is in the journal now: an earlier run could not write it there.", path)

    def forget(self, drain_id: str) -> None:
        """Forget the answers of a drain that were loaded from memory. Those in files wait for the journal."""
        with self._lock:
            for path in [path for path in self._memory if path.startswith(f"drains/{drain_id}/")]:
                del self._memory[path]


def data_directory() -> Path:
    """Return the folder for what outlives a process and is not the journal's: beside dlt's pipelines."""
    import dlt

    return Path(dlt.current.run_context().data_dir, "sms_source")
