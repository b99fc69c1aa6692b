"""The files of the views: what each needs, what it means, and its SQL in a dialect and for a dataset."""

import csv
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VIEWS = (
    "opt_out_words",
    "unique_replies",
    "opt_outs",
    "possible_opt_outs",
    "campaigns",
    "answers",
    "reply_hours",
    "late_replies",
    "pulls_in_doubt",
    "receipt_codes",
    "unique_receipts",
    "deliveries",
    "reply_attributions",
    "response_rates",
)
"""The names of the views, each after those that it reads."""

Row = Sequence[str | None]

_FOLDER = Path(__file__).parent
_HEADER = re.compile(r"(?:--.*\n)+")
_RELATION = re.compile(r"\bsms\.([a-z_]+)\b")
_CSV = re.compile(r"read_csv\('([a-z_]+)\.csv', all_varchar = true\) as (\w+)")
_TIME_ZONE = "'UTC' /* views_time_zone */"
_COLUMN = re.compile(r"-- ([a-z_]+): (.+)")


@dataclass(frozen=True)
class View:
    """A view's file.

    needs: the tables that have to be there.
    may_use: tables that may be missing; then the lines that name them are left out.
    meaning: in some sentences.
    columns: what columns mean, where the name does not say it.
    query: DuckDB's SQL, of the dataset `sms`.
    reads: the views that it reads.
    """

    name: str
    needs: frozenset[str]
    may_use: frozenset[str]
    meaning: str
    columns: dict[str, str]
    query: str
    reads: tuple[str, ...]


@cache
def read_view(name: str) -> View:
    """Read the file of a view."""
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    header = _HEADER.match(text)
    assert header is not None, f"{name}.sql has no header"  # noqa: S101 - our own file
    query = text[header.end() :]
    lists: dict[str, frozenset[str]] = {}
    columns: dict[str, str] = {}
    sentences: list[str] = []
    for line in header[0].splitlines():
        if line.startswith(("-- needs: ", "-- may use: ")):
            key, _, value = line.removeprefix("-- ").partition(": ")
            lists[key] = frozenset(value.split(", "))
        elif column := _COLUMN.fullmatch(line):
            columns[column[1]] = column[2]
        else:
            sentences.append(line.removeprefix("--").strip())
    relations = dict.fromkeys(_RELATION.findall(query))
    return View(
        name=name,
        needs=lists["needs"],
        may_use=lists.get("may use", frozenset()),
        meaning=" ".join(filter(None, sentences)),
        columns=columns,
        query=query,
        reads=tuple(relation for relation in relations if relation in VIEWS),
    )


def view_sql(
    name: str,
    dialect: str = "duckdb",
    relation: Callable[[str], str] = "sms.{}".format,
    *,
    tables: Collection[str] | None = None,
    extra_words: Sequence[str] = (),
    time_zone: str = "UTC",
) -> str:
    """Give the SELECT of a view.

    Args:
        name: one of `VIEWS`.
        dialect: of sqlglot, such as `postgres` or `spark`.
        relation: gives a table or a view of that name as the SQL shall name it.
        tables: that are there; by default all.
        extra_words: opt-out words beside the known ones, as in the column `keyword`.
        time_zone: of `reply_hours`, a name of the IANA database.
    """
    view = read_view(name)
    missing = view.may_use.difference(view.may_use if tables is None else tables)
    lines = view.query.rstrip().splitlines()
    query = "\n".join(line for line in lines if not missing.intersection(_RELATION.findall(line)))
    query = query.replace(_TIME_ZONE, literal(time_zone))
    query = _CSV.sub(lambda call: _values(call[1], call[2], extra_words), query)
    if dialect != "duckdb":
        import sqlglot  # noqa: PLC0415 - DuckDB needs it not, and it takes 0.2 s

        (query,) = sqlglot.transpile(query, read="duckdb", write=dialect, pretty=True)
    return _RELATION.sub(lambda match: relation(match[1]), query)


def _values(file: str, alias: str, extra_words: Sequence[str]) -> str:
    """Return a CSV file as a list of values, an empty one as NULL."""
    columns, *rows = _read_csv(file)
    if file == "opt_out_words":
        everywhere = {word for word, country_code, *_ in rows if country_code is None}
        added = [word for word in extra_words if word not in everywhere]
        rows += [(word, None, "opt_out", None, "option opt_out_words") for word in added]
    values = ",\n  ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
    return f"(values\n  {values}\n) as {alias} ({', '.join(map(str, columns))})"


def opts_in(word: str) -> bool:
    """Return whether a keyword is one of the known words by which people come back."""
    return any(row[0] == word and row[2] == "opt_in" for row in _read_csv("opt_out_words"))


@cache
def _read_csv(file: str) -> list[Row]:
    with (_FOLDER / f"{file}.csv").open(encoding="utf-8", newline="") as lines:
        return [tuple(value or None for value in row) for row in csv.reader(lines)]


def literal(text: str | None) -> str:
    """Give a text as SQL has it."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
