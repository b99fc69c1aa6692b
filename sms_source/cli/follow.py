"""The job again and again, until a signal: rounds of loading, and beside them what is pushed."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sms_source.cli.arguments import Address
from sms_source.cli.explain import explain
from sms_source.cli.output import Output
from sms_source.cli.signals import stop_on_signals
from sms_source.errors import ConfigurationError, JournalLockedError, is_configuration
from sms_source.loading.loader import Loader

if TYPE_CHECKING:
    from sms_source.receiving.inbox import Inbox
    from sms_source.receiving.monitor import Monitor
    from sms_source.receiving.server import Server

LONGEST_ROUND = 60.0
"""Seconds for which a round goes on while the queues are never empty: so often it is told."""
LONGEST_ROUND_RECEIVING = 5.0
"""The same where something is pushed, which waits for the next round."""
LONGEST_PAUSE = 60.0
"""Seconds from one round that failed to the next one."""

SWITCH_SECONDS = 0.0005
"""For which a thread may keep the interpreter from others, where something is pushed: an answer waits for it
at each of its calls of the operating system, while a load computes."""

logger = logging.getLogger(__name__)


def follow(
    loader: Loader,
    interval: float,
    output: Output,
    *,
    receive: Address | None = None,
    status: Address | None = None,
) -> None:
    """Drain again and again, from one beginning to the next at the interval, until it is to stop.

    Args:
        loader: of the job.
        interval: seconds.
        output: is told of each round.
        receive: where to receive callbacks; None for not at all.
        status: where to serve `/healthz` and `/metrics`; None for not at all.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(output.notice, lambda: loader.at_risk))
        follower = Follower(loader, interval, output, stop)
        if status:
            follower.monitor = _serve_status(stack, interval, status)
        if receive:
            _receive(stack, follower, loader, receive)
        follower.run()


class Follower:
    """Rounds, one after the other; `inbox`, `server` and `monitor` are there if they were asked for.

    A round that finds the journal in use, by a run that somebody began by hand, is tried again.

    Without callbacks, any other round that fails ends it, on purpose: whoever supervises the process starts
    a new one, and what a new process finds is the case that is proved. With them, a process that is away
    loses for good what is pushed three times. So it goes on receiving, whatever is wrong with queues and
    destination, and tries again; but a configuration that was wrong from the start ends it.
    """

    inbox: Inbox | None = None
    server: Server | None = None
    monitor: Monitor | None = None

    def __init__(self, loader: Loader, interval: float, output: Output, stop: threading.Event) -> None:
        self._loader = loader
        self._interval = interval
        self._output = output
        self._stop = stop
        self._failures = 0
        self._was_well = False

    def run(self) -> None:
        """Follow until it is to stop; what was pushed by then is loaded, too."""
        while not self._stop.is_set():
            due = time.monotonic() + self._interval
            self._round_that_may_fail()
            due = max(due, time.monotonic() + self._pause())
            # Not stop.wait(): a signal's handler that sets an event just as it is waited for hangs.
            while not self._stop.is_set() and (pause := due - time.monotonic()) > 0:
                self._check_threads()
                time.sleep(min(pause, 0.1))
        if self.inbox and self.server:
            self.server.stop()
            self.inbox.close()
            self._round()
        self._output.end()

    def _round_that_may_fail(self) -> None:
        try:
            self._round()
        except Exception as error:
            if self.monitor:
                self.monitor.round_failed(explain(error)[0])
            if not self._may_pass(error):
                raise
            self._output.error(error)
            self._failures += 1
        else:
            self._failures, self._was_well = 0, True

    def _may_pass(self, error: Exception) -> bool:
        if isinstance(error, JournalLockedError):
            return self.inbox is None and self._was_well
        return self.inbox is not None and (self._was_well or not is_configuration(error))

    def _round(self) -> None:
        being_written: tuple[str, ...] = ()
        longest = LONGEST_ROUND
        if self.inbox:
            self.inbox.turn()
            being_written, longest = (self.inbox.drain_id,), LONGEST_ROUND_RECEIVING
        summary = self._loader.round(stop=self._stop, longest=longest, being_written=being_written)
        self._output.round(summary)
        if self.monitor:
            self.monitor.round_ended(summary, self._loader.waiting(being_written))
        summary.raise_for_failure()

    def _pause(self) -> float:
        return min(LONGEST_PAUSE, 2.0 ** min(self._failures, 6)) if self._failures else 0.0

    def _check_threads(self) -> None:
        if self.server and not self.server.is_alive():
            raise RuntimeError("The server of the callbacks has ended.")
        if self.inbox and not self.inbox.is_alive():
            raise RuntimeError("The writing of callbacks into the journal has ended.")


def _serve_status(stack: ExitStack, interval: float, status: Address) -> Monitor:
    _need_extra("--status")
    from sms_source.receiving.monitor import Monitor
    from sms_source.receiving.server import Server

    monitor = Monitor(interval)
    server = stack.enter_context(Server(monitor, *status))
    logger.info("Serving http://%s/healthz and /metrics.", status._replace(port=server.port))
    return monitor


def _receive(stack: ExitStack, follower: Follower, loader: Loader, receive: Address) -> None:
    _need_extra("--receive")
    from sms_source.receiving.inbox import Inbox
    from sms_source.receiving.receiver import Receiver
    from sms_source.receiving.server import Server

    token = loader.options.callback_token
    if token is None:
        raise ConfigurationError(
            "--receive needs callback_token, a secret that the callbacks' URLs begin with: set it in "
            "[sources.sms_source] of .dlt/secrets.toml to what `openssl rand -hex 24` prints."
        )
    sys.setswitchinterval(SWITCH_SECONDS)
    journal = stack.enter_context(loader.keeping())
    inbox = follower.inbox = stack.enter_context(Inbox(journal))
    told = None
    if follower.monitor:
        follower.monitor.watch_inbox(lambda: inbox.waiting)
        told = follower.monitor.pushed
    receiver = Receiver(inbox, token, loader.options.callback_allow, told)
    follower.server = stack.enter_context(Server(receiver, *receive))
    logger.info("Receiving callbacks on http://%s.", receive._replace(port=follower.server.port))


def _need_extra(option: str) -> None:
    if not all(map(find_spec, ("prometheus_client", "uvicorn"))):
        raise ConfigurationError(
            f"{option} needs uvicorn and prometheus-client: pip install 'dlt-tencent-sms[receive]'"
        )
