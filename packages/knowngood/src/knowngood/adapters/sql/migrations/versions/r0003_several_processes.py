"""
What several processes of a control plane share: documents for replicas over a network, leases, and tokens.

On Postgres, where there are no rows yet, whole numbers become as large as JSON may carry them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SMALL = {
    "manifests": ["position"],
    "evidence": ["position"],
    "routes": ["generation", "step", "split"],
    "generations": ["number"],
    "trips": ["generation"],
    "local_trips": ["generation"],
    "episodes": ["count"],
    "deployments": ["generation", "split"],
    "sagas": ["episode", "generation"],
    "ledger": ["sequence"],
}


def upgrade() -> None:
    """Create the tables."""
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _SMALL.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.BigInteger())
    compatibility = _create("compatibility", _text("oldest"), key=("oldest",))
    op.bulk_insert(compatibility, [{"oldest": "0002"}])
    _create_exchange()
    _create("leases", _text("name"), _text("holder"), _whole("fence"), _whole("expires"), key=("name",))
    _create_tokens()


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        _text("id"),
        _text("name"),
        _text("sha256"),
        _text("scopes"),
        _text("created_at"),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.Text(), nullable=True),
        sa.Column("last_used_at", sa.Text(), nullable=True),
        _text("document"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )
    number: sa.Column[object] = sa.Column("sequence", _WHOLE, autoincrement=False, nullable=False)
    words = [_text(name) for name in ("at", "actor", "kind", "body", "previous", "hash")]
    _create("token_ledger", number, *words, key=("sequence",))


def _create_exchange() -> None:
    _create("exchange_routes", _text("system"), _text("document"), _whole("changes"), _text("writer"), key=("system",))
    _create("exchange_releases", _text("system"), _text("version"), _text("document"), key=("system", "version"))
    _create("exchange_rules", _text("system"), _text("document"), key=("system",))
    _create(
        "exchange_reports",
        _text("system"),
        _text("replica"),
        _whole("written"),
        _whole("seen"),
        _text("document"),
        key=("system", "replica"),
    )
    _create(
        "exchange_counts",
        _text("system"),
        _text("replica"),
        _text("worker"),
        _whole("sequence"),
        _text("document"),
        key=("system", "replica", "worker"),
    )


def _create(name: str, *columns: "sa.Column[object]", key: tuple[str, ...]) -> sa.Table:
    return op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"))


def _text(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Text(), nullable=False)


def _whole(name: str) -> "sa.Column[object]":
    return sa.Column(name, _WHOLE, nullable=False)
