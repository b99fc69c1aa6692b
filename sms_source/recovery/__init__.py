"""Recovery: asks by phone number for what pulls in doubt lost, and adds what the warehouse does not have.

    doubts and people ──▶ look-ups ──▶ less what is in the tables ──▶ journal ──▶ loading
    (warehouse)           (API)        (warehouse)                    (.lookup)

A look-up takes nothing out of a queue, as far as is known, so it may be repeated: unlike a pull, it is tried
again after any failure, and a recovery that was killed goes on where it was.
"""

from sms_source.recovery.recovery import Recovery, recover
from sms_source.recovery.summary import RecoverySummary

__all__ = ["Recovery", "RecoverySummary", "recover"]
