"""What people answer to SMS sent through Tencent Cloud: from queues into a warehouse, exactly once.

    summary = sms_source.load()

has the whole promise: every record that reached this machine is in the warehouse exactly once, and every pull
whose outcome is unknown is a row in the ledger. `sms_source()` is the same as a dlt source, for a pipeline of
one's own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sms_source.errors import (
    ConfigurationError,
    InDoubtError,
    JournalError,
    JournalLockedError,
    NotExecutedError,
    PullError,
    RefusedError,
    SmsSourceError,
)

if TYPE_CHECKING:
    from sms_source.credentials import TencentCloudCredentials
    from sms_source.loading.checking import check
    from sms_source.loading.forgetting import forget
    from sms_source.loading.loader import load
    from sms_source.loading.source import sms_source
    from sms_source.loading.summary import Summary
    from sms_source.loading.working_directory import empty_working_directory
    from sms_source.privacy.pseudonym import pseudonym
    from sms_source.pulling.report import DrainReport
    from sms_source.recovery import RecoverySummary, recover

__all__ = [
    "ConfigurationError",
    "DrainReport",
    "InDoubtError",
    "JournalError",
    "JournalLockedError",
    "NotExecutedError",
    "PullError",
    "RecoverySummary",
    "RefusedError",
    "SmsSourceError",
    "Summary",
    "TencentCloudCredentials",
    "check",
    "empty_working_directory",
    "forget",
    "load",
    "pseudonym",
    "recover",
    "sms_source",
]

_HOMES = {
    "DrainReport": "sms_source.pulling.report",
    "RecoverySummary": "sms_source.recovery",
    "Summary": "sms_source.loading.summary",
    "TencentCloudCredentials": "sms_source.credentials",
    "check": "sms_source.loading.checking",
    "empty_working_directory": "sms_source.loading.working_directory",
    "forget": "sms_source.loading.forgetting",
    "load": "sms_source.loading.loader",
    "pseudonym": "sms_source.privacy.pseudonym",
    "recover": "sms_source.recovery",
    "sms_source": "sms_source.loading.source",
}


def __getattr__(name: str) -> Any:
    """Import what needs dlt, or Arrow, when it is asked for.

    Each takes as long as a run on empty queues, and the command line sets up the process before it imports
    them.
    """
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
