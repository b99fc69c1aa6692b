"""Requirements: those of requirements.txt; PostgreSQL's server programs for a catalog there."""

from pathlib import Path

import duckdb
import pytest

from sms_source.loading.extensions import DUCKLAKE, have_extensions
from tests.conftest import Rows
from tests.postgres.server import PostgresServer
from tests.s3.conftest import BUCKET, KEY_ID, SECRET_KEY, S3Server, s3
from tests.views.conftest import server

__all__ = ["s3", "server"]

CATALOGS = ("a catalog in SQLite, files in a folder", "a catalog in PostgreSQL, files in S3")


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a home with DuckDB's extensions in it, as the job's first run leaves it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("HOME", str(home))
        have_extensions(DUCKLAKE)
    return home


class Lake:
    """A DuckLake, read by DuckDB alone, as anybody would.

    Args:
        attach: the catalog, as DuckDB's ATTACH names it.
        options: of that ATTACH.
        secret: a statement that makes the keys of the files' store known; empty for a folder.
    """

    def __init__(self, attach: str, options: str, secret: str) -> None:
        self._attach = f"attach 'ducklake:{attach}' as lake ({options})"
        self._secret = secret
        schema = "ducklake" if "metadata_schema" in options else "main"
        self._catalog = f"__ducklake_metadata_lake.{schema}"

    def query(self, *statements: str) -> Rows:
        """Rows of the last statement."""
        with duckdb.connect() as connection:
            begin = ("set timezone = 'UTC'", self._secret, self._attach, "use lake")
            for statement in filter(str.strip, (*begin, *statements)):
                result = connection.execute(statement)
            return result.fetchall()

    def everything(self) -> str:
        """Return all that its files and the tables of its catalog hold, also of what was deleted."""
        tables = ["ducklake_file_column_stats", "ducklake_table_column_stats"]
        inlined = self.query(f"select table_name from {self._catalog}.ducklake_inlined_data_tables")
        queries = [
            f"select * from {self._catalog}.{name}" for name in (*tables, *(name for (name,) in inlined))
        ]
        ((path,),) = self.query("select value from ducklake_options('lake') where option_name = 'data_path'")
        files = self.query(f"select file from glob('{path}**/*.parquet')")
        queries += [f"select * from read_parquet('{file}')" for (file,) in files]
        return "".join(str(self.query(query)) for query in queries)

    def contents(self) -> list[str]:
        """Return what people wrote, in the order of what they wrote."""
        return [content for (content,) in self.query("select reply_content from sms.replies order by 1")]


@pytest.fixture(params=CATALOGS)
def lake(
    request: pytest.FixtureRequest, own_folders: Path, extensions: Path, monkeypatch: pytest.MonkeyPatch
) -> Lake:
    """Provide an empty lake, and dlt's configuration in the environment pointing to it."""
    settings = {}
    monkeypatch.setenv("HOME", str(extensions))
    if "SQLite" in request.param:
        folder = own_folders / "lake"
        folder.mkdir()
        catalog, files = folder / "catalog.sqlite", folder / "files"
        settings = {"CATALOG": f"sqlite:///{catalog}", "STORAGE__BUCKET_URL": str(files)}
        lake = Lake(f"sqlite:{catalog}", f"data_path '{files}'", secret="")
    else:
        catalog_server: PostgresServer = request.getfixturevalue("server")
        store: S3Server = request.getfixturevalue("s3")
        catalog_server.create_database()
        files_url = f"s3://{BUCKET}/{own_folders.parent.name}"
        settings = {
            "CATALOG": catalog_server.url,
            "STORAGE__BUCKET_URL": files_url,
            "STORAGE__CREDENTIALS__AWS_ACCESS_KEY_ID": KEY_ID,
            "STORAGE__CREDENTIALS__AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "STORAGE__CREDENTIALS__ENDPOINT_URL": store.url,
            "STORAGE__CREDENTIALS__REGION_NAME": "us-east-1",
        }
        lake = Lake(
            f"postgres:{catalog_server.url}",
            f"data_path '{files_url}', metadata_schema 'ducklake'",
            f"create secret (type s3, key_id '{KEY_ID}', secret '{SECRET_KEY}', use_ssl false, "
            f"endpoint '127.0.0.1:{store.port}', url_style 'path', region 'us-east-1')",
        )
    for name, value in settings.items():
        monkeypatch.setenv(f"DESTINATION__DUCKLAKE__CREDENTIALS__{name}", value)
    return lake
