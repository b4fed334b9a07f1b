"""
Tokens: the port to the tokens that were made, and to the ledger of what was done to them.

A token may reach many systems, so its record stands in none of their ledgers: there is one of its own, a chain of
hashes as theirs are. Each change of a token and the entry that says so are one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from knowngood.domain.ledger import Entry
from knowngood.domain.token import Token

__all__ = ["TOKEN_LEDGER", "Act", "Tokens", "Written"]

TOKEN_LEDGER = "~tokens"  # noqa: S105 - a name
"""What entries name in place of a system; no system can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """
    One token as it is to be written.

    Attributes:
        before: As it must be on record still; None for a new one.
        after: As it is from then on.
    """

    before: Token | None
    after: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    What is done, as it goes on record.

    Attributes:
        kind: What happens, as a kebab-case word.
        actor: Who acts.
        at: When, as ISO 8601 in UTC.
        body: What there is to know about it; never a secret.
    """

    kind: str
    actor: str
    at: str
    body: Mapping[str, Any]


class Tokens(Protocol):
    """
    Tokens by id. Reads are safe to repeat; a write that was committed is refused the second time.

    Any method may raise TransientError (the store cannot be reached, or is locked: the same call may succeed) and
    PermanentError (it is full, or what is there is damaged).
    """

    def find(self, id_: str) -> Token | None:
        """Return a token, or None when there is none of that id."""
        ...

    def all(self) -> tuple[Token, ...]:
        """Return every token that was ever made, oldest first."""
        ...

    def write(self, *written: Written, act: Act) -> Entry:
        """
        Write tokens and append to their ledger, all or nothing, durably.

        Raises:
            ConflictError: A token is not on record as ``before`` says, or a new one's id is taken; nothing was written.
        """
        ...

    def ledger(self) -> tuple[Entry, ...]:
        """Return every entry of the tokens' ledger, as it is kept: unverified."""
        ...
