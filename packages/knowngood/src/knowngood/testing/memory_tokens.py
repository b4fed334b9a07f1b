"""Memory tokens: the port's ``Tokens`` without a disk."""

from threading import Lock

from knowngood.domain import ledger
from knowngood.domain.ledger import EMPTY, Entry
from knowngood.domain.token import Token
from knowngood.ports.tokens import TOKEN_LEDGER, Act, Written
from knowngood_sdk.errors import ConflictError

__all__ = ["MemoryTokens"]


class MemoryTokens:
    """Tokens in this process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._entries: list[Entry] = []
        self._writing = Lock()

    def find(self, id_: str) -> Token | None:
        """Return a token, or None."""
        return self._tokens.get(id_)

    def all(self) -> tuple[Token, ...]:
        """Return every token, oldest first."""
        return tuple(sorted(self._tokens.values(), key=lambda token: (token.created_at, token.id)))

    def write(self, *written: Written, act: Act) -> Entry:
        """Write tokens and the entry that says so, all or nothing."""
        with self._writing:
            tokens = dict(self._tokens)
            for one in written:
                if tokens.get(one.after.id) != one.before or (one.before and one.before.id != one.after.id):
                    raise ConflictError(
                        f"token {one.after.id} is not as it was read", hint="Look, then decide again: kg token list"
                    )
                tokens[one.after.id] = one.after
            head = self._entries[-1].anchor if self._entries else EMPTY
            entry = ledger.append(TOKEN_LEDGER, head, at=act.at, actor=act.actor, kind=act.kind, body=act.body)
            self._tokens = tokens
            self._entries.append(entry)
            return entry

    def ledger(self) -> tuple[Entry, ...]:
        """Return every entry."""
        return tuple(self._entries)
