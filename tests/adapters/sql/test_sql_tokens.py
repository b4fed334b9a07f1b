"""Tokens in a database keep the contract of the port, on SQLite and on Postgres."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from knowngood.adapters.sql import SqlTokens, open_database
from knowngood.adapters.sql.database import Database
from knowngood.domain.ledger import verify
from knowngood.ports.tokens import Tokens, Written
from knowngood.testing.contracts.tokens import MADE, NOW, TokensContract, new, token


class TestSqlTokens(TokensContract):
    @pytest.fixture
    def open_tokens(self, database: Database) -> Callable[[], Tokens]:
        return lambda: SqlTokens(database)


def test_tokens_are_there_after_a_restart(where: Path | str) -> None:
    made = token("ci")
    first = open_database(where)
    SqlTokens(first).write(new(made), act=MADE)
    first.close()
    second = open_database(where)
    assert SqlTokens(second).all() == (made,)
    assert verify(SqlTokens(second).ledger()).ok
    second.close()


def test_no_row_holds_more_of_a_secret_than_its_fingerprint(database: Database) -> None:
    made = token("ci")
    SqlTokens(database).write(new(made), act=MADE)
    SqlTokens(database).write(Written(before=made, after=made.revoked(NOW + timedelta(hours=1), "lee")), act=MADE)
    with database.reading() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM tokens")).mappings()]
    assert [row["sha256"] for row in rows] == [made.sha256]
    assert "kg_" not in str(rows)


def test_an_entry_that_was_edited_in_the_table_shows(database: Database) -> None:
    tokens = SqlTokens(database)
    for name in ("ci", "anna"):
        tokens.write(new(token(name)), act=replace(MADE, actor=name))
    with database.writing() as connection:
        connection.execute(text("UPDATE token_ledger SET actor = 'mallory' WHERE sequence = 1"))
    assert "entry 1 was edited" in verify(tokens.ledger()).problem
