"""Tokens: rows beside the store's, with a ledger of their own."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.schema import token_ledger, tokens
from knowngood.domain import ledger
from knowngood.domain.ledger import EMPTY, Anchor, Entry
from knowngood.domain.token import Token
from knowngood.ports.tokens import TOKEN_LEDGER, Act, Written
from knowngood_sdk.errors import ConflictError

__all__ = ["SqlTokens"]


class SqlTokens:
    """The port's ``Tokens`` in a database that the processes of a control plane share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def find(self, id_: str) -> Token | None:
        """Return a token, or None."""
        with self._database.reading() as connection:
            return _find(connection, id_)

    def all(self) -> tuple[Token, ...]:
        """Return every token, oldest first."""
        statement = select(tokens.c.document).order_by(tokens.c.created_at, tokens.c.id)
        with self._database.reading() as connection:
            return tuple(Token.from_json(row.document) for row in connection.execute(statement))

    def write(self, *written: Written, act: Act) -> Entry:
        """Write tokens and the entry that says so; see the port."""
        with self._database.writing("tokens") as connection:
            for one in written:
                known = one.before is None or one.before.id == one.after.id
                if not known or _find(connection, one.after.id) != one.before:
                    raise ConflictError(
                        f"token {one.after.id} is not as it was read", hint="Look, then decide again: kg token list"
                    )
                if one.before is None:
                    connection.execute(insert(tokens), _row(one.after))
                else:
                    connection.execute(update(tokens).where(tokens.c.id == one.after.id), _row(one.after))
            entry = ledger.append(
                TOKEN_LEDGER, _head(connection), at=act.at, actor=act.actor, kind=act.kind, body=act.body
            )
            row = {name: value for name, value in entry.to_json().items() if name != "system"}
            connection.execute(insert(token_ledger), row)
        return entry

    def ledger(self) -> tuple[Entry, ...]:
        """Return every entry, as it is kept."""
        with self._database.reading() as connection:
            rows = connection.execute(select(token_ledger).order_by(token_ledger.c.sequence)).mappings().all()
        return tuple(Entry.from_json({**row, "system": TOKEN_LEDGER}) for row in rows)


def _find(connection: Connection, id_: str) -> Token | None:
    row = connection.execute(select(tokens.c.document).where(tokens.c.id == id_)).first()
    return None if row is None else Token.from_json(row.document)


def _head(connection: Connection) -> Anchor:
    last = select(token_ledger.c.sequence, token_ledger.c.hash).order_by(token_ledger.c.sequence.desc()).limit(1)
    row = connection.execute(last).first()
    return EMPTY if row is None else Anchor(row.sequence, row.hash)


def _row(token: Token) -> dict[str, Any]:
    """Return the row of a token; the document says it all, and the other columns are for people who look."""
    document = token.to_json()
    return {
        **{name: document[name] for name in ("id", "name", "sha256", "created_at", "expires_at", "revoked_at")},
        "scopes": document["scope"],
        "document": document,
    }
