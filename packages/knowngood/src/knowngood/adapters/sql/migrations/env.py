"""What Alembic runs for every command: the migrations go through the connection, and the transaction, of the caller."""

from alembic import context

from knowngood.adapters.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
