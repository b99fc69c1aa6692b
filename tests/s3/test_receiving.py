"""What is pushed while the journal is in an object store: answered once the store has it."""

from sms_source.simulator import SimulatorProcess
from tests.conftest import Warehouse
from tests.helpers.jobs import wait_until
from tests.receiving.receiving_job import OK, ReceivingJob, a_pushed_reply
from tests.s3.conftest import S3Server
from tests.s3.proxy import Proxy


def test_an_answer_goes_out_when_the_store_has_the_body(
    configured_with_s3: SimulatorProcess, journal_url: str, s3: S3Server, warehouse: Warehouse
) -> None:
    """Killed right after it, the process has lost nothing: the next one, on another disk, loads it."""
    with ReceivingJob("--follow", "3600") as receiver:
        wait_until(lambda: configured_with_s3.stats().pulls > 0)
        assert receiver.push("replies", a_pushed_reply("kept")).json == OK
        found = [path for path in s3.files().find(journal_url) if path.endswith(".callback")]
        receiver.process.kill()
    assert len(found) == 1
    with ReceivingJob("--status", "0") as receiver:
        wait_until(lambda: b'sms_records_total{feed="replies"} 1.0' in receiver.status("/metrics").body)
        assert receiver.terminate() == 0, receiver.output
    assert warehouse.contents() == ["kept"]


def test_a_store_that_is_away_has_the_sender_push_again(
    configured_with_s3: SimulatorProcess, proxy: Proxy, warehouse: Warehouse
) -> None:
    """Nothing is answered that no store has; the process goes on, and takes it when the store is back."""
    with ReceivingJob("--status", "0") as receiver:
        assert receiver.push("replies", a_pushed_reply("before")).json == OK
        proxy.fail("unavailable", lambda method, path: ".callback" in path)
        assert receiver.push("replies", a_pushed_reply("again")).status == 503
        proxy.heal()
        assert receiver.push("replies", a_pushed_reply("again")).json == OK
        wait_until(lambda: b'sms_records_total{feed="replies"} 2.0' in receiver.status("/metrics").body)
        assert receiver.terminate() == 0, receiver.output
    assert warehouse.contents() == ["again", "before"]
