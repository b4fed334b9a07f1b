"""dbos: durable runs on DBOS Transact, on SQLite or Postgres. Imported only where a control plane runs."""

from knowngood.adapters.dbos.runner import DbosRunner

__all__ = ["DbosRunner"]
