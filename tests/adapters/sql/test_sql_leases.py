"""Leases in a database: who holds one is the same for everybody, and who held one writes nothing any more."""

from datetime import timedelta

import pytest

from knowngood.adapters.sql import SqlLeases, SqlStore
from knowngood.adapters.sql.database import Database
from knowngood.testing.contracts.lease import FencedStoreContract, LeasesContract, Shared
from knowngood.testing.contracts.store import SYSTEM, one_more
from knowngood_sdk.errors import ConflictError, InvalidError

MINUTE = timedelta(minutes=1)


class TestSqlLeases(LeasesContract):
    @pytest.fixture
    def leases(self, database: Database) -> SqlLeases:
        return SqlLeases(database)


class TestFencedSqlStore(FencedStoreContract):
    @pytest.fixture
    def shared(self, database: Database) -> Shared:
        return Shared(SqlStore(database), SqlLeases(database))


def test_nobody_is_no_holder(database: Database) -> None:
    with pytest.raises(InvalidError, match="nobody is no holder of the lease watch:pricing"):
        SqlLeases(database).claim("watch:pricing", "", MINUTE)


def test_who_is_replaced_while_a_change_is_open_commits_nothing(postgres_url: str) -> None:
    # Only there: on SQLite nobody can take a lease while a change is open.
    with SqlStore.open(postgres_url) as store:
        leases = SqlLeases(store.database)
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        held = leases.claim("watch:pricing", "a", timedelta())
        assert held is not None

        def change_slowly() -> None:
            with store.fenced(held).change(SYSTEM) as change:
                one_more(change)
                leases.claim("watch:pricing", "b", MINUTE)

        with pytest.raises(ConflictError, match=r"b \(fence 2\) holds it, not a"):
            change_slowly()
        assert store.head(SYSTEM).length == 0
