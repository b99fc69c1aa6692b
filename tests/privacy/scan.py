"""Looks through all files below a folder, and all texts of a warehouse, for what nobody may read there."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import Warehouse


def forms(text: str) -> set[bytes]:
    """Return the bytes that a text can be in a file: raw, escaped in JSON, in UTF-8 and both UTF-16."""
    escaped = json.dumps(text)[1:-1]
    upper = "".join(f"\\u{ord(char):04X}" if ord(char) > 127 else char for char in text)
    return {
        form.encode(code) for form in (text, escaped, upper) for code in ("utf-8", "utf-16-le", "utf-16-be")
    }


def found(folder: Path, texts: Iterable[str], *, without: Iterable[str] = ()) -> set[str]:
    """Return the files that hold one of the texts, relative to the folder; not those whose name ends so."""
    wanted = set().union(*map(forms, texts))
    hits = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(tuple(without)):
            content = path.read_bytes()
            if any(form in content for form in wanted):
                hits.add(str(path.relative_to(folder)))
    return hits


def texts_of(warehouse: Warehouse) -> list[str]:
    """Return every value of every column of text, in every table of every schema."""
    columns = warehouse.query(
        "select table_schema, table_name, column_name from information_schema.columns "
        "where data_type = 'VARCHAR'"
    )
    return [
        value
        for schema, table, column in columns
        for (value,) in warehouse.query(
            f'select "{column}" from "{schema}"."{table}" where "{column}" is not null'
        )
    ]
