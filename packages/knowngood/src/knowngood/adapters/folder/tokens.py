"""Tokens in a file of the working folder, where the store has no place for them."""

import json
import os
from pathlib import Path
from typing import Any

from knowngood.domain import ledger
from knowngood.domain.ledger import EMPTY, Entry
from knowngood.domain.token import Token
from knowngood.ports.tokens import TOKEN_LEDGER, Act, Written
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, locked, read_json, write_whole, writing

__all__ = ["FolderTokens"]

_TURN_SECONDS = 2.0


class FolderTokens:
    """Tokens and their ledger, in one file that is the owner's alone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tokens.json"
        self._lock = folder / "tokens.lock"

    def find(self, id_: str) -> Token | None:
        """See the port."""
        return next((token for token in self.all() if token.id == id_), None)

    def all(self) -> tuple[Token, ...]:
        """See the port."""
        tokens = (Token.from_json(one) for one in self._read()["tokens"])
        return tuple(sorted(tokens, key=lambda token: (token.created_at, token.id)))

    def write(self, *written: Written, act: Act) -> Entry:
        """See the port."""
        with writing(self._lock):
            descriptor = os.open(self._lock, os.O_WRONLY | os.O_CREAT | NO_LINK, OWNER_FILE)
        try:
            with locked(descriptor, _TURN_SECONDS):
                tokens = {token.id: token for token in self.all()}
                for one in written:
                    if tokens.get(one.after.id) != one.before or (one.before and one.before.id != one.after.id):
                        raise ConflictError(
                            f"token {one.after.id} is not as it was read", hint="Look, then decide again: kg token list"
                        )
                    tokens[one.after.id] = one.after
                entries = self.ledger()
                head = entries[-1].anchor if entries else EMPTY
                entry = ledger.append(TOKEN_LEDGER, head, at=act.at, actor=act.actor, kind=act.kind, body=act.body)
                document = {
                    "tokens": [token.to_json() for token in tokens.values()],
                    "ledger": [one.to_json() for one in (*entries, entry)],
                }
                write_whole(self._path, json.dumps(document).encode())
                return entry
        finally:
            os.close(descriptor)

    def ledger(self) -> tuple[Entry, ...]:
        """See the port."""
        return tuple(Entry.from_json(one) for one in self._read()["ledger"])

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {"tokens": [], "ledger": []}
        document: dict[str, Any] = read_json(self._path)
        return document
