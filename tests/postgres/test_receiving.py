"""What is pushed goes into PostgreSQL as it goes into DuckDB."""

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.helpers.jobs import wait_until
from tests.postgres.conftest import PostgresWarehouse
from tests.receiving.receiving_job import OK, ReceivingJob, a_pushed_receipt, a_pushed_reply


def test_what_is_pushed_twice_is_one_row_beside_what_is_pulled(
    configured: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """In one package or in two, also while the server is away; both ways end in `unique_replies`."""
    configured.enqueue(APP, [a_reply("pulled"), a_reply("both")])
    with ReceivingJob("--destination", "postgres", "--status", "0") as receiver:
        for _ in range(2):
            assert receiver.push("replies", a_pushed_reply("both")).json == OK
            assert receiver.push(f"receipts/{APP}", [a_pushed_receipt("1"), 5]).json == OK
        wait_until(lambda: b'sms_records_total{feed="receipts"} 1.0' in receiver.status("/metrics").body)
        postgres.server.kill()
        assert receiver.push("replies", a_pushed_reply("meanwhile")).json == OK
        wait_until(lambda: receiver.status("/healthz").status == 503)
        postgres.server.start()
        assert receiver.push("replies", a_pushed_reply("both")).json == OK
        wait_until(lambda: receiver.status("/healthz").status == 200)
        assert receiver.terminate() == 0, receiver.output
    assert sorted(postgres.query("select reply_content, channel from sms.replies")) == [
        ("both", "callback"),
        ("both", "queue"),
        ("meanwhile", "callback"),
        ("pulled", "queue"),
    ]
    unique = postgres.query("select reply_content from sms.unique_replies order by 1")
    assert unique == [("both",), ("meanwhile",), ("pulled",)]
    assert postgres.query("select serial_no from sms.receipts") == [("1",)]
    assert postgres.query("select record from sms.rejected_records") == [("5",)]
