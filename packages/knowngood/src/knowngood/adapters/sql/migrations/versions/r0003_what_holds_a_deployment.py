"""A deployment says why it waits for a person."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing holds the deployments on record, for nothing could."""
    op.add_column("deployments", sa.Column("held", sa.Text(), nullable=False, server_default=sa.text("''")))
