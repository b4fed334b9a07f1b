"""
The contract of the Tokens port.

An adapter's test is a subclass with one fixture::

    class TestMyTokens(TokensContract):
        @pytest.fixture
        def open_tokens(self) -> Callable[[], Tokens]: ...

The fixture returns a function that opens the tokens on the same records each time.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Thread

import pytest

from knowngood.domain.ledger import verify
from knowngood.domain.level import Level
from knowngood.domain.token import ANY, SETS, Order, Scope, Token, mint
from knowngood.ports.tokens import TOKEN_LEDGER, Act, Tokens, Written
from knowngood_sdk.errors import ConflictError, InvalidError

__all__ = ["MADE", "NOW", "TokensContract", "new", "token"]

NOW = datetime(2026, 1, 1, 18, tzinfo=UTC)
AT = "2026-01-01T18:00:00.000Z"
MADE = Act(kind="token-created", actor="anna", at=AT, body={"name": "ci"})


def token(name: str, *, minutes: int = 0) -> Token:
    """Return a token that is told by a name and the minutes after the hour at which it was made."""
    scope = Scope(verbs=SETS["deployer"], systems=frozenset({ANY}), highest=Level.MODEL, environment="staging")
    random = sha256(f"{name} {minutes}".encode()).digest()
    now = NOW + timedelta(minutes=minutes)
    return mint(random, Order(name=name, scope=scope, life=timedelta(days=90)), by="anna", now=now).token


def new(made: Token) -> Written:
    """Return the writing of a new token."""
    return Written(before=None, after=made)


class TokensContract:
    """What holds for every implementation."""

    def test_what_was_written_is_found_by_its_id(self, open_tokens: Callable[[], Tokens]) -> None:
        made = token("ci")
        open_tokens().write(new(made), act=MADE)
        assert open_tokens().find(made.id) == made
        assert open_tokens().find("0" * 12) is None

    def test_all_are_listed_oldest_first(self, open_tokens: Callable[[], Tokens]) -> None:
        late, early = token("ci", minutes=5), token("anna", minutes=1)
        assert open_tokens().all() == ()
        for made in (late, early):
            open_tokens().write(new(made), act=MADE)
        assert open_tokens().all() == (early, late)

    def test_a_token_that_is_read_again_has_all_that_it_had(self, open_tokens: Callable[[], Tokens]) -> None:
        made = replace(token("ci"), follows="abcdef012345")
        over = made.revoked(NOW + timedelta(hours=1, milliseconds=7), "lee")
        open_tokens().write(new(made), act=MADE)
        open_tokens().write(Written(before=made, after=over), act=MADE)
        assert open_tokens().find(made.id) == over

    def test_a_change_of_what_has_changed_meanwhile_is_refused(self, open_tokens: Callable[[], Tokens]) -> None:
        made = token("ci")
        shorter, revoked = made.rotated(NOW + timedelta(hours=1)), made.revoked(NOW, "lee")
        tokens = open_tokens()
        tokens.write(new(made), act=MADE)
        tokens.write(Written(before=made, after=revoked), act=MADE)
        with pytest.raises(ConflictError):
            tokens.write(Written(before=made, after=shorter), act=MADE)
        assert tokens.find(made.id) == revoked
        assert len(tokens.ledger()) == 2

    def test_an_id_is_taken_once(self, open_tokens: Callable[[], Tokens]) -> None:
        tokens, made = open_tokens(), token("ci")
        tokens.write(new(made), act=MADE)
        with pytest.raises(ConflictError):
            tokens.write(new(replace(made, name="anna")), act=MADE)
        with pytest.raises(ConflictError):
            tokens.write(Written(before=token("anna"), after=token("anna")), act=MADE)
        assert tokens.all() == (made,)

    def test_several_are_written_together_or_none_is(self, open_tokens: Callable[[], Tokens]) -> None:
        tokens, old, next_ = open_tokens(), token("ci"), token("ci", minutes=1)
        tokens.write(new(old), act=MADE)
        with pytest.raises(ConflictError):
            tokens.write(new(next_), Written(before=token("anna"), after=token("anna")), act=MADE)
        assert tokens.find(next_.id) is None
        tokens.write(new(next_), Written(before=old, after=old.rotated(NOW + timedelta(hours=1))), act=MADE)
        assert tokens.find(next_.id) == next_
        assert tokens.find(old.id) == old.rotated(NOW + timedelta(hours=1))

    def test_every_write_is_in_the_ledger_with_its_actor(self, open_tokens: Callable[[], Tokens]) -> None:
        tokens = open_tokens()
        first = tokens.write(new(token("ci")), act=MADE)
        second = tokens.write(new(token("anna")), act=replace(MADE, actor="lee", body={"name": "anna"}))
        assert tokens.ledger() == open_tokens().ledger() == (first, second)
        assert [(entry.system, entry.sequence, entry.actor) for entry in tokens.ledger()] == [
            (TOKEN_LEDGER, 1, "anna"),
            (TOKEN_LEDGER, 2, "lee"),
        ]
        assert verify(tokens.ledger()).ok

    def test_what_has_no_json_form_is_refused_whole(self, open_tokens: Callable[[], Tokens]) -> None:
        tokens = open_tokens()
        with pytest.raises(InvalidError):
            tokens.write(new(token("ci")), act=replace(MADE, body={"name": float("nan")}))
        assert tokens.all() == ()
        assert tokens.ledger() == ()

    def test_many_that_write_at_once_make_one_chain(self, open_tokens: Callable[[], Tokens]) -> None:
        def write(name: str) -> None:
            tokens = open_tokens()
            for minute in range(4):
                tokens.write(new(token(name, minutes=minute)), act=MADE)

        threads = [Thread(target=write, args=(f"writer-{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = open_tokens().ledger()
        assert len(entries) == 16
        assert verify(entries).ok
        assert len(open_tokens().all()) == 16
