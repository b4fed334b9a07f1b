"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "systems",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("system", name="pk_systems"),
    )
    _create_route()
    _create_versions()
    _create_record()


def _table(name: str, *columns: sa.schema.SchemaItem, key: tuple[str, ...] = ()) -> None:
    """Create a table whose rows belong to a system; its primary key is the system and the columns named by key."""
    op.create_table(
        name,
        sa.Column("system", sa.Text(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["system"], ["systems.system"], name=f"fk_{name}_system"),
        sa.PrimaryKeyConstraint("system", *key, name=f"pk_{name}"),
    )


def _create_route() -> None:
    _table(
        "routes",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("split", sa.Integer(), nullable=False),
    )
    _table(
        "generations",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("saw_quarantine", sa.Text(), nullable=False),
        sa.Column("saw_local", sa.Text(), nullable=False),
        key=("number",),
    )
    _table(
        "trips",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        key=("uid",),
    )
    _table("releases", sa.Column("uid", sa.Text(), nullable=False), key=("uid",))
    _table(
        "local_trips",
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        key=("replica", "generation", "version"),
    )
    _table(
        "episodes",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        key=("version",),
    )


def _create_versions() -> None:
    _table(
        "manifests",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        key=("digest",),
    )
    op.create_index("ix_manifests_system_version", "manifests", ["system", "version"])
    _table(
        "evidence",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("grade", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        key=("position",),
    )


def _create_record() -> None:
    _table(
        "deployments",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("split", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("full_at", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("anchored_at", sa.Text(), nullable=False),
        sa.Column("baseline", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["system", "generation"],
            ["generations.system", "generations.number"],
            name="fk_deployments_system_generation",
        ),
        key=("generation",),
    )
    _table(
        "sagas",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("episode", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("timeline", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.UniqueConstraint("id", name="uq_sagas_id"),
        key=("version", "episode"),
    )
    _table(
        "ledger",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        key=("sequence",),
    )
