"""A deployment that a rollback asked for says which version is left once it serves."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; deployments on record were asked for by no rollback, as far as anybody knows."""
    op.add_column("deployments", sa.Column("leaves", sa.Text(), nullable=True))
