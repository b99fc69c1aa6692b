"""What is pushed: answered when it is safe, loaded once, and never mixed up."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Job, Warehouse, a_reply
from tests.helpers.jobs import wait_until
from tests.receiving.receiving_job import (
    OK,
    TOKEN,
    ReceivingJob,
    a_pushed_receipt,
    a_pushed_reply,
    ask,
)
from tests.simulator_client import receipts


def callback_files(folder: Path) -> list[Path]:
    """Return what is pushed and not known to be loaded."""
    return sorted(folder.glob("sms_journal/drains/*/*.callback"))


def loaded(receiver: ReceivingJob) -> int:
    """Return how many records the job says that it has loaded."""
    counts = re.findall(r"sms_records_total\{.*\} ([0-9.]+)", receiver.status("/metrics").body.decode())
    return int(sum(map(float, counts)))


def test_what_is_pushed_is_loaded(receiver: ReceivingJob, warehouse: Warehouse) -> None:
    """Of one application, of one that the URL does not tell, and receipts; there is no region."""
    assert receiver.push("replies", a_pushed_reply("a")).json == OK
    assert receiver.push(f"replies/{OTHER_APP}", a_pushed_reply("b", port="1069")).json == OK
    assert receiver.push(f"receipts/{APP}", [a_pushed_receipt("1"), a_pushed_receipt("2")]).json == OK
    assert receiver.terminate() == 0
    assert warehouse.query(
        "select reply_content, channel, sms_sdk_app_id, region, request_id, phone_number, keyword, port, "
        "reply_id like 'callback/%', reply_time::varchar, pulled_at > now() - interval 1 hour "
        "from sms.replies order by 1"
    ) == [
        (
            "a",
            "callback",
            None,
            None,
            None,
            "+8612000000001",
            "A",
            None,
            True,
            "2021-05-11 11:56:28+00",
            True,
        ),
        (
            "b",
            "callback",
            OTHER_APP,
            None,
            None,
            "+8612000000001",
            "B",
            "1069",
            True,
            "2021-05-11 11:56:28+00",
            True,
        ),
    ]
    assert warehouse.query(
        "select serial_no, sms_sdk_app_id, epoch(user_receive_time)::bigint, description, report_description "
        "from sms.receipts order by 1"
    ) == [(serial, APP, 1_445_040_184, "DELIVRD", "用户短信送达成功") for serial in "12"]
    assert warehouse.query("select count(*) from sms.pulls") == [(0,)]


@pytest.mark.long
def test_an_answer_goes_out_when_the_journal_has_the_body(
    configured: SimulatorProcess, own_folders: Path, warehouse: Warehouse, job: Job
) -> None:
    """Killed right after it, the process has lost nothing; the body is there byte for byte."""
    body = json.dumps(a_pushed_reply("kept"), indent=3).encode()
    with ReceivingJob("--follow", "3600") as receiver:
        wait_until(lambda: configured.stats().pulls > 0)
        assert receiver.push("replies", body).status == 200
        (file,) = callback_files(own_folders)
        receiver.process.kill()
    assert file.read_bytes().endswith(body)
    assert file.stat().st_mode & 0o777 == 0o600
    assert job()[0] == 0
    assert warehouse.contents() == ["kept"]


@pytest.mark.long
def test_what_is_pushed_again_is_one_row(receiver: ReceivingJob, warehouse: Warehouse) -> None:
    """In the same package, in a later one, and when it does not fit."""
    for _ in range(2):
        before = loaded(receiver)
        for _ in range(3):
            assert receiver.push("replies", a_pushed_reply()).status == 200
            assert (
                receiver.push(f"receipts/{APP}", [a_pushed_receipt(), 5, a_pushed_receipt("2")]).status == 200
            )
        while loaded(receiver) == before:  # the test's own time limit ends a wait in vain
            time.sleep(0.01)
    assert receiver.terminate() == 0
    assert warehouse.query("select count(*) from sms.replies") == [(1,)]
    assert warehouse.query("select count(*) from sms.receipts") == [(2,)]
    assert warehouse.query("select record, reason from sms.rejected_records") == [
        ("5", "the record is an integer, not an object")
    ]


@pytest.mark.long
def test_a_bad_entry_is_kept_apart(receiver: ReceivingJob, warehouse: Warehouse) -> None:
    """It refuses none beside it, and is verbatim where it can be looked at."""
    good = json.dumps(a_pushed_receipt())
    assert receiver.push(f"receipts/{APP}", f'[{good}, {{"mobile": nope}}, "x"]'.encode()).json == OK
    assert (
        receiver.push("replies", b'{"mobile": "1", "nationcode": "86", "time": 5, "text": "\\ud83d"}').json
        == OK
    )
    assert receiver.push("replies", [1]).json == OK
    assert receiver.terminate() == 0
    assert warehouse.query("select serial_no from sms.receipts") == [("5000:1",)]
    assert {record for (record,) in warehouse.query("select record from sms.rejected_records")} == {
        '{"mobile": nope}',
        '"x"',
        '{"mobile": "1", "nationcode": "86", "time": 5, "text": "\\ud83d"}',
        "1",
    }


@pytest.mark.long
def test_each_refusal_has_its_status(receiver: ReceivingJob) -> None:
    """So that Tencent Cloud pushes again, and a person sees what is wrong."""
    reply = a_pushed_reply()
    for path in (
        "/",
        "/replies",
        "/wrong-token-0123456789/replies",
        f"/{TOKEN}",
        f"/{TOKEN}/",
        f"/{TOKEN}x/replies",
    ):
        assert receiver.request(path, reply).status == 404, path
    for path in ("nothing", "receipts", f"replies/{APP}/more", "replies/a%20b", f"receipts/{'a' * 65}"):
        assert receiver.push(path, reply).status == 404, path
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert receiver.push("replies", reply, method).status == 405, method
    assert receiver.push("replies", b"nope").status == 400
    assert receiver.push("replies", b"x" * (1 << 20)).status == 400
    assert receiver.push("replies", b"x" * (2 << 20)).status == 413
    assert receiver.push("replies", b"x" * (9 << 20)).status in (413, 0)
    assert receiver.push("replies/", reply).json == OK
    assert receiver.push(f"receipts/{APP}", []).json == OK
    assert receiver.terminate() == 0


@pytest.mark.long
def test_neither_token_nor_number_is_in_a_log_line(
    configured: SimulatorProcess, own_folders: Path, tmp_path: Path
) -> None:
    """Whatever goes wrong; nor is the token in a file."""
    with ReceivingJob("--status", "0", "--verbose", "--log-format", "json") as receiver:
        receiver.push("replies", a_pushed_reply("ok"))
        receiver.push("replies", b"nope")
        receiver.push("nothing", a_pushed_reply())
        shutil.rmtree(own_folders / "sms_journal" / "drains", ignore_errors=True)
        (own_folders / "sms_journal" / "drains").write_text("in the way")
        assert receiver.push("replies", a_pushed_reply("refused")).status == 503
        metrics = receiver.status("/metrics").body.decode()
        receiver.terminate()
    for text in (receiver.output, metrics):
        assert TOKEN not in text
        assert "12000000001" not in text
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]


@pytest.mark.long
def test_a_journal_that_refuses_is_told_and_heals(
    receiver: ReceivingJob, own_folders: Path, warehouse: Warehouse
) -> None:
    """The sender is to push again, the monitor knows why, and the process goes on."""
    receiver.push("replies", a_pushed_reply("before"))
    wait_until(lambda: loaded(receiver) == 1)
    drains = own_folders / "sms_journal" / "drains"
    shutil.rmtree(drains)
    drains.symlink_to("a disk that is not mounted")
    refused = receiver.push("replies", a_pushed_reply("again"))
    assert (refused.status, refused.json["errmsg"]) == (503, "the journal does not take it: push again")
    wait_until(lambda: receiver.status("/healthz").status == 503)
    assert receiver.status("/healthz").body.strip() != b"ok"
    drains.unlink()
    assert receiver.push("replies", a_pushed_reply("again")).status == 200
    wait_until(lambda: receiver.status("/healthz").body == b"ok\n")
    assert receiver.terminate() == 0
    assert warehouse.contents() == ["again", "before"]


@pytest.mark.long
def test_a_warehouse_that_is_away_keeps_nothing_from_being_received(
    receiver: ReceivingJob, own_folders: Path, warehouse: Warehouse
) -> None:
    """What is pushed meanwhile waits in the journal; a process that ended would lose it."""
    import duckdb

    receiver.push("replies", a_pushed_reply("before"))
    wait_until(lambda: loaded(receiver) == 1)
    with duckdb.connect(str(warehouse.database)):
        assert receiver.push("replies", a_pushed_reply("meanwhile")).status == 200
        wait_until(lambda: receiver.status("/healthz").status == 503)
        assert b"Another process holds the DuckDB file open" in receiver.status("/healthz").body
        assert callback_files(own_folders)
    wait_until(lambda: receiver.status("/healthz").status == 200)
    assert receiver.terminate() == 0
    assert warehouse.contents() == ["before", "meanwhile"]


@pytest.mark.long
def test_a_signal_ends_it_when_all_is_loaded(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """What has been answered is in the warehouse; a request that is not whole costs some seconds."""
    with ReceivingJob("--follow", "3600") as receiver:
        wait_until(lambda: configured.stats().pulls > 0)
        half, idle = receiver.connect(), receiver.connect()
        half.sendall(f"POST /{TOKEN}/replies HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode())
        for number in range(20):
            assert receiver.push("replies", a_pushed_reply(f"{number:02}")).json == OK
        assert receiver.terminate() == 0, receiver.output
        with half, idle:
            assert idle.recv(100) == b""
    assert warehouse.contents() == [f"{number:02}" for number in range(20)]


@pytest.mark.long
def test_it_can_receive_alone(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    """Then no queue is touched; without receiving there would be nothing to do."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", "[]")
    assert job()[0] == 2
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CALLBACK_TOKEN", TOKEN)
    status, _, errors = job()
    assert status == 2
    assert "pull_feeds is empty, so no queue would be drained" in errors
    with ReceivingJob("--status", "0") as receiver:
        assert receiver.push("replies", a_pushed_reply()).json == OK
        wait_until(lambda: loaded(receiver) == 1)
        assert receiver.terminate() == 0
    assert warehouse.contents() == ["TD"]
    assert warehouse.query("select count(*) from sms.receipts") == [(0,)]
    assert configured.stats().pulls == 0
    warehouse.database.unlink()
    status, _, errors = job("--replay")  # it pulls nothing, so it needs no queue
    assert (status, errors) == (0, "")
    assert warehouse.contents() == ["TD"]
    status, told, _ = job("--check")
    assert status == 0
    assert "look-up" not in told
    assert configured.stats().look_ups == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--receive", "127.0.0.1:0"], "are for --follow SECONDS"),
        (["--follow", "1", "--receive", "host"], "is not HOST:PORT"),
        (["--follow", "1", "--receive", "127.0.0.1:99999"], "is not HOST:PORT"),
        (["--follow", "1", "--receive", "::1:80"], "is not HOST:PORT"),
        (["--follow", "1", "--receive", "127.0.0.1:0"], "--receive needs callback_token"),
        (["--follow", "1", "--status", "192.0.2.1:80"], "Nothing can listen on 192.0.2.1:80"),
    ],
)
def test_wrong_usage_is_told(
    configured: SimulatorProcess, job: Job, capfd: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """Before anything is pulled or received."""
    try:
        status, _, errors = job(*arguments)
    except SystemExit as end:
        status, errors = end.code, capfd.readouterr().err  # type: ignore[assignment] # argparse's is 2
    assert status == 2
    assert told in errors
    assert configured.stats().pulls == 0


@pytest.mark.long
def test_a_token_may_have_whatever_a_path_holds_as_it_is(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of RFC 3986's unreserved characters, and the callbacks' URLs begin with it."""
    token = "abc.def~ghi-jkl_mno"
    monkeypatch.setattr("tests.receiving.receiving_job.TOKEN", token)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CALLBACK_TOKEN", token)
    with ReceivingJob("--status", "0") as receiver:
        assert receiver.push("replies", a_pushed_reply()).json == OK
        assert receiver.terminate() == 0
    assert warehouse.contents() == ["TD"]


@pytest.mark.parametrize("token", ["short", "a token with blanks in it", "ten/and/some/more", "ä" * 20])
def test_a_token_that_can_be_guessed_is_refused(configured: SimulatorProcess, token: str) -> None:
    """Or that a URL can't hold as it is; it is not shown."""
    with pytest.raises(
        ConfigurationError, match=r"callback_token has .* letters, digits and - \. _ ~"
    ) as raised:
        sms_source.load(callback_token=token)
    assert token not in str(raised.value)


def test_networks_are_checked(configured: SimulatorProcess) -> None:
    """An error names what can't be one."""
    with pytest.raises(ConfigurationError, match="callback_allow is"):
        sms_source.load(callback_allow=["10.0.0.1/8"])


@pytest.mark.long
def test_only_what_is_allowed_may_push(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy on this machine, the sender is whom the proxy names last: the others are hearsay."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__CALLBACK_ALLOW", '["203.0.113.0/24", "2001:db8::/32"]')
    with ReceivingJob() as receiver:
        for sender, status in {
            "": 403,
            "203.0.113.9": 200,
            "2001:db8::7": 200,
            "198.51.100.1": 403,
            "203.0.113.9, 198.51.100.1": 403,
            "198.51.100.1, 203.0.113.9": 200,
            "nonsense": 403,
        }.items():
            headers = {"X_Forwarded_For": sender} if sender else {}
            assert receiver.push("replies", a_pushed_reply(), **headers).status == status, sender
        assert receiver.request("/wrong/replies", a_pushed_reply()).status == 403
        assert receiver.terminate() == 0


@pytest.mark.long
@pytest.mark.parametrize("delivery", ["both", "either", "split"])
@pytest.mark.parametrize("replies_url", ["replies", f"replies/{APP}"])
def test_each_record_is_there_once_whatever_gets_it(
    receiver: ReceivingJob,
    configured: SimulatorProcess,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    delivery: str,
    replies_url: str,
) -> None:
    """Whether queue and callback both get each record, either does, or the callback alone."""
    configured.configure(delivery=delivery, reply_push_attempts=3)
    configured.push_to("replies", receiver.url(replies_url))
    configured.push_to("receipts", receiver.url(f"receipts/{APP}"), app_id=APP)
    sent = [
        a_reply(f"reply {n % 40}", PhoneNumber=f"+86120{n:08}", SubscriberNumber=f"120{n:08}", ExtendCode="")
        for n in range(60)
    ]
    sent.append(a_reply("reply 0", ExtendCode="", ReplyTime=1_700_000_000))
    configured.enqueue(APP, sent)
    configured.enqueue(APP, receipts(80), feed="receipts")
    configured.wait_for_pushes()
    assert receiver.terminate() == 0, receiver.output
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", '["replies", "receipts"]')
    sms_source.load()
    assert sorted(warehouse.query("select reply_content, phone_number from sms.unique_replies")) == sorted(
        (reply["ReplyContent"], reply["PhoneNumber"]) for reply in sent
    )
    serials = warehouse.query("select serial_no from sms.unique_receipts")
    assert sorted(serial for (serial,) in serials) == sorted(f"5000:{n}" for n in range(80))
    by_channel: dict[str, int] = dict(warehouse.query("select channel, count(*) from sms.replies group by 1"))
    assert by_channel["callback"] > 0
    assert sum(by_channel.values()) == 61 * (1 + (delivery == "both"))


@pytest.mark.long
def test_the_status_is_served_without_callbacks_too(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """On a port of its own, and nothing else is there."""
    configured.enqueue(APP, [a_reply("a text"), a_reply(5)])
    with ReceivingJob("--status", "0", receives=False) as job:
        wait_until(lambda: b"sms_rejected_total 1.0" in job.status("/metrics").body)
        assert job.status("/healthz").body == b"ok\n"
        metrics = job.status("/metrics").body.decode()
        assert "sms_pulls_total 1.0" in metrics
        assert 'sms_records_total{feed="replies"} 1.0' in metrics
        assert "a text" not in metrics
        assert job.status("/").status == 404
        assert ask(job.status_port, "POST", "/metrics", b"").status == 405
        assert job.terminate() == 0
