"""`check` with receipts: proved without taking one, and what draining them means for others."""

import pytest

from sms_source.cli import main
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.recovery.conftest import receipt_of, reply_of


def test_receipts_are_proved_without_taking_one(
    configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each feed by its own look-up; and it says that a run empties the receipts' queue."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", '["replies", "receipts"]')
    configured.enqueue(APP, [receipt_of(1)], feed="receipts")
    configured.enqueue(APP, [reply_of(1)])
    assert main(["check"]) == 0
    out = capfd.readouterr().out
    for feed in ("replies", "receipts"):
        assert f"{APP}: network, signature and permission are right for {feed}" in out
    assert "a run empties their queue, too: whatever else reads it gets only what a run leaves" in out
    assert configured.stats().handed_out == 0
    assert [look_up.feed for look_up in configured.look_ups()] == ["replies", "receipts"]


def test_a_permission_for_receipts_that_is_missing_is_told(
    configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is a permission of its own, which Tencent Cloud has to open."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", "receipts")
    code = "UnauthorizedOperation.RequestPermissionDeny"
    configured.fail_next("api_error", code=code, action="PullSmsSendStatusByPhoneNumber")
    assert main(["check"]) == 2
    assert "PullSmsSendStatusByPhoneNumber" in capfd.readouterr().err
