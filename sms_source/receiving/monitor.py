"""What a monitor is told: whether rounds end well, and counts in Prometheus' format. Nothing of anybody."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sms_source.loading.summary import Summary
from sms_source.receiving.asgi import Receive, Scope, Send, answer

LONGEST_SILENCE = 900.0
"""Seconds without a round that ended well, after which something hangs, whatever the interval."""

_COUNTS = {
    "pulls": "Pulls that handed out records or are in doubt.",
    "in_doubt": "Pulls in doubt.",
    "at_risk": "Records that pulls in doubt can have lost at most.",
    "rejected": "Records that do not fit.",
}


class Monitor:
    """Counts what rounds and pushes do, and serves `/healthz` and `/metrics`.

    Args:
        interval: seconds from one round to the next.
    """

    def __init__(self, interval: float) -> None:
        self._registry = registry = CollectorRegistry()
        self._longest_silence = LONGEST_SILENCE + 3 * interval
        self._well_at = time.monotonic()
        self._failure = ""
        self._newest: float | None = None
        self._counters = {
            name: Counter(f"sms_{name}", text, registry=registry) for name, text in _COUNTS.items()
        }
        self._records = Counter("sms_records", "Records loaded, by feed.", ["feed"], registry=registry)
        self._pushes = Counter(
            "sms_pushes", "Callbacks answered, by HTTP status.", ["status"], registry=registry
        )
        self._pushed = Counter(
            "sms_pushed_records",
            "Records of callbacks that are in the journal, by feed.",
            ["feed"],
            registry=registry,
        )
        self._failures = Counter("sms_failed_rounds", "Rounds that failed.", registry=registry)
        self._seconds = Histogram(
            "sms_load_seconds",
            "Seconds of a round that loaded something.",
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300),
            registry=registry,
        )
        age = Gauge(
            "sms_newest_reply_age_seconds", "Age of the newest reply that was loaded.", registry=registry
        )
        age.set_function(lambda: time.time() - self._newest if self._newest else float("nan"))
        self._waiting = Gauge(
            "sms_journal_waiting", "Drains that are in the journal and not loaded.", registry=registry
        )
        self._inbox = Gauge(
            "sms_inbox_waiting_records", "Records pushed since the last round began.", registry=registry
        )

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        plain = "text/plain; charset=utf-8"
        if scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, b"expected GET\n", plain, allow="GET, HEAD")
        elif scope["path"] == "/healthz":
            problem = self.problem()
            await answer(send, 503 if problem else 200, f"{problem or 'ok'}\n".encode(), plain)
        elif scope["path"] == "/metrics":
            await answer(send, 200, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        else:
            await answer(send, 404, b"expected /healthz or /metrics\n", plain)

    def problem(self) -> str:
        """Return why the process is not well; empty while rounds end well."""
        silence = time.monotonic() - self._well_at
        if not self._failure and silence > self._longest_silence:
            return f"no round has ended for {silence:.0f} seconds"
        return self._failure

    def round_ended(self, summary: Summary, waiting: int) -> None:
        """Count what a round did, and how many drains wait in the journal after it."""
        self._well_at, self._failure = time.monotonic(), ""
        for name, counter in self._counters.items():
            counter.inc(summary.total(name))
        for feed in ("replies", "receipts"):
            self._records.labels(feed).inc(summary.total(feed))
        if summary.has_records:
            self._seconds.observe(summary.seconds)
        if summary.newest is not None:
            self._newest = summary.newest.timestamp()
        self._waiting.set(waiting)

    def round_failed(self, message: str) -> None:
        """Note why a round failed, in a message that holds nothing of anybody."""
        self._failures.inc()
        self._failure = message

    def pushed(self, status: int, feed: str, records: int) -> None:
        """Count the answer to a push, and the records that were kept."""
        self._pushes.labels(str(status)).inc()
        if feed:
            self._pushed.labels(feed).inc(records)

    def watch_inbox(self, waiting: Callable[[], int]) -> None:
        """Have the records that wait in the inbox asked for when somebody looks."""
        self._inbox.set_function(waiting)
