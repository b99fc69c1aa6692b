"""The crash harness, in short, where more than the process is lost with each kill."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.harness import Options
from tests.crash.private import files_in_clear
from tests.crash.promise import SEED, assert_promise_is_kept


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(kills=8, wipe_data=True), id="dlt's data directory wiped"),
        pytest.param(Options(kills=8, tear_data=True), id="dlt's working directory torn"),
        pytest.param(Options(kills=6, new_dataset=True), id="before the dataset exists"),
        pytest.param(Options(kills=8, retention_days=0), id="no retention"),
        pytest.param(Options(kills=12, private=True, replays=0.2), id="encrypted, in pseudonyms"),
        pytest.param(
            Options(
                kills=12,
                destination="sqlalchemy",
                replays=0.3,
                heal=True,
                warehouse="sqlite",
                receipts=True,
            ),
            id="SQLite",
        ),
        pytest.param(Options(kills=12, destination="sqlalchemy", jobs=2), id="SQLite, two jobs"),
        pytest.param(Options(kills=8, package_records=60), id="pulling while packages are loaded"),
        pytest.param(Options(kills=8, replays=0.6, merged_at=3), id="replays"),
        pytest.param(
            Options(kills=12, heal=True, merged_at=3, package_records=60),
            id="the warehouse goes back in time",
        ),
    ],
)
def test_the_journal_makes_up_for_what_else_a_kill_costs(
    options: Options, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is lost with each kill, the journal's replies are loaded once."""
    folder = own_folders / "sqlite"
    folder.mkdir()
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"sqlite:///{folder / 'sms.db'}")
    plain = options.package_records or options.merged_at  # a process started the plain way has its own
    assert_promise_is_kept(replace(options, seed=SEED, exec_share=0.0 if plain else 0.05))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["+8612990000001", '"12990000001"', "#7 \u9000\u8ba2", json.dumps("退订")])
def test_the_search_after_each_kill_finds_what_is_in_clear(tmp_path: Path, text: str, encoding: str) -> None:
    """Or the variant above could not fail: numbers in each form, and texts outside the tables."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "left.parquet").write_bytes(b"PAR1 " + text.encode(encoding) + b" PAR1")
    (tmp_path / "b.zip").write_bytes(
        b"1796027462.0534983 20261130T091148296711Z 5000:12 /141/129/12026113001f"
    )
    assert files_in_clear(tmp_path) == ["a/left.parquet"]
