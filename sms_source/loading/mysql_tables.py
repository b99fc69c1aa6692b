"""How dlt makes tables in MySQL and MariaDB. Imported only where SQLAlchemy is there."""

import sqlalchemy as sa
from dlt.common.destination.typing import PreparedTableSchema
from dlt.destinations.impl.sqlalchemy.dialect import MysqlDialectCapabilities
from sqlalchemy.dialects.mysql import LONGTEXT

_KEY_CHARACTERS = 128
"""Of a key's text that are in its index: a record's id is shorter."""


class AnyText(MysqlDialectCapabilities):
    """Columns for texts of any length in UTF-8, told apart by each character, and an index of the key."""

    def adapt_table(self, table: sa.Table, table_schema: PreparedTableSchema) -> sa.Table:
        """Change a table before dlt makes it."""
        hints = table_schema["columns"]
        for column in table.columns:
            if isinstance(column.type, sa.Text):
                column.type = LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
        key = [column for column in table.columns if hints.get(column.name, {}).get("primary_key")]
        if key and not table.indexes:
            lengths = {column.name: _KEY_CHARACTERS for column in key if isinstance(column.type, LONGTEXT)}
            sa.Index(f"{table.name}_key", *key, mysql_length=lengths)
        return table
