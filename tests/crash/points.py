"""The exact points of the protocol at which a process can be made to kill itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple


def _every(*_arguments: Any, **_options: Any) -> bool:
    return True


class Point(NamedTuple):
    """A point of the protocol: at the `nth` call of a function, of the calls that count.

    half: of a call that is to happen half way, the arguments of its first half.
    """

    function: str
    when: Literal["before", "half way", "after"] = "after"
    nth: int = 1
    counts: Callable[..., bool] = _every
    half: Callable[..., tuple[Any, ...]] | None = None


def _of_intent(descriptor: int, *_arguments: Any) -> bool:
    """Return a call for the file that waits for an answer."""
    return Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".intent"


def _of_answer(_descriptor: int, content: bytes) -> bool:
    return b"PullSmsReplyStatusSet" in bytes(content) and not _of_bundle(_descriptor, content)


def _of_bundle(_descriptor: int, content: bytes) -> bool:
    return bytes(content[:4]) == b"PK\x03\x04"


def _half_of_write(descriptor: int, content: bytes) -> tuple[Any, ...]:
    return descriptor, content[: len(content) // 2]


def _to(end: str) -> Callable[..., bool]:
    """Return a call whose last path ends so."""

    def counts(*arguments: Any, **_options: Any) -> bool:
        return str([each for each in arguments if not isinstance(each, bytes)][-1]).endswith(end)

    return counts


def _in(folder: str, end: str) -> Callable[..., bool]:
    """Return a call whose last path is in a folder of the journal, and ends so."""

    def counts(*arguments: Any, **_options: Any) -> bool:
        path = [str(each) for each in arguments if not isinstance(each, bytes)][-1]
        return path.startswith(f"{folder}/") and path.endswith(end)

    return counts


def _of_merged_bundle(_storage: Any, path: str, _content: bytes) -> bool:
    parts = path.split(".")
    return path.startswith("archive/") and parts[2] == "1"


def _aside(*arguments: Any, **_options: Any) -> bool:
    """Return a call that renames dlt's working directory."""
    return ".emptied-" in str(arguments[-1])


def _in_working_directory(_path: Any, **options: Any) -> bool:
    """Return a file that goes with its whole folder."""
    return options.get("dir_fd") is not None


def _of_new_jobs(folder: str, *_arguments: Any, **_options: Any) -> bool:
    return folder == "new_jobs"


def _of_merge(_client: Any, statements: list[str]) -> bool:
    """Return the statements that merge the replies."""
    return any("DELETE" in each and "replies" in each for each in statements) and any(
        each.lstrip().startswith("INSERT") for each in statements
    )


def _until_insert(client: Any, statements: list[str]) -> tuple[Any, ...]:
    first = next(i for i, each in enumerate(statements) if each.lstrip().startswith("INSERT"))
    return client, statements[:first]


STORAGE = "sms_source.journal.local_storage:LocalStorage"
RESERVATION = "sms_source.journal.local_storage:LocalReservation"
ARCHIVE = "sms_source.journal.archive:Archive"
JOURNAL = "sms_source.journal.journal:Journal"

# In the order in which a run comes to them. The second pull is the one that meets the kill.
PULLING = {
    "after the intent": Point(f"{STORAGE}.reserve", nth=2),
    "after the answer arrived": Point("sms_source.api.client:SmsClient.pull", nth=2),
    "in the middle of the write": Point("os:write", "half way", 2, _of_answer, _half_of_write),
    "after the write": Point("os:ftruncate", nth=2, counts=_of_intent),
    "after the flush": Point("os:fsync", nth=2, counts=_of_intent),
    "after the rename": Point("os:replace", nth=2, counts=_to(".answer")),
    "before the intent of an empty answer goes": Point(f"{RESERVATION}.discard", "before"),
    "after the intent of an empty answer went": Point(f"{RESERVATION}.discard"),
    "after a doubt was noted": Point(f"{RESERVATION}.fill", counts=_to(".in_doubt")),
}
LOADING = {
    "after the yield": Point("dlt.extract.extractors:ArrowExtractor.write_items"),
    "after the state is written": Point("sms_source.loading.commits:note"),
    "before the extraction counts": Point("dlt.extract.extract:Extract.commit_packages", "before"),
    "while a schema is saved": Point("os:replace", "before", counts=_to(".schema.json")),
    "before the extraction's state counts": Point("dlt.extract.extract:Extract.commit_packages"),
    "after extract": Point("dlt:Pipeline.extract"),
    "in the middle of normalize": Point(
        "dlt.common.storages.load_storage:LoadStorage.commit_new_load_package", "before"
    ),
    "before what was normalized goes": Point(
        "dlt.common.storages.load_storage:LoadStorage.commit_new_load_package"
    ),
    "while what was normalized goes": Point("os:rmdir", counts=_of_new_jobs),
    "after normalize": Point("dlt:Pipeline.normalize"),
    "after the first job of a load": Point("dlt.destinations.impl.duckdb.duck:DuckDbCopyJob.run"),
    "between DELETE and INSERT": Point(
        "dlt.destinations.sql_client:SqlClientBase.execute_many", "half way", 1, _of_merge, _until_insert
    ),
    "after the merge": Point("dlt.load.load:Load.complete_package", "before"),
    "before the load counts": Point(
        "dlt.common.storages.load_storage:LoadStorage.complete_load_package", "before"
    ),
    "after load": Point("dlt:Pipeline.load"),
}
ARCHIVING = {
    "in the middle of the bundle's write": Point("os:write", "half way", 1, _of_bundle, _half_of_write),
    "before the bundle has its name": Point("os:replace", "before", counts=_to(".zip")),
    "after the bundle's write": Point(f"{STORAGE}.write", counts=_in("archive", ".zip")),
    "while the drain's files go": Point("os:unlink", counts=_to(".answer")),
    "before the drain's folder goes": Point(f"{STORAGE}.remove_folder", "before"),
    "before the load is noted": Point(f"{JOURNAL}.note", "before", counts=lambda *_, **to: "last_load" in to),
    "after the load is noted": Point(f"{ARCHIVE}.tidy", "before"),
}
MERGING = {
    "after a merged bundle is written": Point(f"{STORAGE}.write", counts=_of_merged_bundle),
    "while merged bundles go": Point("os:unlink", counts=_to(".zip")),
}
GIVING_AGAIN = {
    "before bundles are given again": Point(f"{JOURNAL}.give_again", "before"),
    "while bundles are given again": Point(f"{STORAGE}.move", counts=_in("drains", ".zip")),
    "after bundles are given again": Point(f"{JOURNAL}.give_again"),
    "before a bundle is taken back": Point(f"{ARCHIVE}.add_bundle", "before"),
    "after a bundle is taken back": Point(f"{ARCHIVE}.add_bundle"),
}
EMPTYING = {
    "before the working directory is renamed": Point("pathlib:Path.rename", "before", counts=_aside),
    "after the working directory is renamed": Point("pathlib:Path.rename", counts=_aside),
    "while the working directory is deleted": Point("os:unlink", counts=_in_working_directory),
}

POINTS = {**PULLING, **LOADING, **ARCHIVING, **MERGING, **GIVING_AGAIN, **EMPTYING}
