"""Views come into a dataset beside what is there, and stay as long as they are right."""

from datetime import timedelta

import pytest

from sms_source.views import VIEWS
from tests.conftest import Rows
from tests.views.conftest import Databases
from tests.views.warehouse import NOON, Warehouse, a_row

OF_REPLIES = {
    *("opt_out_words", "unique_replies", "opt_outs", "possible_opt_outs", "campaigns", "answers"),
    *("reply_hours", "late_replies"),
}
OF_RECEIPTS = {"receipt_codes", "unique_receipts", "deliveries"}

IDENTITIES = {
    "duckdb": "select view_name, columns.comment from duckdb_views() join duckdb_columns() as columns "
    "on table_oid = view_oid where columns.schema_name = 'sms' and column_index = 1",
    "postgres": "select relname, pg_rewrite.xmin::text "
    "from pg_rewrite join pg_class on pg_class.oid = ev_class where relnamespace = 'sms'::regnamespace",
}
COMMENTS = {
    "duckdb": "select comment from duckdb_views() where schema_name = 'sms' and view_name = 'opt_outs' "
    "union all select comment from duckdb_columns() "
    "where schema_name = 'sms' and table_name = 'opt_outs' and column_name = 'honour_by'",
    "postgres": "select obj_description('sms.opt_outs'::regclass, 'pg_class') union all "
    "select col_description(attrelid, attnum) from pg_attribute "
    "where attrelid = 'sms.opt_outs'::regclass and attname = 'honour_by'",
}


def views(warehouse: Warehouse, databases: Databases) -> dict[str, object]:
    """Return the views of the dataset, each with something that changes when it is made anew: see `note`."""
    return dict(warehouse.query(IDENTITIES[databases.kind]))


def note(warehouse: Warehouse, databases: Databases) -> dict[str, object]:
    """Have something about each view that goes when it is made anew: in DuckDB a comment on a column."""
    if databases.kind == "duckdb":
        for view, column in warehouse.query(
            "select table_name, column_name from duckdb_columns() "
            "where schema_name = 'sms' and column_index = 1"
        ):
            if view in VIEWS:
                warehouse.execute(f"comment on column sms.{view}.{column} is 'noted'")
    return views(warehouse, databases)


@pytest.mark.long
@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (("pulls", "rejected_records"), {"pulls_in_doubt"}),
        (("replies", "pulls", "rejected_records"), {*OF_REPLIES, "pulls_in_doubt"}),
        (("receipts", "pulls", "rejected_records"), {*OF_RECEIPTS, "pulls_in_doubt"}),
        (("replies", "receipts", "pulls", "rejected_records"), set(VIEWS)),
    ],
)
def test_a_view_is_made_where_its_tables_are(
    databases: Databases, tables: tuple[str, ...], expected: set[str]
) -> None:
    """Whoever drains one feed has the views of that feed, without a warning; each can be read."""
    warehouse = databases.warehouse(*tables)
    assert warehouse.create_views() == []
    assert set(views(warehouse, databases)) == expected
    for name in expected:
        warehouse.view(name)


@pytest.mark.long
def test_a_view_that_is_right_is_not_made_again(databases: Databases) -> None:
    """A load of a hundred replies should not pay for views that did not change."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    made = note(warehouse, databases)
    assert warehouse.create_views() == []
    assert views(warehouse, databases) == made


@pytest.mark.long
def test_an_option_makes_anew_what_depends_on_it(databases: Databases) -> None:
    """The view that has the words, and those that read it, directly or by another; no other."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    made = note(warehouse, databases)
    assert warehouse.create_views(opt_out_words=["basta"]) == []
    changed = {name for name, identity in views(warehouse, databases).items() if made[name] != identity}
    assert changed == {
        *("opt_out_words", "opt_outs", "possible_opt_outs", "campaigns", "answers", "response_rates")
    }


def test_a_view_that_was_dropped_comes_back(databases: Databases) -> None:
    """Whoever dropped a table with all that reads it has the views again after the next load."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    cascade = " cascade" if databases.kind == "postgres" else ""
    warehouse.execute(f"drop view sms.opt_outs{cascade}")
    assert warehouse.create_views() == []
    assert set(views(warehouse, databases)) == set(VIEWS)


@pytest.mark.parametrize("kind", ["table", "view"])
def test_what_is_somebody_else_s_stays(databases: Databases, kind: str) -> None:
    """A table or a view under a view's name is not overwritten; the warning says what to do."""
    warehouse = databases.warehouse()
    warehouse.execute(f"create {kind} sms.campaigns as select 'mine' as owner")
    (warning,) = warehouse.create_views()
    assert f"has a {kind} of that name" in warning
    assert "Rename or drop it" in warning
    assert warehouse.view("campaigns") == [("mine",)]
    assert set(views(warehouse, databases)) | {"campaigns"} == set(VIEWS)


def of_an_older_version(warehouse: Warehouse) -> None:
    """Make views with fewer columns and other types, one reading the other, as another version may."""
    warehouse.execute("create view sms.opt_out_words as select 1 as word")
    warehouse.execute("create view sms.opt_outs as select word from sms.opt_out_words")
    for name in ("opt_out_words", "opt_outs"):
        warehouse.execute(f"comment on view sms.{name} is 'Old. [sms_source 0123456789abcdef]'")


def test_views_of_another_version_are_replaced(databases: Databases) -> None:
    """Though their columns are others, and other views read them."""
    warehouse = databases.warehouse()
    of_an_older_version(warehouse)
    assert warehouse.create_views() == []
    assert len(warehouse.view("opt_out_words", "word", "source")) > 1
    assert warehouse.view("opt_outs") == []
    assert set(views(warehouse, databases)) == set(VIEWS)


def test_a_user_s_own_view_on_a_view_survives(databases: Databases) -> None:
    """PostgreSQL can't change the columns of what it reads: then the old view stays, with a warning."""
    warehouse = databases.warehouse()
    of_an_older_version(warehouse)
    warehouse.execute("create view sms.mine as select word from sms.opt_outs")
    warnings = warehouse.create_views()
    if databases.kind == "postgres":
        assert "opt_out_words is not made" in warnings[0]
        assert "depend" in warnings[0]
        assert warehouse.view("mine") == [(1,)]
    else:
        assert warnings == []
    assert "mine" in views(warehouse, databases)


def test_a_view_that_can_t_be_made_is_a_warning(databases: Databases) -> None:
    """A table without a column that a view needs: the views that do without it are made."""
    warehouse = databases.warehouse()
    warehouse.execute("alter table sms.pulls drop column at_risk")
    (warning,) = warehouse.create_views()
    assert warning.startswith("The view pulls_in_doubt is not made: ")
    assert "at_risk" in warning
    assert set(views(warehouse, databases)) == set(VIEWS) - {"pulls_in_doubt"}


def test_a_column_that_the_api_adds_breaks_no_view(databases: Databases) -> None:
    """Views name their columns."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    warehouse.execute("alter table sms.replies add column tomorrow varchar")
    assert warehouse.view("unique_replies") == []
    assert warehouse.create_views() == []


def test_a_dataset_may_have_an_odd_name(databases: Databases) -> None:
    """Names are quoted wherever they stand."""
    dataset = "Order-数据"
    warehouse = databases.warehouse(dataset=dataset)
    assert warehouse.create_views() == []
    assert warehouse.create_views() == []
    with warehouse.client() as client:
        assert client.dataset_name == dataset
        client.execute_sql(f"select * from {client.make_qualified_table_name('response_rates')}")


def test_views_have_descriptions_in_the_database(databases: Databases) -> None:
    """Who looks at a view in a database tool reads what it and its columns mean."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    about_view, about_column = sorted(comment for (comment,) in warehouse.query(COMMENTS[databases.kind]))
    assert about_view.startswith("Whom to stop writing to, and until when")
    assert about_column == "the last moment at which a message may still be sent"


def keywords(warehouse: Warehouse) -> Rows:
    """Whose opt-outs are known, and with how many requests."""
    return sorted(warehouse.view("opt_outs", "phone_number", "keyword", "requests"))


def test_words_of_one_s_own_opt_people_out(databases: Databases) -> None:
    """In whatever form they are written; one that counts in one country may be made to count everywhere."""
    warehouse = databases.warehouse()
    replies = [
        a_row("replies", 1, phone_number="+1", country_code="34", reply_content="¡No más!"),
        a_row("replies", 2, phone_number="+2", country_code="34", reply_content="T"),
        a_row("replies", 3, phone_number="+3", country_code="86", reply_content="T"),
        a_row("replies", 4, phone_number="+4", country_code="34", reply_content="start"),
    ]
    warehouse.create_views()
    warehouse.fill(replies=replies)
    assert keywords(warehouse) == [("+3", "T", 1)]
    assert warehouse.create_views(opt_out_words=["no más", "t", "ＮＯ ＭÁＳ"]) == []
    assert keywords(warehouse) == [("+1", "NOMÁS", 1), ("+2", "T", 1), ("+3", "T", 1)]
    words = warehouse.view("opt_out_words", "word", "country_code")
    assert len(set(words)) == len(words)


@pytest.mark.long
def test_words_of_one_s_own_change_nothing_of_the_list(databases: Databases) -> None:
    """Tencent still blocks its T, a reply counts once, and each row of the list stays as it was."""
    warehouse = databases.warehouse()
    warehouse.create_views()
    china = [a_row("replies", 1, reply_content="T"), a_row("replies", 2, reply_content="T")]
    receipt = a_row("receipts", 3, user_receive_time=NOON - timedelta(minutes=1))
    warehouse.fill(replies=[*china, a_row("replies", 4, reply_content="yes")], receipts=[receipt])
    listed = set(warehouse.view("opt_out_words"))
    of_replies = ("opt_outs", "campaigns", "answers", "response_rates")
    before = {name: warehouse.view(name) for name in of_replies}
    assert warehouse.view("opt_outs", "requests", "blocked_by_tencent") == [(2, True)]
    assert warehouse.create_views(opt_out_words=["T", "stop"]) == []
    assert {name: warehouse.view(name) for name in of_replies} == before
    added = set(warehouse.view("opt_out_words")) - listed
    assert listed < set(warehouse.view("opt_out_words"))
    assert added == {("T", None, "opt_out", "option opt_out_words")}


def test_a_word_of_one_s_own_that_opts_in_is_a_warning(databases: Databases) -> None:
    """It would take START, by which people come back, for a wish to go."""
    warehouse = databases.warehouse()
    (warning,) = warehouse.create_views(opt_out_words=["start"])
    assert "'start', which opts people in again" in warning
    assert [row[2] for row in warehouse.view("opt_out_words") if row[0] == "START"] == ["opt_in"]


def test_an_option_that_can_t_be_right_is_a_warning(databases: Databases) -> None:
    """The views are made without it."""
    warehouse = databases.warehouse()
    warnings = warehouse.create_views(opt_out_words=["🙏"], views_time_zone="Mars/Olympus")
    assert ["'🙏'" in warnings[0], "'Mars/Olympus'" in warnings[1]] == [True, True]
    assert len(warnings) == 2
    assert set(views(warehouse, databases)) == set(VIEWS)
