"""The first signal ends pulling; what was pulled is loaded. A second one ends the process at once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SAME_WISH_SECONDS = 1.0
"""What comes so soon after the first signal is the same wish: a shell and a supervisor may both send one."""


@contextmanager
def stop_on_signals(notice: Callable[[str], None], at_risk: Callable[[], int] = lambda: 0) -> Iterator[Event]:
    """Yield an event that the first SIGTERM, SIGHUP or Ctrl-C sets.

    Nothing in the journal is lost by either; pulls in flight are, by a second one.

    Args:
        notice: is given a line that says so, in the signal's handler.
        at_risk: returns the largest number of records that the second one would lose.
    """
    stop = Event()
    first_at = 0.0

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal first_at
        if stop.is_set():
            if time.monotonic() - first_at > SAME_WISH_SECONDS:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            return
        first_at = time.monotonic()
        lost = at_risk()
        price = f"would lose up to {lost:,} records that are on their way" if lost else "ends it at once"
        stop.set()
        notice(
            f"{signal.Signals(number).name}: pulling ends, what was pulled is being loaded. Again {price}."
        )

    heard = [number for number in SIGNALS if not _is_by_nohup(number)]
    previous = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_by_nohup(number: signal.Signals) -> bool:
    """Return whether a signal is to be ignored, as `nohup` has it: the terminal's end is not the job's."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
