"""The grade of a version follows from facts, trips and time; a trip makes what came before it void."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.evidence import COOL_DOWN, Evidence, Grade, Standing, standing_of
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import Facts, Trip

NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def fact(grade: Grade, hours_ago: float, version: str = "v1") -> Evidence:
    return Evidence(version=version, grade=grade, at=stamp(NOW - hours_ago * HOUR))


def trips(*hours_ago: float, version: str = "v1", released: bool = False) -> Facts:
    made = {
        f"t{i}": Trip(uid=f"t{i}", version=version, generation=1, source="person", at=stamp(NOW - h * HOUR), why="bad")
        for i, h in enumerate(hours_ago)
    }
    return Facts(made, frozenset(made) if released else frozenset())


def grade(*facts: Evidence, trips: Facts | None = None, cool_down: timedelta = COOL_DOWN) -> Grade:
    return standing_of("v1", facts, trips or Facts(), now=NOW, cool_down=cool_down).grade


def test_grades_are_ordered_from_least_to_most() -> None:
    assert sorted([Grade.KNOWN_GOOD, Grade.ARMED, Grade.VERIFIED, Grade.RECORDED]) == list(Grade)
    assert Grade.RECORDED < Grade.ARMED < Grade.VERIFIED < Grade.KNOWN_GOOD
    assert Grade.VERIFIED >= Grade.VERIFIED
    assert f"{Grade.KNOWN_GOOD}" == "known-good"
    with pytest.raises(TypeError):
        assert Grade.ARMED < "verified"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([], Grade.RECORDED, id="nothing but the manifest"),
        pytest.param([fact(Grade.RECORDED, 1)], Grade.RECORDED, id="recorded"),
        pytest.param([fact(Grade.ARMED, 1)], Grade.ARMED, id="armed"),
        pytest.param([fact(Grade.ARMED, 100)], Grade.ARMED, id="armed for long"),
        pytest.param([fact(Grade.ARMED, 2), fact(Grade.VERIFIED, 1)], Grade.VERIFIED, id="verified"),
        pytest.param([fact(Grade.VERIFIED, 1)], Grade.VERIFIED, id="verified, the arming lost"),
        pytest.param([fact(Grade.VERIFIED, 1), fact(Grade.ARMED, 0)], Grade.VERIFIED, id="armed again"),
        pytest.param([fact(Grade.VERIFIED, 71.9)], Grade.VERIFIED, id="just before the end of the cool-down"),
        pytest.param([fact(Grade.VERIFIED, 72)], Grade.KNOWN_GOOD, id="at the end of the cool-down"),
        pytest.param([fact(Grade.VERIFIED, 1), fact(Grade.VERIFIED, 80)], Grade.KNOWN_GOOD, id="the first time counts"),
        pytest.param([fact(Grade.VERIFIED, 80), fact(Grade.VERIFIED, 1)], Grade.KNOWN_GOOD, id="and stays the first"),
        pytest.param([fact(Grade.VERIFIED, -1)], Grade.RECORDED, id="what has not happened yet"),
        pytest.param([fact(Grade.VERIFIED, 0)], Grade.VERIFIED, id="at this instant"),
        pytest.param([fact(Grade.VERIFIED, 1, "v2")], Grade.RECORDED, id="of another version"),
    ],
)
def test_a_grade_follows_from_the_facts(facts: list[Evidence], expected: Grade) -> None:
    assert grade(*facts) == expected


def test_the_cool_down_is_72_hours_unless_declared() -> None:
    assert timedelta(hours=72) == COOL_DOWN
    assert grade(fact(Grade.VERIFIED, 48), cool_down=48 * HOUR) == Grade.KNOWN_GOOD
    assert grade(fact(Grade.VERIFIED, 47), cool_down=48 * HOUR) == Grade.VERIFIED


@pytest.mark.requirement("A2")
@pytest.mark.parametrize(
    ("facts", "left", "expected"),
    [
        pytest.param([fact(Grade.VERIFIED, 80)], trips(5), Grade.RECORDED, id="known good until it was left"),
        pytest.param([fact(Grade.VERIFIED, 80)], trips(5, released=True), Grade.RECORDED, id="also once released"),
        pytest.param([fact(Grade.VERIFIED, 5)], trips(5), Grade.RECORDED, id="left in the same instant"),
        pytest.param([fact(Grade.VERIFIED, 4)], trips(5, released=True), Grade.VERIFIED, id="verified anew since"),
        pytest.param([fact(Grade.VERIFIED, 4)], trips(5, 3), Grade.RECORDED, id="left twice, and the last counts"),
        pytest.param([fact(Grade.VERIFIED, 4)], trips(3, 5), Grade.RECORDED, id="in whatever order"),
        pytest.param([fact(Grade.VERIFIED, 4)], trips(-2), Grade.RECORDED, id="by a clock that runs ahead"),
        pytest.param([fact(Grade.VERIFIED, 4)], trips(3, version="v2"), Grade.VERIFIED, id="another version was left"),
    ],
)
def test_a_trip_voids_what_was_shown_before_it(facts: list[Evidence], left: Facts, expected: Grade) -> None:
    assert grade(*facts, trips=left) == expected


def test_a_trip_whose_time_cannot_be_read_voids_everything() -> None:
    for at in ("yesterday", "2026-11-23T10:00:00"):
        trip = Trip(uid="t", version="v1", generation=1, source="break-glass", at=at, why="")
        assert grade(fact(Grade.VERIFIED, 0), trips=Facts({"t": trip})) == Grade.RECORDED


@pytest.mark.parametrize(
    ("left", "quarantined"),
    [
        pytest.param(Facts(), False, id="never left"),
        pytest.param(trips(9), True, id="left"),
        pytest.param(trips(9, released=True), False, id="released"),
        pytest.param(trips(9, version="v2"), False, id="another one was left"),
    ],
)
def test_a_version_that_was_left_is_no_target_whatever_its_grade(left: Facts, *, quarantined: bool) -> None:
    standing = standing_of("v1", [fact(Grade.VERIFIED, 1)], left, now=NOW)
    assert standing.quarantined is quarantined
    assert standing.eligible is not quarantined


@pytest.mark.parametrize(
    ("held", "eligible"),
    [(Grade.RECORDED, False), (Grade.ARMED, False), (Grade.VERIFIED, True), (Grade.KNOWN_GOOD, True)],
)
def test_a_target_is_at_least_verified(held: Grade, *, eligible: bool) -> None:
    assert Standing(version="v1", grade=held, quarantined=False).eligible is eligible


def test_a_standing_says_when_it_will_be_known_good() -> None:
    standing = standing_of("v1", [fact(Grade.VERIFIED, 2)], Facts(), now=NOW)
    assert standing.known_good_at == NOW + 70 * HOUR
    assert standing.to_json() == {
        "version": "v1",
        "grade": "verified",
        "quarantined": False,
        "known_good_at": "2026-11-26T16:00:00+00:00",
    }
    unverified = standing_of("v1", [fact(Grade.ARMED, 100)], Facts(), now=NOW)
    assert unverified.known_good_at is None
    assert unverified.to_json()["known_good_at"] is None


@given(
    st.lists(
        st.tuples(st.sampled_from([Grade.RECORDED, Grade.ARMED, Grade.VERIFIED]), st.integers(-5, 100)), max_size=6
    ),
    st.lists(st.integers(-5, 100), max_size=3),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_facts_arrive_does_not_matter(
    shown: list[tuple[Grade, int]], left: list[int], rng: object
) -> None:
    facts = [fact(held, hours) for held, hours in shown]
    shuffled = list(facts)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    trip_facts = trips(*left)
    assert grade(*facts, trips=trip_facts) == grade(*shuffled, trips=trip_facts)


@given(
    st.lists(
        st.tuples(st.sampled_from([Grade.RECORDED, Grade.ARMED, Grade.VERIFIED]), st.integers(0, 100)), max_size=6
    ),
    st.integers(0, 200),
)
def test_time_alone_never_lowers_a_grade(shown: list[tuple[Grade, int]], later: int) -> None:
    facts = [fact(held, hours) for held, hours in shown]
    now = standing_of("v1", facts, Facts(), now=NOW).grade
    assert standing_of("v1", facts, Facts(), now=NOW + later * HOUR).grade >= now


def test_evidence_survives_its_json() -> None:
    evidence = Evidence(version="v1", grade=Grade.ARMED, at="2026-11-23T10:00:00Z", figures={"load_seconds": 1.5})
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert evidence.to_json() == {
        "version": "v1",
        "grade": "armed",
        "at": "2026-11-23T10:00:00Z",
        "figures": {"load_seconds": 1.5},
    }


def test_evidence_cannot_be_edited() -> None:
    figures = {"requests": 5}
    evidence = Evidence(version="v1", grade=Grade.ARMED, at="2026-11-23T10:00:00Z", figures=figures)
    figures["requests"] = 6
    assert evidence.figures == {"requests": 5}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            {"version": "v1", "grade": "armed", "at": "x", "figures": {}},
            "'x' is no instant. Use ISO 8601 in UTC: 2026-11-23T18:00:00Z",
            id="no instant",
        ),
        pytest.param(
            {"version": "v1", "grade": "armed", "at": "2026-11-23T10:00:00", "figures": {}},
            "'2026-11-23T10:00:00' has no time zone. Use ISO 8601 in UTC: 2026-11-23T18:00:00Z",
            id="no time zone",
        ),
        pytest.param(
            {"version": "v1", "grade": "known-good", "at": "2026-11-23T10:00:00Z", "figures": {}},
            "known good cannot be recorded. Record what was verified; the cool-down does the rest",
            id="a grade that only time gives",
        ),
        pytest.param({"version": "v1"}, "the evidence is malformed: KeyError 'grade'", id="fields are missing"),
        pytest.param(
            {"version": "v1", "grade": "best", "at": "2026-11-23T10:00:00Z", "figures": {}},
            "the evidence is malformed: ValueError 'best' is not a valid Grade",
            id="no such grade",
        ),
        pytest.param(None, "the evidence is malformed: TypeError 'NoneType' object is not subscriptable", id="nothing"),
    ],
)
def test_malformed_evidence_is_refused(document: object, message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Evidence.from_json(document)
    assert str(caught.value) == message
