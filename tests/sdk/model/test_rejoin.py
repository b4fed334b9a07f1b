"""After a restart a replica stands where it stood: file, word and journal are joined, none takes it back (rule 10)."""

from dataclasses import replace

import pytest

from knowngood_sdk.model.route import FULL, Facts, FleetRoute, LocalTrip, ReplicaState, Stand
from tests.sdk.model.lettered import A, B, C, D, facts, generation, here, replica

pytestmark = pytest.mark.requirement("G3")
Word = tuple[int, int, int] | None


def rejoined(
    state: ReplicaState,
    *stands: Stand,
    word: Word = None,
    trips: Facts | None = None,
    local: tuple[LocalTrip, ...] = (),
    ready: str = "",
) -> ReplicaState:
    """Join a state from the file with what else was found."""
    found = trips or Facts()
    return state.rejoin(word=word, trips=found, local=frozenset(local), stands=stands, ready=frozenset(ready))


WORDS = [
    pytest.param(None, 1, 1_000, id="no word"),
    pytest.param((1, 1, 1_000), 1, 1_000, id="as far"),
    pytest.param((1, 2, 1_000), 2, 1_000, id="a step further"),
    pytest.param((1, 1, FULL), 1, FULL, id="with more traffic"),
    pytest.param((1, 3, FULL), 3, FULL, id="both"),
    pytest.param((1, 0, 0), 1, 1_000, id="behind the file"),
    pytest.param((1, 0, FULL), 1, FULL, id="behind in its step, ahead in its split"),
    pytest.param((1, 2, 0), 2, 1_000, id="ahead in its step, behind in its split"),
    pytest.param((0, 2, FULL), 1, 1_000, id="of an older generation"),
    pytest.param((2, 2, FULL), 1, 1_000, id="of a newer generation, which no file has"),
]


@pytest.mark.parametrize(("word", "latched", "split"), WORDS)
def test_the_word_raises_a_state_and_never_lowers_it(word: Word, latched: int, split: int) -> None:
    state = replica(at=(0, 1_000), latched=1)
    expected = replace(state, latched=latched, fleet=FleetRoute(1, 0, split))
    assert state.raised(word) == expected
    assert rejoined(state, word=word) == expected


def test_the_word_leaves_the_step_of_the_fleet_as_it_is() -> None:
    assert replica(at=(1, 0), latched=1).raised((1, 2, 5)).fleet == FleetRoute(1, 1, 5)


def test_to_be_raised_is_not_to_judge() -> None:
    state = replica(known=facts("B1"))
    assert state.raised((1, 1, FULL)).latched == 1
    assert rejoined(state, word=(1, 1, FULL)).latched == 2


@pytest.mark.parametrize(
    ("stands", "latched", "fleet"),
    [
        pytest.param((), 0, (1, 0, 1_000), id="none"),
        pytest.param((Stand(A, FleetRoute(1, 0, FULL), 0),), 0, (1, 0, FULL), id="with more traffic"),
        pytest.param((Stand(A, FleetRoute(1, 0, 1_000), 2),), 2, (1, 0, 1_000), id="a step further"),
        pytest.param((Stand(A, FleetRoute(1, 1, 0), 1),), 1, (1, 1, 0), id="a step of the fleet"),
        pytest.param((Stand(A, FleetRoute(1, 0, 0), 0),), 0, (1, 0, 1_000), id="behind the file"),
        pytest.param(
            (Stand(A, FleetRoute(1, 0, FULL), 2), Stand(A, FleetRoute(1, 1, 0), 1)),
            2,
            (1, 1, 0),
            id="the furthest of each",
        ),
        pytest.param((Stand(A, FleetRoute(2, 0, FULL), 2),), 0, (1, 0, 1_000), id="of another generation"),
        pytest.param((Stand(A, FleetRoute(0, 0, FULL), 2),), 0, (1, 0, 1_000), id="of an older generation"),
        pytest.param(
            (Stand(D, FleetRoute(1, 0, FULL), 2),),
            0,
            (1, 0, 1_000),
            id="of the same number, minted anew by another store",
        ),
        pytest.param((Stand("", FleetRoute(1, 0, FULL), 2),), 0, (1, 0, 1_000), id="of no chain"),
    ],
)
def test_the_journal_says_where_it_stood(stands: tuple[Stand, ...], latched: int, fleet: tuple[int, int, int]) -> None:
    state = replica(at=(0, 1_000))
    assert rejoined(state, *stands) == replace(state, latched=latched, fleet=FleetRoute(*fleet))


def test_a_trip_in_the_journal_is_followed_at_once() -> None:
    state = replica(known=facts("C1"))
    assert rejoined(state, trips=facts("A1")) == replace(state, facts=facts("A1", "C1"), latched=1)


def test_a_trip_that_was_released_meanwhile_is_known_and_not_followed() -> None:
    state = replica(known=facts(released="A1"))
    assert rejoined(state, trips=facts("A1")) == replace(state, facts=facts("A1", released="A1"))


def test_what_is_ready_by_then_is_gone_to() -> None:
    assert rejoined(replica(), trips=facts("A1"), ready="C").latched == 2


def test_at_a_start_nothing_is_ready_and_nothing_is_skipped() -> None:
    assert rejoined(replica(latched=1)) == replica(latched=1)
    assert rejoined(replica(), trips=facts("A1"), word=(1, 1, FULL)).latched == 1


def test_a_local_trip_in_the_journal_is_followed_by_its_replica_alone() -> None:
    state = replica(local="B")
    assert rejoined(state, local=(here(A),)) == replace(state, local=frozenset({here(A), here(B)}), latched=2)


def test_a_local_trip_that_the_accepted_generation_had_seen_is_over() -> None:
    made = generation(2, "CA", saw_local=frozenset({here(C)}))
    state = ReplicaState(fleet=FleetRoute(2, 0, FULL), generations={2: made})
    assert rejoined(state, local=(here(C),)) == state
    again = here(C, 2)
    assert rejoined(state, local=(here(C), again)) == replace(state, local=frozenset({again}), latched=1)


def test_without_a_generation_the_facts_are_taken_of_the_fleet_and_of_this_replica() -> None:
    found = rejoined(
        ReplicaState(), Stand(A, FleetRoute(1, 0, FULL), 1), word=(1, 1, FULL), trips=facts("B1"), local=(here(A),)
    )
    assert found == ReplicaState(facts=facts("B1"), local=frozenset({here(A)}))


@pytest.mark.parametrize(
    ("saw_local", "latched", "local"),
    [
        pytest.param(frozenset(), 1, frozenset({here(A)}), id="that has not seen the trip"),
        pytest.param(frozenset({here(A)}), 0, frozenset(), id="that has seen it"),
    ],
)
def test_a_replica_whose_file_was_lost_joins_a_generation_and_leaves_again_what_it_had_left(
    saw_local: frozenset[LocalTrip], latched: int, local: frozenset[LocalTrip]
) -> None:
    found = rejoined(ReplicaState(), local=(here(A),))
    made = generation(1, "ABC", saw_local=saw_local)
    joined, refusal = found.receive(FleetRoute(1, 0, FULL), {1: made}, Facts(), frozenset("ABC") | {A, B, C})
    assert refusal is None
    assert (joined.fleet, joined.latched, joined.local) == (FleetRoute(1, 0, FULL), latched, local)
