"""Reads airbyte_source.py with PyAirbyte into its DuckDB cache; runs in an environment of its own."""

import sys
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache

if __name__ == "__main__":
    # PyAirbyte wants one executable file.
    program = Path("source-tencent-sms").absolute()
    script = Path(__file__).with_name("airbyte_source.py")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    source = airbyte.get_source("source-tencent-sms", config={}, local_executable=program)
    source.select_all_streams()
    source.read(cache=DuckDBCache(db_path=Path("airbyte.duckdb").absolute(), schema_name="sms"))
