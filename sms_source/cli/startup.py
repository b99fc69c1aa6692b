"""The start of a process that does nothing but this: less memory, and half the time of an empty run.

Imported before all else; nothing here imports what is slow.
"""

import ctypes
import gc
import os
import sys
from contextlib import suppress

_GC_THRESHOLDS = (20_000, 10, 10)
"""Objects, and rounds of the younger ones, after which the collector looks for garbage. Thousands of records
at a time come and go, and are none: with Python's own numbers, it took a thirtieth of the CPU (measured)."""

# Nothing of what is imported is ever garbage; to look for it there takes half the time of an empty run.
gc.disable()
# Arrow, and glibc for each thread, keep what is freed for themselves: 60 MB, and more with each package.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
with suppress(AttributeError, OSError):  # another C library than glibc
    ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


class _WithoutPandas:
    """Has pandas seem not installed: 40 MB and 0.3 s, if DuckDB imports it.

    It does so at the first value that is bound, to see whether it is one of pandas', which none is here.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004 - Python's own
        """Raise for pandas what an import of something that is not installed raises."""
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def begin() -> None:
    """Begin the process's work, once what it needs is imported."""
    sys.meta_path.insert(0, _WithoutPandas)
    # Look for garbage from now on, but not in what has been imported.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
