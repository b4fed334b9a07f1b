"""Numbered migrations of the store's schema, run by Alembic from ``knowngood.adapters.sql.migrate``."""
