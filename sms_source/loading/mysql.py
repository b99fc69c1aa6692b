"""MySQL and MariaDB: columns for any text, keys that a merge finds, what a server must be set to."""

from typing import Any

from dlt.common.destination import AnyDestination, DestinationCapabilitiesContext

from sms_source.errors import ConfigurationError

DIALECT = "mysql"
"""sqlglot's name for both."""

_EXPECTED = {"character_set_client": "utf8mb4", "default_storage_engine": "InnoDB"}
"""What else would fail every load, or be no transaction; the second is the server's default."""

_STRICT = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"}
"""One of these is in `sql_mode` by default, of MySQL since 5.7 and MariaDB since 10.2.4."""


def hold_any_text(destination: AnyDestination, capabilities: DestinationCapabilitiesContext) -> None:
    """Have dlt make tables that hold what people write, and whose keys are indexed.

    By itself, dlt makes columns in the database's character set, with room for 65,535 bytes: in one that is
    not UTF-8 the first emoji or Chinese character would stop its package, and all that come after it, for
    good. And a merge would compare each row of a table with each that is staged.

    Args:
        destination: of dlt; one of another dialect stays as it is.
        capabilities: of it, by its configuration.
    """
    if capabilities.sqlglot_dialect == DIALECT:
        from sms_source.loading.mysql_tables import AnyText

        destination.caps_params["dialect_capabilities"] = AnyText(DIALECT)


def refuse_other_settings(sql: Any) -> None:
    """Look at the connection's settings. Raises `ConfigurationError` when one of them can't be."""
    if sql.capabilities.sqlglot_dialect != DIALECT:
        return
    ((modes,),) = sql.execute_sql("select @@sql_mode")
    if not _STRICT.intersection(str(modes).upper().split(",")):
        raise ConfigurationError(
            f"sql_mode is {modes!r} in MySQL's or MariaDB's session, so that it would cut a value that "
            "does not fit, instead of refusing it; expected one with STRICT_TRANS_TABLES. Set it in the "
            "server, or in the URL of the credentials (?sql_mode=STRICT_TRANS_TABLES)."
        )
    for name, expected in _EXPECTED.items():
        ((found,),) = sql.execute_sql(f"select @@{name}")
        if str(found).lower() != expected.lower():
            raise ConfigurationError(
                f"{name} is {found!r} in MySQL's or MariaDB's session; expected {expected!r}. Set it in the "
                "server, or in the URL of the credentials (?charset=utf8mb4)."
            )
