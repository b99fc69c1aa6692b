"""Pseudonyms, erasure and retention in a real PostgreSQL."""

import shutil
import time

import sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.helpers.spellings import assert_forgotten
from tests.postgres.conftest import PostgresWarehouse

SECRET = "a secret of some length"
NUMBER, OTHER = "+8613712345678", "+8613800138000"


def test_a_person_is_forgotten_in_clear_and_by_pseudonym(
    configured: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """Rows, records that do not fit, and dlt's staging; the row of erasures comes in the same transaction."""
    for key in (None, SECRET):
        configured.enqueue(APP, [a_reply("1", PhoneNumber=n) for n in (NUMBER, OTHER)])
        configured.enqueue(APP, [a_reply(5, PhoneNumber=NUMBER)])
        sms_source.load("postgres", pseudonym_key=key)
    done = sms_source.forget(NUMBER, "postgres", pseudonym_key=SECRET)
    assert done.rows == {"rejected_records": 2, "replies": 2}
    assert done.journal_records == 4
    other = sms_source.pseudonym(OTHER, SECRET)
    assert postgres.query("select phone_number from sms.replies order by reply_id") == [(OTHER,), (other,)]
    person = sms_source.pseudonym(NUMBER, SECRET)
    assert postgres.query("select person, replies, rejected_records from sms.erasures") == [(person, 2, 2)]
    staged = postgres.query(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema like 'sms_staging_%' and table_name in ('replies', 'rejected_records')"
    )
    assert staged
    for schema, table in staged:
        column = "phone_number" if table == "replies" else "record"
        values = [value for (value,) in postgres.query(f'select "{column}" from "{schema}"."{table}"')]
        assert not [value for value in values if NUMBER[1:] in value or person in value]
    sms_source.load("postgres", replay=True, pseudonym_key=SECRET)
    assert postgres.query("select phone_number from sms.replies") == [(other,), (other,)]


def test_a_person_is_forgotten_however_their_number_is_spelt(
    configured: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """With separators, in full-width digits, with 00 for the plus; what others have is left."""
    assert_forgotten(configured, lambda: sms_source.load("postgres"), postgres.contents, "postgres")


def test_the_staging_tables_of_an_earlier_journal_hold_the_person_no_more(
    configured: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """Where a journal is lost, the job begins a new one, which stages elsewhere."""
    configured.enqueue(APP, [a_reply("1", PhoneNumber=n) for n in (NUMBER, OTHER)])
    sms_source.load("postgres")
    shutil.rmtree("sms_journal")
    configured.enqueue(APP, [a_reply("2", PhoneNumber=OTHER)])
    sms_source.load("postgres")
    sms_source.forget(NUMBER, "postgres")
    schemas = postgres.query(
        "select table_schema from information_schema.tables "
        "where table_schema like 'sms_staging_%' and table_name = 'replies'"
    )
    assert len(schemas) == 2
    for (schema,) in schemas:
        assert postgres.query(f"select distinct phone_number from {schema}.replies") == [(OTHER,)]


def test_old_rows_leave_the_tables(configured: SimulatorProcess, postgres: PostgresWarehouse) -> None:
    """The ledger stays."""
    configured.enqueue(APP, [a_reply("1"), a_reply(5)])
    sms_source.load("postgres", tables_retention_days=1)
    assert postgres.contents() == ["1"]
    time.sleep(0.05)
    sms_source.load("postgres", tables_retention_days=0.01 / 86_400, replay=True)
    assert postgres.contents() == []
    assert postgres.query("select count(*) from sms.rejected_records") == [(0,)]
    assert postgres.query("select count(*) from sms.pulls") == [(1,)]
