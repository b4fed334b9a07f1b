"""The exchange in a database keeps its contract, and what it cannot read it names."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from knowngood.adapters.sql import SqlExchange, open_database
from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.schema import exchange_routes
from knowngood.testing.contracts.exchange import ExchangeContract, rising
from knowngood.testing.contracts.store import SYSTEM
from knowngood_sdk.errors import InvalidError, NewerFormatError


class TestSqlExchange(ExchangeContract):
    @pytest.fixture
    def processes(self, where: Path | str) -> Iterator[Sequence[SqlExchange]]:
        databases = [open_database(where), open_database(where)]
        yield [SqlExchange(database) for database in databases]
        for database in databases:
            database.close()


def put(database: Database, document: object) -> None:
    with database.writing() as connection:
        connection.execute(update(exchange_routes).values(document=document))


def test_a_route_that_cannot_be_read_is_written_anew_only_where_that_is_asked_for(database: Database) -> None:
    exchange = SqlExchange(database)
    exchange.change_route(SYSTEM, rising)
    put(database, {"format": 1, "system": SYSTEM})
    with pytest.raises(InvalidError, match="the route document is malformed"):
        exchange.route(SYSTEM)
    with pytest.raises(InvalidError, match="the route document is malformed"):
        exchange.change_route(SYSTEM, rising)
    assert exchange.change_route(SYSTEM, rising, anew=True).route.generation == 1
    assert exchange.route(SYSTEM) is not None


def test_a_route_of_a_newer_format_is_left_alone(database: Database) -> None:
    exchange = SqlExchange(database)
    exchange.change_route(SYSTEM, rising)
    put(database, json.loads('{"format": 99}'))
    with pytest.raises(NewerFormatError):
        exchange.change_route(SYSTEM, rising, anew=True)
