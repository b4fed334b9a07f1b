"""Where the tests of this folder keep what they write: in a SQLite file, and in a database on a Postgres server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.adapters.sql import open_database
from knowngood.adapters.sql.database import Database


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Name a store that is there; a test that asks for it runs on both databases."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return tmp_path / "store.db"


@pytest.fixture
def database(where: Path | str) -> Iterator[Database]:
    """Give the database of a store, without a system in it."""
    database = open_database(where)
    yield database
    database.close()
