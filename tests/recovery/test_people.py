"""The people behind what was looked up, where pseudonyms are turned on later."""

import hashlib
import json
from typing import Any

import duckdb
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

import sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.recovery.conftest import Lose, Query, number_of, reply_of

SECRET = "a secret of some length"
IDS = "select reply_id from sms.replies where channel = 'lookup' order by 1"


@pytest.fixture(autouse=True)
def recovered_in_clear(configured: SimulatorProcess, lose: Lose) -> None:
    """Of three equal replies of one second, one was pulled, and two were recovered without a key."""
    configured.configure(look_up_rate_limit=0)
    reply = {**reply_of(1), "ReplyContent": "call me: 13800138000"}
    configured.enqueue(APP, [reply])
    sms_source.load()
    lose([reply, reply])
    sms_source.recover(numbers=[number_of(1)]).raise_for_failure()


@pytest.mark.long
def test_nobody_can_try_numbers_on_an_id_without_the_key(query: Query) -> None:
    """All else of a record is in the table; a replay with the key makes another id of a plain digest."""
    ((_, *content),) = set(
        query(
            "select phone_number, epoch(reply_time)::bigint, reply_content, sign_name, extend_code "
            "from sms.replies"
        )
    )
    plain = hashlib.sha256(json.dumps([APP, number_of(1), *content]).encode()).hexdigest()[:32]
    assert query(IDS) == [(f"lookup/{plain}/2",), (f"lookup/{plain}/3",)]
    sms_source.load(replay=True, pseudonym_key=SECRET, dataset_name="keyed")
    keyed = [record_id for (record_id,) in query(IDS.replace("sms.", "keyed."))]
    assert [record_id.rpartition("/")[2] for record_id in keyed] == ["2", "3"]
    assert not [record_id for record_id in keyed if plain in record_id]
    assert query("select count(*) from keyed.replies") == [(3,)]


@pytest.mark.long
@pytest.mark.parametrize("way", ["replayed with it", "given pseudonyms where they are", "left as they are"])
def test_a_recovery_with_a_key_knows_what_came_before_it(query: Query, way: str) -> None:
    """In each state that the documentation has for older rows: nothing is added again, then or later."""
    person = sms_source.pseudonym(number_of(1), SECRET)
    with duckdb.connect("sms_replies.duckdb") as connection:
        if way == "replayed with it":
            connection.execute("delete from sms.replies where channel = 'lookup'")
        elif way == "given pseudonyms where they are":
            connection.execute(f"update sms.replies set phone_number = '{person}'")
    sms_source.load(replay=way == "replayed with it", pseudonym_key=SECRET)
    before = query(IDS)
    for _ in range(2):
        summary = sms_source.recover(numbers=[number_of(1)], pseudonym_key=SECRET)
        summary.raise_for_failure()
        assert summary.recovered.total() == 0
    assert query(IDS) == before
    shown = number_of(1) if way == "left as they are" else person
    assert query("select phone_number, count(*) from sms.replies group by 1") == [(shown, 3)]


@pytest.mark.long
def test_no_number_is_in_a_query_where_the_table_has_none(
    monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    """Databases keep what they were asked: an analyst may read it there."""
    asked: list[str] = []
    execute_sql = DuckDbSqlClient.execute_sql

    def noted(client: DuckDbSqlClient, sql: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(sql)
        return execute_sql(client, sql, *args, **kwargs)

    def recover() -> None:
        asked.clear()
        with monkeypatch.context() as watched:
            watched.setattr(DuckDbSqlClient, "execute_sql", noted)
            sms_source.recover(numbers=[number_of(1)], pseudonym_key=SECRET)

    recover()
    assert [sql for sql in asked if number_of(1) in sql]
    with duckdb.connect("sms_replies.duckdb") as connection:
        connection.execute("delete from sms.replies")
    sms_source.load(replay=True, pseudonym_key=SECRET)
    recover()
    assert asked
    assert not [sql for sql in asked if number_of(1) in sql]


@pytest.mark.long
def test_what_is_recovered_with_a_key_is_known_by_it(lose: Lose, query: Query) -> None:
    """Its id is not that of its content in clear, either; a second recovery, or a replay, adds nothing."""
    sms_source.load(replay=True, pseudonym_key=SECRET)
    lose([reply_of(2)])
    sms_source.load(pseudonym_key=SECRET)
    summary = sms_source.recover(numbers=[number_of(2)], pseudonym_key=SECRET)
    summary.raise_for_failure()
    assert summary.recovered.total() == 1
    before = query("select reply_id, phone_number from sms.replies order by 1")
    assert sms_source.recover(numbers=[number_of(2)], pseudonym_key=SECRET).recovered.total() == 0
    sms_source.load(replay=True, pseudonym_key=SECRET)
    assert query("select reply_id, phone_number from sms.replies order by 1") == before
