"""Tokens are made, rotated and revoked on record, by people who give no more than they have, and tell who asks."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from knowngood.control.tokens import Giver, authenticate, create, named, revoke, rotate, seen_by
from knowngood.domain.level import Level
from knowngood.domain.token import ANY, SETS, Minted, Order, Scope, TokenState, verbs_of
from knowngood.testing.memory_tokens import MemoryTokens
from knowngood_sdk.errors import (
    ConflictError,
    InvalidError,
    NotAuthenticatedError,
    NotAuthorizedError,
    NotFoundError,
    TransientError,
)

NOW = datetime(2026, 1, 1, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)
LIFE = timedelta(days=90)
HOST = Giver(name="root", now=NOW)
ON_CALL = Scope(verbs=SETS["on-call"], systems=frozenset({"pricing"}))
OWNER = Scope(verbs=SETS["owner"], systems=frozenset({"pricing"}), highest=Level.FEATURES, environment="production")


def random(number: int) -> bytes:
    return bytes([number] * 32)


def give(
    tokens: MemoryTokens, number: int = 1, *, name: str = "anna", scope: Scope = ON_CALL, giver: Giver = HOST
) -> Minted:
    return create(tokens, random(number), Order(name=name, scope=scope, life=LIFE), giver)


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


def test_who_has_the_secret_is_known_by_it(tokens: MemoryTokens) -> None:
    minted = give(tokens)
    assert authenticate(tokens, minted.secret, NOW) == minted.token
    assert minted.token.name == "anna"


def test_a_typing_error_is_told_without_a_look_at_the_store() -> None:
    class Away(MemoryTokens):
        def find(self, id_: str) -> None:
            raise TransientError(f"asked for {id_}")

    secret = give(MemoryTokens()).secret
    with pytest.raises(NotAuthenticatedError, match="typing error"):
        authenticate(Away(), secret[:-1] + ("0" if secret[-1] != "0" else "1"), NOW)
    with pytest.raises(TransientError):
        authenticate(Away(), secret, NOW)


def test_a_token_of_elsewhere_is_not_known_here(tokens: MemoryTokens) -> None:
    with pytest.raises(NotAuthenticatedError, match="no such token is known here"):
        authenticate(tokens, give(MemoryTokens()).secret, NOW)


def test_a_token_that_shares_no_more_than_its_id_is_refused(tokens: MemoryTokens) -> None:
    minted = give(MemoryTokens())
    forged = replace(minted.token, sha256=minted.token.sha256[:12] + "0" * 52)
    tokens._tokens[forged.id] = forged
    with pytest.raises(NotAuthenticatedError, match="no such token is known here"):
        authenticate(tokens, minted.secret, NOW)


def test_an_expired_token_lets_nobody_in(tokens: MemoryTokens) -> None:
    minted = give(tokens)
    assert authenticate(tokens, minted.secret, NOW + LIFE - MOMENT) == minted.token
    with pytest.raises(NotAuthenticatedError, match=r"of anna expired at 2026-04-01 18:00 UTC"):
        authenticate(tokens, minted.secret, NOW + LIFE)


def test_a_revoked_token_lets_nobody_in_from_then_on(tokens: MemoryTokens) -> None:
    minted = give(tokens)
    revoke(tokens, minted.token, giver=replace(HOST, now=NOW + HOUR), why="lost laptop")
    with pytest.raises(NotAuthenticatedError, match=r"was revoked at 2026-01-01 19:00 UTC"):
        authenticate(tokens, minted.secret, NOW + HOUR)
    entry = tokens.ledger()[-1]
    assert (entry.kind, entry.actor, entry.body["why"]) == ("token-revoked", "root", "lost laptop")


def test_revoking_again_changes_nothing(tokens: MemoryTokens) -> None:
    over = revoke(tokens, give(tokens).token, giver=HOST)
    assert revoke(tokens, over, giver=replace(HOST, now=NOW + HOUR)) == over
    assert len(tokens.ledger()) == 2


def test_both_tokens_hold_until_the_overlap_is_over(tokens: MemoryTokens) -> None:
    old = give(tokens)
    later = replace(HOST, now=NOW + HOUR)
    new = rotate(tokens, random(2), old.token, giver=later, overlap=HOUR, life=None)
    assert (new.token.name, new.token.scope, new.token.follows) == ("anna", ON_CALL, old.token.id)
    assert new.token.expires_at == later.now + LIFE
    for secret in (old.secret, new.secret):
        assert authenticate(tokens, secret, later.now + HOUR - MOMENT).name == "anna"
    assert authenticate(tokens, new.secret, later.now + HOUR) == new.token
    with pytest.raises(NotAuthenticatedError, match="expired at 2026-01-01 20:00 UTC"):
        authenticate(tokens, old.secret, later.now + HOUR)


def test_without_an_overlap_the_old_one_ends_at_once(tokens: MemoryTokens) -> None:
    old = give(tokens)
    rotate(tokens, random(2), old.token, giver=HOST, overlap=timedelta(0), life=None)
    with pytest.raises(NotAuthenticatedError):
        authenticate(tokens, old.secret, NOW)


def test_an_overlap_is_none_below_zero(tokens: MemoryTokens) -> None:
    with pytest.raises(InvalidError, match="overlap"):
        rotate(tokens, random(2), give(tokens).token, giver=HOST, overlap=-MOMENT, life=None)


def test_what_holds_no_more_has_no_follower(tokens: MemoryTokens) -> None:
    over = revoke(tokens, give(tokens).token, giver=HOST)
    with pytest.raises(ConflictError, match="is revoked; there is nothing to follow"):
        rotate(tokens, random(2), over, giver=HOST, life=None)


def test_a_rotation_of_what_was_revoked_meanwhile_is_refused(tokens: MemoryTokens) -> None:
    read = give(tokens).token
    revoke(tokens, read, giver=HOST)
    with pytest.raises(ConflictError):
        rotate(tokens, random(2), read, giver=HOST, life=None)
    assert [token.state(NOW) for token in tokens.all()] == [TokenState.REVOKED]


def test_every_act_is_on_record_with_its_actor_and_no_secret(tokens: MemoryTokens) -> None:
    minted = give(tokens)
    followed = rotate(tokens, random(2), minted.token, giver=replace(HOST, name="lee"), life=None)
    revoke(tokens, followed.token, giver=replace(HOST, name="mo"))
    record = [(entry.kind, entry.actor) for entry in tokens.ledger()]
    assert record == [("token-created", "root"), ("token-rotated", "lee"), ("token-revoked", "mo")]
    kept = json.dumps([entry.to_json() for entry in tokens.ledger()])
    for one in (minted, followed):
        assert one.secret not in kept
        assert one.token.sha256 not in kept


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(replace(OWNER, systems=frozenset({"fraud"})), id="another system"),
        pytest.param(replace(OWNER, systems=frozenset({ANY})), id="every system"),
        pytest.param(replace(OWNER, highest=Level.DATA), id="a deeper level"),
        pytest.param(replace(OWNER, environment="staging"), id="another environment"),
    ],
)
def test_an_owner_gives_no_more_than_they_have(tokens: MemoryTokens, scope: Scope) -> None:
    owner = Giver(name="olga", now=NOW, scope=OWNER)
    with pytest.raises(NotAuthorizedError, match="olga may not make"):
        give(tokens, scope=scope, giver=owner)
    theirs = give(tokens, scope=scope).token
    with pytest.raises(NotAuthorizedError, match="olga may not rotate"):
        rotate(tokens, random(2), theirs, giver=owner, life=None)
    with pytest.raises(NotAuthorizedError, match="olga may not revoke"):
        revoke(tokens, theirs, giver=owner)
    assert seen_by(tokens, owner) == ()
    assert seen_by(tokens, HOST) == (theirs,)


def test_an_owner_makes_tokens_for_people_and_replicas_of_their_system(tokens: MemoryTokens) -> None:
    owner = Giver(name="olga", now=NOW, scope=OWNER)
    for number, word in enumerate(("viewer", "on-call", "deployer", "owner", "replica")):
        scope = Scope(verbs=verbs_of([word]), systems=frozenset({"pricing"}), environment="production")
        assert give(tokens, number, scope=scope, giver=owner).token in seen_by(tokens, owner)


def test_whoever_may_make_no_tokens_makes_none(tokens: MemoryTokens) -> None:
    with pytest.raises(NotAuthorizedError):
        give(tokens, giver=Giver(name="anna", now=NOW, scope=ON_CALL))


def test_a_token_is_named_by_its_id_or_by_the_one_that_it_was_made_for(tokens: MemoryTokens) -> None:
    anna, ci = give(tokens, 1).token, give(tokens, 2, name="ci").token
    assert named(tokens, anna.id) == anna
    assert named(tokens, "ci") == ci
    revoke(tokens, ci, giver=HOST)
    again = give(tokens, 3, name="ci").token
    assert named(tokens, "ci") == again


def test_a_name_that_several_have_is_answered_with_their_ids(tokens: MemoryTokens) -> None:
    first, second = give(tokens, 1).token, give(tokens, 2).token
    with pytest.raises(InvalidError, match=r"2 tokens are made for anna") as caught:
        named(tokens, "anna")
    assert first.id in str(caught.value)
    assert second.id in str(caught.value)


def test_a_name_that_nobody_has_is_answered_with_the_nearest(tokens: MemoryTokens) -> None:
    give(tokens)
    with pytest.raises(NotFoundError, match="Did you mean 'anna'"):
        named(tokens, "ana")
