"""SQL: what is on record, on SQLAlchemy Core with Alembic migrations; in a SQLite file or on a Postgres server."""

from knowngood.adapters.sql.exchange import SqlExchange
from knowngood.adapters.sql.leases import SqlLeases
from knowngood.adapters.sql.opening import open_database
from knowngood.adapters.sql.store import SqlStore
from knowngood.adapters.sql.token_rows import SqlTokens

__all__ = ["SqlExchange", "SqlLeases", "SqlStore", "SqlTokens", "open_database"]
