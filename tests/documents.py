"""The tables of the documents that the code decides: made by it, so that they can't rot.

python -m tests.documents    writes them anew; tests/test_documents.py tells when that is due
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import dlt
import dlt.destinations

from sms_source.api.catalogue import CATALOGUE
from sms_source.cli.explain import FAILED, WRONG_CONFIGURATION
from sms_source.errors import ConfigurationError, InDoubtError, NotExecutedError, RefusedError
from sms_source.feeds import FEEDS
from sms_source.loading import destinations
from sms_source.loading.target import kind_of, merges_in_one_transaction
from sms_source.views import DIALECTS
from tests.helpers.destinations import decide, new_destination

DOCS = Path(__file__).resolve().parents[1] / "docs"

KINDS = {
    NotExecutedError: "Not executed: nothing left the queue, and the job pulls again",
    InDoubtError: "In doubt: up to `pull_limit` records may have left the queue without arriving",
    RefusedError: "Refused: nothing left the queue, and nothing will until somebody acts",
}


def errors() -> Iterator[str]:
    """Yield a table for each kind of error, a row for each remedy, with the exit status of such a run."""
    actions = " or ".join(f"`{feed.action}`" for feed in FEEDS.values())
    for kind, title in KINDS.items():
        yield from (f"### {title}", "", "| code | what to do | exit status |", "|---|---|---|")
        codes: dict[tuple[str, int], list[str]] = {}
        for code, failure in CATALOGUE.items():
            if failure.kind is kind:
                status = WRONG_CONFIGURATION if failure.is_configuration else FAILED
                codes.setdefault((failure.remedy, status), []).append(f"`{code}`")
        for (remedy, status), its_codes in codes.items():
            yield f"| {', '.join(its_codes)} | {remedy.replace('{action}', actions)} | {status} |"
        yield ""


class Proof(NamedTuple):
    """What was tried of a destination, and found.

    kills: of the job, after which the harness compared what is there with what was sent.
    longest: characters of the longest text that arrived whole.
    cpu: seconds of the job for 50,000 replies, over those that it takes into DuckDB (3.2).
    tests: the target that tries it.
    """

    kills: str
    longest: str
    cpu: str
    tests: str


PROOFS = {
    "`duckdb`": Proof("1,000", "10,000", "1", "make crash"),
    "`ducklake`": Proof("68", "10,000", "2.6", "make test-ducklake"),
    "`filesystem` with `table_format='delta'`": Proof("100", "10,000", "0.9", "make test-lakehouse"),
    "`filesystem` with `table_format='iceberg'`": Proof("100", "10,000", "6.4", "make test-lakehouse"),
    "`postgres`": Proof("150", "100,000", "0.95", "make test-postgres"),
    "`sqlalchemy`: MariaDB": Proof("80", "100,000", "2.1", "make test-mariadb"),
    "`sqlalchemy`: SQLite": Proof("150", "10,000", "1.6", "make test-crash"),
}
"""Of those that could be had; the others have what dlt says of them."""
NOT_TRIED = Proof("not tried", "", "", "")


def merges() -> Iterator[str]:
    """Yield a row for each destination of dlt, and for those that have more than one merge."""
    yield (
        "| destination | dlt's merge | one transaction | the connector | kills | NUL | longest text | views "
        "| CPU | tried by |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    # The same table, with deltalake and pyiceberg here or without, for a catalog that lasts.
    lasts = patch.object(destinations, "has_lasting_catalog", return_value=True)
    with patch("importlib.util.find_spec"), lasts:
        for title, (destination, form) in sorted(_cases().items()):
            merge = decide(destination, form, destination.destination_name).strategies["replies"]
            cells = [title, merge or "none: it would append"]
            cells.append(_transaction(destination, form) if merge else "")
            if refusal := _refusal(destination, form, merge):
                cells += [refusal, *[""] * 6]
            else:
                proof = PROOFS.get(title, NOT_TRIED)
                nul = "held" if kind_of(destination) in destinations.HOLDS_NUL else "U+FFFD"
                has_views = destination.capabilities().sqlglot_dialect in DIALECTS and not form
                tests = proof.tests and f"`{proof.tests}`"
                views = "yes" if has_views else "no"
                cells += ["accepts", proof.kills, nul, proof.longest, views, proof.cpu, tests]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _cases() -> dict[str, tuple[Any, str | None]]:
    """Return the destinations by their titles, each with the format of its tables."""
    cases: dict[str, tuple[Any, str | None]] = {}
    titles = {"destination": "a function of one's own (`destination`)", "sqlalchemy": "`sqlalchemy`: others"}
    for name in dlt.destinations.__all__:
        cases[titles.get(name, f"`{name}`")] = (new_destination(name), None)
    for name, url in {
        "SQLite": "sqlite:///sms.db",
        **dict.fromkeys(("MariaDB", "MySQL"), "mysql+pymysql://h/d"),
    }.items():
        cases[f"`sqlalchemy`: {name}"] = (dlt.destinations.sqlalchemy(url), None)
    athena = dlt.destinations.athena(query_result_bucket="s3://bucket", force_iceberg=True)
    cases["`athena` with `force_iceberg`"] = (athena, None)
    for table_format in ("delta", "iceberg"):
        title = f"`filesystem` with `table_format='{table_format}'`"
        cases[title] = (dlt.destinations.filesystem("lake"), table_format)
    return cases


def _transaction(destination: Any, table_format: str | None) -> str:
    """Whether dlt makes the merge in a transaction once the connector has set the destination up."""
    if table_format:
        return "a commit of each table" if table_format == "delta" else "**no**: a commit of 1,000 rows"
    is_whole = merges_in_one_transaction(kind_of(destination), destination.capabilities())
    return "yes" if is_whole else "**no**"


def _refusal(destination: Any, table_format: str | None, merge: str | None) -> str:
    """Return what the connector says of a destination that it refuses; empty for others."""
    try:
        decide(destination, table_format)
    except ConfigurationError:
        return f"**refuses**. {destinations.remedy_for(kind_of(destination), merge)}"
    return ""


TABLES = {"errors.md": errors, "destinations.md": merges}


def with_tables(page: str, name: str) -> str:
    """Return the page with its table made anew, between two comments."""
    table = "\n".join(TABLES[name]())
    return re.sub(
        r"(?s)(<!-- made by tests.documents -->\n).*(?=<!-- end -->)", rf"\1\n{_escaped(table)}", page
    )


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\")


if __name__ == "__main__":
    for name in TABLES:
        path = DOCS / name
        path.write_text(with_tables(path.read_text(encoding="utf-8"), name), encoding="utf-8")
