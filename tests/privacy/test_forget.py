"""forget(): a person is gone from tables and journal, and nothing brings them back."""

import json
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.journal.encryption import Keys
from sms_source.journal.journal import Journal
from sms_source.loading.loader import resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.helpers.spellings import assert_forgotten
from tests.privacy.keys import KEY
from tests.privacy.scan import found

SECRET = "a secret of some length"
NUMBER, NATIONAL, OTHER = "+8613712345678", "13712345678", "+8613800138000"
PERSON = sms_source.pseudonym(NUMBER, SECRET)
ROWS = "select reply_id, phone_number, reply_content from sms.replies order by reply_id"
CODE = """
import os, sys
from sms_source.journal.local_storage import LocalStorage
import sms_source

written = 0
write = LocalStorage.write

def write_and_die(self, path, content):
    global written
    if path != "journal.json":
        if written == int(sys.argv[1]):
            os.kill(os.getpid(), 9)
        written += 1
    write(self, path, content)

LocalStorage.write = write_and_die
if sys.argv[2:] == ["after"]:
    from sms_source.loading import table_erasure
    table_erasure.erase_rows = lambda *_: os.kill(os.getpid(), 9)
sms_source.forget("+8613712345678")
"""


def enqueue(simulator: SimulatorProcess, *texts: str, number: str = NUMBER) -> None:
    """Let a person and somebody else answer."""
    simulator.enqueue(APP, [a_reply(text, PhoneNumber=n) for text in texts for n in (number, OTHER)])


@pytest.fixture
def loaded(configured: SimulatorProcess, warehouse: Warehouse) -> Warehouse:
    """Two packages of two people, with records that do not fit."""
    enqueue(configured, "first", "second")
    configured.enqueue(APP, [a_reply(5, PhoneNumber=NUMBER), a_reply(6, PhoneNumber=OTHER)])
    sms_source.load()
    enqueue(configured, "third")
    sms_source.load()
    return warehouse


def test_a_person_is_gone_from_tables_and_journal(loaded: Warehouse) -> None:
    """Everybody else's rows keep their ids; a replay, and a new warehouse, have the person no more."""
    others = [row for row in loaded.query(ROWS) if row[1] == OTHER]
    done = sms_source.forget(NUMBER)
    assert loaded.query(ROWS) == others
    assert [
        json.loads(record)["PhoneNumber"]
        for (record,) in loaded.query("select record from sms.rejected_records")
    ] == [OTHER]
    assert done.rows == {"rejected_records": 1, "replies": 3}
    assert done.journal_records == 4
    assert found(loaded.folder, [NUMBER, NATIONAL], without=[".duckdb"]) == set()
    sms_source.load(replay=True)
    assert loaded.query(ROWS) == others
    loaded.database.unlink()
    sms_source.load()
    assert loaded.query(ROWS) == others
    assert loaded.query("select count(*), sum(records)::int from sms.pulls") == [(2, 8)]


@pytest.mark.long
def test_a_person_is_gone_however_their_number_is_spelt(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The tables and the journal agree on whose a record is."""
    assert_forgotten(configured, sms_source.load, warehouse.contents)
    sms_source.load(replay=True)
    assert warehouse.contents() == ["other 0", "other 1", "other 2"]


@pytest.mark.long
def test_the_warehouse_says_what_was_erased_and_not_of_whom(loaded: Warehouse) -> None:
    """Without a key there is no digest."""
    sms_source.forget([NUMBER, "+15551234567"])
    rows = loaded.query(
        "select person, replies, receipts, rejected_records, journal_records, erased_at <= now() "
        "from sms.erasures order by replies desc"
    )
    receipts = rows[0][2]
    assert rows == [(None, 3, receipts, 1, 4, True), (None, 0, receipts, 0, 0, True)]


@pytest.mark.long
def test_dlts_staging_tables_hold_the_person_no_more(loaded: Warehouse) -> None:
    """A merge leaves its last rows in them."""
    sms_source.forget(NUMBER)
    tables = loaded.query(
        "select table_schema, table_name from information_schema.columns where column_name = 'phone_number'"
    )
    assert len(tables) > 2
    for schema, table in tables:
        assert loaded.query(
            f'select count(*) from "{schema}"."{table}" where phone_number = \'{NUMBER}\''
        ) == [(0,)]


@pytest.mark.long
def test_the_staging_tables_of_an_earlier_journal_hold_the_person_no_more(
    configured: SimulatorProcess, loaded: Warehouse
) -> None:
    """Where a journal is lost, the job begins a new one, which stages elsewhere."""
    shutil.rmtree(loaded.folder / "sms_journal")
    enqueue(configured, "later", number=OTHER)
    sms_source.load()
    done = sms_source.forget(NUMBER)
    assert done.rows["replies"] == 3
    tables = loaded.query(
        "select table_schema from information_schema.columns where column_name = 'phone_number' "
        "and table_name = 'replies' and table_schema like 'sms_staging_%'"
    )
    assert len(tables) == 2
    for (schema,) in tables:
        assert loaded.query(f"select count(*) from {schema}.replies where phone_number = '{NUMBER}'") == [
            (0,)
        ]
        assert OTHER in str(loaded.query(f"select phone_number from {schema}.replies"))


@pytest.mark.long
def test_with_a_key_pseudonyms_are_forgotten_too(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """Rows from before the key was set, rows from after, and the records that do not fit."""
    enqueue(configured, "in clear")
    sms_source.load(journal_encryption_key=KEY)
    enqueue(configured, "later")
    configured.enqueue(APP, [a_reply(5, PhoneNumber=NUMBER)])
    keys: dict[str, Any] = {"pseudonym_key": SECRET, "journal_encryption_key": KEY}
    sms_source.load(**keys)
    done = sms_source.forget("0086 137 1234 5678", **keys)
    assert done.rows == {"rejected_records": 1, "replies": 2}
    assert [text for _, _, text in warehouse.query(ROWS)] == ["in clear", "later"]
    assert warehouse.query("select person, replies from sms.erasures") == [(PERSON, 2)]
    sms_source.load(replay=True, **keys)
    assert len(warehouse.query(ROWS)) == 2
    assert warehouse.query("select count(*) from sms.rejected_records") == [(0,)]
    with Journal(str(warehouse.folder / "sms_journal"), keys=Keys.parse(KEY)) as journal:
        bodies = [pull.body for item in journal.everything() for pull in journal.read(item)]
    assert bodies
    assert not [body for body in bodies if NATIONAL.encode() in body]


def test_what_waits_in_the_journal_is_forgotten_before_it_is_loaded(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Answers that were pulled, and not loaded yet, in whatever state a kill left them."""
    enqueue(configured, "1")
    sms_source.load()
    journal = warehouse.folder / "sms_journal"
    (bundle,) = (journal / "archive").iterdir()
    bundle.rename(journal / "drains" / bundle.name)
    (journal / "unreadable").mkdir()
    (journal / "unreadable" / "000009.torn").write_bytes(b'{"PhoneNumber": "' + NUMBER.encode())
    (journal / "archive" / f"{bundle.name}.new").write_text(NUMBER)
    (journal / "recovery.json").write_text('{"asked": {"replies/1400006666": {"0123456789abcdef": 1.0}}}')
    warehouse.database.unlink()
    sms_source.forget(NUMBER)
    assert found(journal, [NUMBER, "0123456789abcdef"]) == set()
    sms_source.load()
    assert [number for _, number, _ in warehouse.query(ROWS)] == [OTHER]


@pytest.mark.long
def test_a_later_reply_is_a_new_one(configured: SimulatorProcess, loaded: Warehouse) -> None:
    """Nobody is blocked."""
    sms_source.forget(NUMBER)
    enqueue(configured, "hello again")
    sms_source.load()
    assert [text for _, number, text in loaded.query(ROWS) if number == NUMBER] == ["hello again"]


@pytest.mark.long
def test_it_says_what_it_cannot_reach(loaded: Warehouse) -> None:
    """Backups, exports, other journals, Tencent Cloud, the database's free blocks."""
    text = "\n".join(sms_source.forget(NUMBER).lines())
    assert NUMBER not in text
    for place in ("backups", "exports", "other journals", "Tencent Cloud", "COPY FROM DATABASE"):
        assert place in text


@pytest.mark.long
def test_a_second_time_finds_nothing(loaded: Warehouse) -> None:
    """It may be run as often as one likes."""
    sms_source.forget(NUMBER)
    again = sms_source.forget(NUMBER)
    assert (again.rows, again.journal_records) == ({"rejected_records": 0, "replies": 0}, 0)


@pytest.mark.long
@pytest.mark.parametrize("arguments", [("0",), ("1",), ("99", "after")])
def test_killed_anywhere_it_ends_when_it_is_run_again(loaded: Warehouse, arguments: tuple[str, ...]) -> None:
    """Before the first file, between two, and between the journal and the tables."""
    others = [row for row in loaded.query(ROWS) if row[1] == OTHER]
    killed = subprocess.run([sys.executable, "-c", CODE, *arguments], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert found(loaded.folder, [NUMBER], without=[".duckdb"]) or arguments[-1] == "after"
    sms_source.load()  # what a kill left stops no load
    sms_source.forget(NUMBER)
    sms_source.load(replay=True)
    assert loaded.query(ROWS) == others
    assert found(loaded.folder, [NUMBER], without=[".duckdb"]) == set()
    assert loaded.query("select sum(replies)::int, count(*) from sms.erasures") == [(3, 1)]


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_a_whole_journal(configured: SimulatorProcess, loaded: Warehouse) -> None:
    """Drawn over the whole of a run, which a run that is not killed ends."""
    others = [row for row in loaded.query(ROWS) if row[1] == OTHER]
    code = "import sms_source; sms_source.forget('+8613712345678')"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code.replace("1371", "1379")], check=True)
    seconds = time.monotonic() - began
    for share in (0.6, 0.75, 0.85, 0.95):
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(share * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        sms_source.load()
    sms_source.forget(NUMBER)
    sms_source.load(replay=True)
    assert loaded.query(ROWS) == others


@pytest.mark.long
def test_without_a_number_or_with_a_wrong_one_nothing_is_erased(loaded: Warehouse) -> None:
    """A list with a mistake in it is read before the first row goes."""
    before = loaded.query(ROWS)
    for numbers in ([], [NUMBER, "12"]):
        with pytest.raises(ConfigurationError):
            sms_source.forget(numbers)
    assert loaded.query(ROWS) == before


@pytest.mark.long
def test_a_dataset_that_a_replay_filled_is_reached_by_its_name(loaded: Warehouse) -> None:
    """It is not the journal's own, and its rows go all the same."""
    sms_source.load(replay=True, dataset_name="again")
    sms_source.forget(NUMBER, dataset_name="again")
    assert loaded.query("select distinct phone_number from again.replies") == [(OTHER,)]
    assert (NUMBER,) in loaded.query("select distinct phone_number from sms.replies")


@pytest.mark.long
def test_old_rows_leave_the_tables_at_the_end_of_a_load(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Rows that came longer ago than tables_retention_days; the ledger stays, a replay changes nothing."""
    enqueue(configured, "old")
    configured.enqueue(APP, [a_reply(5)])
    sms_source.load()
    time.sleep(0.1)
    days = 0.05 / 86_400
    enqueue(configured, "new")
    sms_source.load(tables_retention_days=1)
    assert len(warehouse.contents()) == 4
    sms_source.load(tables_retention_days=days, replay=True)
    assert warehouse.contents() == []
    assert warehouse.query("select count(*) from sms.rejected_records") == [(0,)]
    assert warehouse.query("select count(*) from sms.pulls") == [(2,)]


def test_a_quiet_job_looks_for_old_rows_once_a_day(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """No reply need come for an old one to go; and a quiet round costs no more than it did."""
    enqueue(configured, "old")
    sms_source.load()
    days = 0.001 / 86_400
    time.sleep(0.1)
    sms_source.load(tables_retention_days=days)
    assert warehouse.contents() == []
    changed = warehouse.database.stat().st_mtime_ns
    sms_source.load(tables_retention_days=days)
    assert warehouse.database.stat().st_mtime_ns == changed


def test_retention_that_cannot_be_is_refused() -> None:
    """Zero days would empty the tables at each load."""
    with pytest.raises(ConfigurationError, match="tables_retention_days"):
        resolve_options(
            {
                "tables_retention_days": 0,
                "sms_sdk_app_ids": APP,
                "credentials": {"secret_id": "a", "secret_key": "b"},
            }
        )


@pytest.mark.long
def test_loads_go_on_after_an_erasure(configured: SimulatorProcess, loaded: Warehouse) -> None:
    """With nothing new in the queues, and then with a reply: the table of erasures is not in their way."""
    sms_source.forget(NUMBER)
    sms_source.load()
    enqueue(configured, "4", number=OTHER)
    sms_source.load()
    assert "4" in loaded.contents()


@pytest.mark.long
def test_a_record_that_looks_like_a_marker_is_rejected(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """What a server sends is no sign of an erasure: it counts in the ledger, so it is somewhere."""
    configured.enqueue(APP, [b'{"ErasedBySmsSource": true}', a_reply("other", PhoneNumber=OTHER)])
    sms_source.load()
    rejected = "select position, record from sms.rejected_records"
    assert warehouse.query(rejected) == [(0, '{"ErasedBySmsSource": true}')]
    sms_source.forget(NUMBER)
    warehouse.database.unlink()
    sms_source.load()
    assert warehouse.query(rejected) == [(0, '{"ErasedBySmsSource": true}')]
    assert warehouse.contents() == ["other"]
