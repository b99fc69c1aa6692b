"""The people behind what is pushed: encryption, pseudonyms, erasure; and what a recovery knows of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

import sms_source
from sms_source.journal.encryption import Keys
from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.jobs import wait_until
from tests.privacy.keys import KEY
from tests.privacy.scan import found, texts_of
from tests.receiving.receiving_job import ReceivingJob, a_pushed_receipt, a_pushed_reply

pytestmark = pytest.mark.long

SECRET = "a secret of some length"
NATIONAL, NUMBER, OTHER = "13712345678", "+8613712345678", "13800138000"


@pytest.fixture(params=["in clear", "encrypted"])
def key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Provide the journal's key; None without one."""
    if request.param == "in clear":
        return None
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_ENCRYPTION_KEY", KEY)
    return KEY


def journal_texts(key: str | None) -> list[str]:
    """Return what the journal's pulls hold, the archive's too."""
    with Journal("sms_journal", keys=Keys.parse(key)) as journal:
        return [pull.body.decode() for item in journal.everything() for pull in journal.read(item)]


def test_no_disk_and_no_table_holds_a_pushed_number(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With both keys: not while it waits, not after a kill, not in the tables."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_ENCRYPTION_KEY", KEY)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PSEUDONYM_KEY", SECRET)
    with ReceivingJob("--follow", "3600") as receiver:
        wait_until(lambda: configured.stats().pulls > 0)
        receiver.push("replies", a_pushed_reply(f"I am {NATIONAL}", mobile=NATIONAL))
        receiver.push("replies", a_pushed_reply("x", mobile=NATIONAL, time="never", note=f"0{OTHER}"))
        receiver.push(f"receipts/{APP}", [a_pushed_receipt(mobile=NATIONAL)])
        receiver.process.kill()
    assert found(tmp_path, [NATIONAL, OTHER, "I am"]) == set()
    sms_source.load()
    assert warehouse.query("select phone_number, subscriber_number, reply_content from sms.replies") == [
        (person := sms_source.pseudonym(NUMBER, SECRET), None, f"I am {person}")
    ]
    assert warehouse.query("select phone_number from sms.receipts") == [(person,)]
    ((record,),) = warehouse.query("select record from sms.rejected_records")
    assert json.loads(record)["mobile"] == person
    assert not [text for text in texts_of(warehouse) if NATIONAL in text or OTHER in text]
    assert found(tmp_path, [NATIONAL, OTHER]) == set()


def test_nobody_can_try_numbers_on_an_id_without_the_key(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else of a record is in the table; its digest would tell which of all numbers is in it."""
    entry = a_pushed_reply(mobile=NATIONAL)
    canonical = orjson.dumps(["replies", APP, entry], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical).hexdigest()[:32]
    for name, secret in (("plain", ""), ("keyed", SECRET)):
        if secret:
            monkeypatch.setenv("SOURCES__SMS_SOURCE__PSEUDONYM_KEY", secret)
            monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", name)
        with ReceivingJob("--pipeline", name) as receiver:
            for _ in range(2):
                receiver.push(f"replies/{APP}", entry)
                receiver.push(f"replies/{APP}", {**entry, "time": "never"})
            assert receiver.terminate() == 0, receiver.output
    texts = {}
    for name in ("plain", "keyed"):
        with duckdb.connect(f"{name}.duckdb", read_only=True) as connection:
            replies = connection.execute("select reply_id from sms.replies").fetchall()
            rejected = connection.execute("select pull_id from sms.rejected_records").fetchall()
        assert len(replies) == len(rejected) == 1
        texts[name] = {replies[0][0], rejected[0][0]}
    assert f"callback/{digest}" in texts["plain"]
    assert not texts["plain"] & texts["keyed"]
    assert all(len(text) == len("callback/") + 32 for text in texts["keyed"])


def test_a_person_who_is_forgotten_is_gone_from_what_was_pushed(
    configured: SimulatorProcess, warehouse: Warehouse, key: str | None
) -> None:
    """From what waits and from the archive, without a digest of theirs; the others keep their ids."""
    pushes = [
        ("replies", a_pushed_reply("theirs", mobile=NATIONAL)),
        ("replies", a_pushed_reply("other's", mobile=OTHER)),
        ("replies", a_pushed_reply("bad", mobile=NATIONAL, time="never")),
        (
            f"receipts/{APP}",
            [a_pushed_receipt(str(n), mobile=m) for n, m in enumerate((OTHER, NATIONAL, OTHER))],
        ),
    ]
    with ReceivingJob() as receiver:
        for path, body in pushes:
            receiver.push(path, body)
        assert receiver.terminate() == 0
    before = warehouse.query("select reply_id from sms.replies where reply_content = 'other''s'")
    pulls = configured.stats().pulls
    with ReceivingJob("--follow", "3600") as receiver:
        wait_until(lambda: configured.stats().pulls > pulls)
        receiver.push("replies", a_pushed_reply("waits", mobile=NATIONAL))
        receiver.push("replies", a_pushed_reply("waits, too", mobile=OTHER))
        receiver.process.kill()
    done = sms_source.forget(NUMBER)
    assert done.rows == {"receipts": 1, "rejected_records": 1, "replies": 1}
    assert done.journal_records == 4
    assert NATIONAL not in "".join(journal_texts(key))
    sms_source.load()
    sms_source.load(replay=True)
    assert warehouse.contents() == ["other's", "waits, too"]
    assert warehouse.query("select reply_id from sms.replies where reply_content = 'other''s'") == before
    assert warehouse.query("select serial_no from sms.receipts order by 1") == [("0",), ("2",)]
    assert warehouse.query("select count(*) from sms.rejected_records") == [(0,)]
    if key is None:
        assert found(Path.cwd() / "sms_journal", [NATIONAL, "theirs"]) == set()


def _json(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.usefixtures("configured")
def test_only_the_records_of_the_person_go(warehouse: Warehouse) -> None:
    """Who mentions them, or has their national number in another country, is somebody else."""
    others = [
        a_pushed_reply(f"my friend {NATIONAL} says STOP", nationcode="1", mobile="2025550100"),
        a_pushed_reply("another country", nationcode="44", mobile=NATIONAL),
        a_pushed_reply("the number less a digit", nationcode="1", mobile=NATIONAL[1:]),
        a_pushed_reply(f"about {NUMBER}", nationcode="1", mobile="2025550100", time="never"),
        b'{"nationcode": "1", "mobile": "2025550100", "text": "' + NUMBER.encode() + b'", "time": nope}',
    ]
    unknown = {"mobile": NATIONAL, "text": "no country", "time": 5}
    theirs = [a_pushed_reply("theirs", mobile=NATIONAL), unknown, {**unknown, "time": "never"}]
    with ReceivingJob() as receiver:
        receiver.push("replies", b"[" + b",".join(_json(body) for body in (*others, *theirs)) + b"]")
        assert receiver.terminate() == 0
    done = sms_source.forget(NUMBER)
    assert done.rows == {"rejected_records": 1, "replies": 2}
    assert done.journal_records == 3
    expected = ["another country", f"my friend {NATIONAL} says STOP", "the number less a digit"]
    for _ in range(2):
        assert warehouse.contents() == expected
        assert warehouse.query("select count(*) from sms.rejected_records") == [(2,)]
        sms_source.load(replay=True)
    american = sms_source.forget(f"+{NATIONAL}")
    assert (american.rows["replies"], american.journal_records) == (1, 1)
    assert warehouse.contents() == expected[:2]


@pytest.mark.usefixtures("configured")
def test_the_number_abroad_with_the_same_digits_is_another(warehouse: Warehouse) -> None:
    """A national number is not read as a country code and the rest of a number."""
    with ReceivingJob() as receiver:
        receiver.push("replies", {"mobile": NATIONAL, "text": "no country", "time": 5})
        assert receiver.terminate() == 0
    done = sms_source.forget(f"+{NATIONAL}")
    assert (sum(done.rows.values()), done.journal_records) == (0, 0)
    assert warehouse.contents() == ["no country"]


@pytest.mark.usefixtures("configured")
def test_a_pseudonym_without_a_country_is_nobodys_elsewhere(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it that of the number abroad with the same digits; and it is forgotten all the same."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PSEUDONYM_KEY", SECRET)
    with ReceivingJob() as receiver:
        receiver.push("replies", {"mobile": NATIONAL, "text": f"I am {NATIONAL}, not +{NATIONAL}", "time": 5})
        receiver.push("replies", {"mobile": NATIONAL, "text": "rejected", "time": "never"})
        receiver.push("replies", {"mobile": NATIONAL[1:], "nationcode": "1", "text": "American", "time": 5})
        assert receiver.terminate() == 0
    someone, american = (sms_source.pseudonym(number, SECRET) for number in (NATIONAL, f"+{NATIONAL}"))
    assert warehouse.query("select phone_number, reply_content from sms.replies order by 2") == [
        (american, "American"),
        (someone, f"I am {someone}, not ***"),
    ]
    done = sms_source.forget(NUMBER)
    assert done.rows == {"rejected_records": 1, "replies": 1}
    assert warehouse.contents() == ["American"]


def test_a_replay_changes_no_id(configured: SimulatorProcess, warehouse: Warehouse, key: str | None) -> None:
    """Nor when a row was first loaded."""
    query = "select reply_id, pull_id, pulled_at, _dlt_load_id from sms.replies order by 1"
    with ReceivingJob() as receiver:
        for number in range(20):
            receiver.push("replies", a_pushed_reply(str(number)))
        assert receiver.terminate() == 0
    before = warehouse.query(query)
    sms_source.load(replay=True)
    assert warehouse.query(query) == before
    warehouse.database.unlink()
    assert sms_source.load().missing_packages > 0
    assert warehouse.query(query) == before


@pytest.mark.parametrize("path", ["replies", f"replies/{APP}"])
def test_a_recovery_knows_what_was_pushed(
    configured: SimulatorProcess, warehouse: Warehouse, path: str
) -> None:
    """What a pull in doubt lost may have come by callback, too: a look-up does not add it again."""
    import time

    moment = int(time.time()) - 600
    replies = [
        a_reply(text, PhoneNumber=NUMBER, SubscriberNumber=NATIONAL, ReplyTime=moment)
        for text in ("pushed", "lost")
    ]
    configured.fail_next("reset")
    configured.enqueue(APP, replies)
    with ReceivingJob() as receiver:
        assert receiver.push(path, a_pushed_reply("pushed", mobile=NATIONAL, time=moment)).status == 200
        wait_until(lambda: configured.stats().lost == 2)
        receiver.terminate()
    summary = sms_source.recover(numbers=[NUMBER])
    summary.raise_for_failure()
    assert summary.recovered["replies"] == 1
    rows = warehouse.query("select reply_content, channel from sms.unique_replies order by 1")
    assert rows == [("lost", "lookup"), ("pushed", "callback")]
