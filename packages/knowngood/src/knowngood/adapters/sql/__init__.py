"""SQL: the store on SQLAlchemy Core, with Alembic migrations; SQLite in write-ahead mode for now."""

from knowngood.adapters.sql.store import SqlStore

__all__ = ["SqlStore"]
