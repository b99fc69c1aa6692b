"""The rooms of the package: arrows run one way, none is too large, and what is public is exported."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sms_source
from tests.helpers.jobs import ROOT

ORDER = (
    "cli",
    "__init__",
    "report",
    "recovery",
    "receiving",
    "loading",
    "views",
    "privacy",
    "pulling",
    "journal",
    "api",
    "configuration",
    "credentials",
    "feeds",
    "keywords",
    "settings",
    "errors",
    "cleaning",
)
"""From the top down: a room knows those below it, and none above it. The simulator stands beside them."""

LONGEST_FILE = 300

PACKAGE = ROOT / "sms_source"
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the room of a module of the package, such as `sms_source.api.client`."""
    return module.split(".")[1] if "." in module else "__init__"


def name_of(path: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """Yield the modules of the package that a file imports: wherever in it, or when it is imported itself."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    for node in module.body if at_once else ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "sms_source")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sms_source":
            assert node.module is not None
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def arrows() -> dict[tuple[str, str], set[str]]:
    """Return the arrows between rooms, with the files that have them."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in FILES:
        room = room_of(name_of(path))
        for module in imports(path):
            if room_of(module) != room:
                found.setdefault((room, room_of(module)), set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_room_has_its_place() -> None:
    """A new one is put into the order before it is built."""
    rooms = {room_of(name_of(path)) for path in FILES} - {"simulator"}
    assert rooms <= set(ORDER)


def test_arrows_run_one_way() -> None:
    """What is below can be read, tested and changed without what is above."""
    upward = {
        f"{room} -> {other}": sorted(files)
        for (room, other), files in arrows().items()
        if "simulator" not in (room, other) and ORDER.index(room) > ORDER.index(other)
    }
    assert upward == {}


def test_the_simulator_stands_alone() -> None:
    """It is started by itself, without the package around it; the demo alone knows it."""
    assert {room for room, other in arrows() if other == "simulator"} <= {"cli"}
    assert {other for room, other in arrows() if room == "simulator"} == set()


@pytest.mark.parametrize("room", sorted({room_of(name_of(path)) for path in FILES}))
def test_the_files_of_a_room_do_not_go_in_circles(room: str) -> None:
    """Within a room, too, arrows have a direction."""
    edges = {
        name_of(path): {module for module in imports(path, at_once=True) if room_of(module) == room}
        for path in FILES
        if room_of(name_of(path)) == room
    }
    left = {name: others - {name} for name, others in edges.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


def test_no_file_is_too_long() -> None:
    """What is longer does two jobs."""
    files = [*FILES, *sorted((ROOT / "pipelines").rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_test_imports_from_another() -> None:
    """What several tests use is in a plain module, so that each file of tests can be read by itself."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if ".test_" in name]
    assert found == []


def test_the_public_names_are_exported() -> None:
    """All of them can be had, have a docstring, and are sorted; nothing else is offered."""
    assert sms_source.__all__ == sorted(sms_source.__all__)
    for name in sms_source.__all__:
        assert inspect.getdoc(getattr(sms_source, name)), name
    public = {
        "ConfigurationError",
        "DrainReport",
        "InDoubtError",
        "JournalError",
        "JournalLockedError",
        "NotExecutedError",
        "PullError",
        "RefusedError",
        "SmsSourceError",
        "Summary",
        "TencentCloudCredentials",
        "check",
        "empty_working_directory",
        "load",
        "sms_source",
    }
    assert public <= set(sms_source.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sms_source.nothing  # noqa: B018


def test_every_error_is_exported() -> None:
    """Whoever catches one need not know in which room it is."""
    from sms_source import errors

    found = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert found <= set(sms_source.__all__)


def test_the_command_line_sets_the_process_up_before_dlt_is_imported() -> None:
    """To look for garbage in what is imported takes half the time of an empty run."""
    program = """
import builtins, gc, sys
original = builtins.__import__
def watched(name, *args, **more):
    if name.partition(".")[0] in ("dlt", "pyarrow") and name not in seen:
        seen[name] = gc.isenabled()
    return original(name, *args, **more)
seen = {}
builtins.__import__ = watched
import sms_source.cli
print(bool(seen), any(seen.values()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
