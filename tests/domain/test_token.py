"""A token tells who asks and how far they may go; its secret is nowhere but with them."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from knowngood.domain.level import Level
from knowngood.domain.token import (
    ANY,
    REPLICA_VERBS,
    SETS,
    Minted,
    Order,
    Scope,
    Token,
    TokenState,
    Verb,
    fingerprint,
    mint,
    permits,
    verbs_of,
)
from knowngood_sdk.errors import InvalidError, NotAuthenticatedError

NOW = datetime(2026, 1, 1, 18, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
LIFE = timedelta(days=90)
RANDOM = bytes(range(32))
ON_CALL = Scope(verbs=SETS["on-call"], systems=frozenset({"pricing"}), highest=Level.SYSTEM, environment="production")
REPLICA = Scope(verbs=SETS["replica"], systems=frozenset({"pricing"}))


def made(scope: Scope = ON_CALL, *, random: bytes = RANDOM, name: str = "anna", life: timedelta = LIFE) -> Minted:
    return mint(random, Order(name=name, scope=scope, life=life), by="lee", now=NOW)


def may(
    token: Token,
    verb: Verb,
    *,
    system: str | None = "pricing",
    level: Level | None = None,
    environment: str = "production",
    now: datetime = NOW,
) -> tuple[str, ...]:
    """What is missing."""
    permission = permits(token, verb, system=system, level=level, environment=environment, now=now)
    assert permission.allowed is not bool(permission.missing)
    return permission.missing


def person_verbs() -> st.SearchStrategy[frozenset[Verb]]:
    return st.frozensets(st.sampled_from(sorted(set(Verb) - REPLICA_VERBS)), min_size=1)


def scopes() -> st.SearchStrategy[Scope]:
    names = st.frozensets(st.sampled_from(["pricing", "fraud", "eta"]), min_size=1)
    return st.builds(
        Scope,
        verbs=person_verbs() | st.frozensets(st.sampled_from(sorted(REPLICA_VERBS)), min_size=1),
        systems=names | st.just(frozenset({ANY})),
        highest=st.sampled_from(Level),
        environment=st.sampled_from([ANY, "production", "staging"]),
    )


# The secret.


def test_a_secret_can_be_told_by_its_look() -> None:
    secret = made().secret
    assert secret.startswith("kg_")
    assert len(secret) == 52
    assert secret[3:].isalnum()
    assert secret.isascii()


def test_what_is_on_record_holds_no_secret() -> None:
    minted = made()
    kept = json.dumps(minted.token.to_json())
    assert minted.secret not in kept
    assert minted.secret[3:46] not in kept
    assert minted.token.sha256 == fingerprint(minted.secret)
    assert minted.token.id == minted.token.sha256[:12]


@given(st.binary(min_size=32, max_size=32), st.integers(3, 51), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_wrong_character_is_found_before_any_look_up(random: bytes, position: int, character: str) -> None:
    secret = made(random=random).secret
    assume(secret[position] != character)
    with pytest.raises(NotAuthenticatedError) as caught:
        fingerprint(secret[:position] + character + secret[position + 1 :])
    assert secret[3:20] not in str(caught.value)


@given(st.binary(min_size=32, max_size=32), st.integers(3, 50))
def test_two_characters_that_were_swapped_are_found(random: bytes, position: int) -> None:
    secret = made(random=random).secret
    first, second = secret[position], secret[position + 1]
    assume(first != second)
    with pytest.raises(NotAuthenticatedError):
        fingerprint(secret[:position] + second + first + secret[position + 2 :])


@pytest.mark.parametrize(
    "given_",
    [
        pytest.param("", id="nothing"),
        pytest.param("kg_", id="the prefix alone"),
        pytest.param(made().secret[:-1], id="one character short"),
        pytest.param(made().secret + "0", id="one character long"),
        pytest.param(made().secret + "\n", id="a line feed behind it"),
        pytest.param(made().secret.swapcase(), id="other case"),
        pytest.param("é" * 52, id="not ASCII"),
        pytest.param("\ud800" * 52, id="no text at all"),
        pytest.param("x" * 1_000_000, id="endless"),
    ],
)
def test_what_is_no_token_is_refused_with_what_one_looks_like(given_: str) -> None:
    with pytest.raises(NotAuthenticatedError) as caught:
        fingerprint(given_)
    assert str(caught.value) == (
        "what was given is no token, or one with a typing error. "
        "A token begins with kg_ and has 52 characters; copy the whole of it"
    )


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_other_randomness_is_another_token(one: bytes, other: bytes) -> None:
    assume(one != other)
    first, second = made(random=one), made(random=other)
    assert first.secret != second.secret
    assert not first.token.is_secret(second.token.sha256)
    assert first.token.is_secret(fingerprint(first.secret))


@pytest.mark.parametrize("random", [bytes(32), bytes([255] * 32)], ids=["the lowest", "the highest"])
def test_every_number_fits_into_its_digits(random: bytes) -> None:
    secret = made(random=random).secret
    assert len(secret) == 52
    assert fingerprint(secret) == made(random=random).token.sha256


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_token_is_made_of_32_random_bytes(size: int) -> None:
    with pytest.raises(InvalidError, match="32 random bytes"):
        made(random=bytes(size))


# For whom, and how long.


@pytest.mark.parametrize("name", ["anna", "CI", "anna@example.org", "a", "build-bot_2", "x" * 64])
def test_a_token_is_made_for_a_person_or_a_program(name: str) -> None:
    assert made(name=name).token.name == name


@pytest.mark.parametrize("name", ["", " ", "anna ", "-anna", "a\nb", "x" * 65, "анна", "a/b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="is no name for whom"):
        made(name=name)


@pytest.mark.parametrize("name", ["automation", "reconciler", "saga"])
def test_nobody_acts_under_the_names_of_the_program(name: str) -> None:
    with pytest.raises(InvalidError, match="itself acts"):
        made(name=name)


@pytest.mark.parametrize(
    ("life", "fits"),
    [
        (timedelta(0), False),
        (timedelta(seconds=-1), False),
        (MOMENT, True),
        (timedelta(days=3660), True),
        (timedelta(days=3660) + MOMENT, False),
    ],
)
def test_a_life_has_two_ends(life: timedelta, fits: bool) -> None:  # noqa: FBT001 - a row
    if fits:
        assert made(life=life).token.expires_at == NOW + life
    else:
        with pytest.raises(InvalidError, match="a token cannot hold for"):
            made(life=life)


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        pytest.param(NOW + LIFE - MOMENT, TokenState.ACTIVE, id="the last moment"),
        pytest.param(NOW + LIFE, TokenState.EXPIRED, id="the moment of its expiry"),
        pytest.param(NOW + LIFE + MOMENT, TokenState.EXPIRED, id="after it"),
    ],
)
def test_a_token_expires(moment: datetime, state: TokenState) -> None:
    assert made().token.state(moment) is state


def test_a_revoked_token_holds_no_more_whatever_the_time() -> None:
    revoked = made().token.revoked(NOW, "lee")
    assert revoked.state(NOW) is TokenState.REVOKED
    assert revoked.state(NOW + 2 * LIFE) is TokenState.REVOKED
    assert revoked.revoked(NOW + LIFE, "mo") == revoked


@given(st.timedeltas(min_value=timedelta(0), max_value=3 * LIFE))
def test_rotation_never_makes_the_old_one_hold_longer(overlap: timedelta) -> None:
    token = made().token
    old = token.rotated(NOW + overlap)
    assert old.expires_at <= token.expires_at
    assert old.expires_at <= NOW + overlap
    assert old.rotated(NOW + overlap) == old


@given(scopes(), st.timedeltas(min_value=timedelta(seconds=1), max_value=LIFE), st.booleans())
def test_a_token_is_read_as_it_was_written(scope: Scope, life: timedelta, revoked: bool) -> None:  # noqa: FBT001
    token = made(scope, life=life).token
    token = token.revoked(NOW + timedelta(microseconds=1234), "lee") if revoked else token
    assert Token.from_json(json.loads(json.dumps(token.to_json()))) == token


@pytest.mark.parametrize("missing", sorted(made().token.to_json()))
def test_a_record_that_lacks_a_field_is_refused(missing: str) -> None:
    document = made().token.to_json()
    del document[missing]
    with pytest.raises(InvalidError, match="malformed"):
        Token.from_json(document)


# The scope.


def test_verbs_are_named_one_by_one_or_as_sets() -> None:
    assert verbs_of(["viewer", "release"]) == {Verb.READ, Verb.RELEASE}
    assert verbs_of(["on-call"]) == SETS["on-call"]
    assert verbs_of([]) == frozenset()


def test_an_unknown_verb_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidError) as caught:
        verbs_of(["oncall"])
    assert str(caught.value).startswith("'oncall' is neither a set of verbs nor a verb. Did you mean 'on-call'?")


@pytest.mark.requirement("J1", "J2")
@pytest.mark.parametrize(
    ("name", "may_", "may_not"),
    [
        ("viewer", {"read"}, {"rollback", "deploy", "release", "apply", "tokens", "report", "route"}),
        (
            "on-call",
            {"read", "rollback", "break-glass", "abandon", "resume", "readmit", "reissue"},
            {"deploy", "release", "apply", "tokens"},
        ),
        ("deployer", {"read", "deploy", "promote", "abandon"}, {"rollback", "release", "apply", "tokens"}),
        ("owner", {"apply", "release", "tokens", "rollback", "deploy"}, {"report", "route"}),
        ("replica", {"report", "route"}, set(Verb) - REPLICA_VERBS),
    ],
)
def test_a_set_has_its_verbs_and_no_others(name: str, may_: set[str], may_not: set[str]) -> None:
    assert may_ <= SETS[name]
    assert not may_not & SETS[name]


@given(scopes(), st.sampled_from(Verb), st.sampled_from(Level) | st.none())
def test_a_replicas_token_may_report_and_read_routes_and_nothing_else(
    scope: Scope, verb: Verb, level: Level | None
) -> None:
    token = made(replace(scope, verbs=SETS["replica"])).token
    for system in ("pricing", "fraud", "eta"):
        allowed = not may(token, verb, system=system, level=level, environment="staging")
        if allowed:
            assert verb in REPLICA_VERBS
            assert scope.reaches(system)


@pytest.mark.parametrize("verb", sorted(set(Verb) - REPLICA_VERBS))
def test_no_token_is_a_replicas_and_a_persons(verb: Verb) -> None:
    with pytest.raises(InvalidError, match=f"and nothing else: not {verb}"):
        Scope(verbs=frozenset({Verb.REPORT, verb}), systems=frozenset({"pricing"}))


@pytest.mark.parametrize(
    ("verbs", "systems", "environment", "message"),
    [
        pytest.param([], ["pricing"], ANY, "must name what", id="no verb"),
        pytest.param([Verb.READ], [], ANY, "must name what", id="no system"),
        pytest.param([Verb.READ], [ANY, "pricing"], ANY, "is every system", id="every system and one more"),
        pytest.param([Verb.READ], ["Pricing"], ANY, "is not a system name", id="no system's name"),
        pytest.param([Verb.READ], ["pricing"], "", "is not a environment name", id="an empty environment"),
    ],
)
def test_what_is_no_scope_is_refused(verbs: list[Verb], systems: list[str], environment: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Scope(verbs=frozenset(verbs), systems=frozenset(systems), environment=environment)


# What is permitted.


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        pytest.param(None, True, id="before the plan is known"),
        pytest.param(Level.MODEL, True, id="below"),
        pytest.param(Level.SYSTEM, True, id="at the limit"),
        pytest.param(Level.FEATURES, False, id="one above"),
        pytest.param(Level.DATA, False, id="far above"),
    ],
)
def test_a_level_above_the_highest_is_denied(level: Level | None, allowed: bool) -> None:  # noqa: FBT001 - a row
    missing = may(made().token, Verb.ROLLBACK, level=level)
    assert missing == (() if allowed else (f"level {level:d}, for this one ends at level 2",))


@pytest.mark.parametrize(("highest", "allowed"), [(Level.MODEL, False), (Level.SYSTEM, True)])
def test_breaking_the_glass_is_level_two_though_nobody_plans_it(
    highest: Level,
    allowed: bool,  # noqa: FBT001 - a row
) -> None:
    token = made(replace(ON_CALL, highest=highest)).token
    assert (not may(token, Verb.BREAK_GLASS)) is allowed
    assert not may(token, Verb.ROLLBACK)


def test_a_denial_names_all_that_is_missing_at_once() -> None:
    permission = permits(
        made().token,
        Verb.RELEASE,
        system="fraud",
        level=Level.DATA,
        environment="staging",
        now=NOW + LIFE,
    )
    assert permission.missing == (
        "a token that holds, for this one is expired",
        "a token for staging, for this one is for production",
        "the verb release, which owner has",
        "the system fraud, for this one has pricing",
        "level 4, for this one ends at level 2",
    )
    assert permission.reason == "anna may not release fraud: it takes " + "; ".join(permission.missing)


def test_a_permission_says_by_which_token() -> None:
    token = made().token
    permission = permits(token, Verb.ROLLBACK, system="pricing", level=None, environment="production", now=NOW)
    assert permission.reason == f"anna may rollback pricing, by token {token.id}"


@pytest.mark.parametrize(
    ("mine", "here", "allowed"),
    [("production", "production", True), ("production", "staging", False), (ANY, "staging", True)],
)
def test_a_token_holds_in_its_environment(mine: str, here: str, allowed: bool) -> None:  # noqa: FBT001 - a row
    token = made(replace(ON_CALL, environment=mine)).token
    assert (not may(token, Verb.READ, environment=here)) is allowed


@given(
    scopes(),
    st.sampled_from(Verb),
    st.sampled_from(["pricing", "fraud"]),
    st.sampled_from(Level) | st.none(),
    st.sampled_from(["production", "staging"]),
)
def test_what_is_permitted_is_in_every_part_of_the_scope(
    scope: Scope, verb: Verb, system: str, level: Level | None, environment: str
) -> None:
    token = made(scope).token
    allowed = not may(token, verb, system=system, level=level, environment=environment)
    depth = max(level or 0, Level.SYSTEM if verb is Verb.BREAK_GLASS else 0)
    assert allowed == (
        verb in scope.verbs
        and (system in scope.systems or ANY in scope.systems)
        and depth <= scope.highest
        and scope.environment in {ANY, environment}
    )
    for over in (token.revoked(NOW, "lee"), token.rotated(NOW)):
        assert may(over, verb, system=system, level=level, environment=environment)


@given(scopes(), st.data())
def test_a_scope_permits_all_that_one_does_which_it_covers(mine: Scope, data: st.DataObject) -> None:
    other = data.draw(st.just(mine) | scopes())
    if mine.covers(other):
        for verb, system, level, environment in itertools.product(
            other.verbs - REPLICA_VERBS, ("pricing", "fraud"), Level, ("production", "staging")
        ):
            if not may(made(other).token, verb, system=system, level=level, environment=environment):
                assert not may(made(mine).token, verb, system=system, level=level, environment=environment)


@pytest.mark.parametrize(
    ("mine", "other", "covered"),
    [
        pytest.param(ON_CALL, ON_CALL, True, id="itself"),
        pytest.param(ON_CALL, replace(ON_CALL, highest=Level.FEATURES), False, id="a deeper level"),
        pytest.param(ON_CALL, replace(ON_CALL, systems=frozenset({ANY})), False, id="every system"),
        pytest.param(ON_CALL, replace(ON_CALL, environment=ANY), False, id="every environment"),
        pytest.param(ON_CALL, REPLICA, False, id="a replica's, without the verb tokens"),
        pytest.param(replace(ON_CALL, verbs=SETS["owner"], environment=ANY), REPLICA, True, id="a replica's, with it"),
        pytest.param(REPLICA, ON_CALL, False, id="a replica's covers no person's"),
    ],
)
def test_nobody_gives_more_than_they_have(mine: Scope, other: Scope, covered: bool) -> None:  # noqa: FBT001 - a row
    assert mine.covers(other) is covered
