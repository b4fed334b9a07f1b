"""The same seed gives the same run, and what fails is printed small, with how to see it again."""

import os
import subprocess
import sys
from collections.abc import Set

import pytest

from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.bounds import EXHAUSTED, LARGER
from knowngood.testing.simulation.choices import possible
from knowngood.testing.simulation.disk import Disk
from knowngood.testing.simulation.exhaustive import explore
from knowngood.testing.simulation.promise import Promise
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Failure, Worlds, come_to_rest, play, run, shrunk
from knowngood.testing.simulation.scenario import Scenario
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip, ReplicaState, Trip


class KeepsNoFacts(Rules):
    """Break-glass that nobody remembers: the shortest run that shows it is a single act."""

    def leave(self, state: ReplicaState, trip: Trip, ready: Set[str]) -> ReplicaState:
        del trip, ready
        return state


def first_failure(worlds: Worlds) -> Failure:
    return next(failure for seed in range(1, 200) if (failure := run(worlds, seed)))


def test_same_seed_gives_the_same_failure() -> None:
    one, other = first_failure(Worlds(KeepsNoFacts())), first_failure(Worlds(KeepsNoFacts()))
    assert one == other
    assert one.promise is Promise.FACTS


def test_failure_is_made_small_and_says_how_to_see_it_again() -> None:
    worlds = Worlds(KeepsNoFacts())
    failures = (run(worlds, seed) for seed in range(1, 200))
    failure = next(failure for failure in failures if failure and len(failure.actions) > 10)
    small = shrunk(worlds, failure)
    assert [action[0] for action in small.actions] == ["glass"]
    printed = str(small)
    assert "FACTS: facts that arrive are kept" in printed
    assert f"KNOWNGOOD_SIMULATION_SEED={failure.seed} make simulate" in printed
    assert "glass r" in printed


def test_run_of_a_given_scenario_does_not_claim_that_its_seed_alone_repeats_it() -> None:
    worlds = Worlds(KeepsNoFacts())
    scenario = Scenario(budget={"glass": 3})
    failure = next(failure for seed in range(1, 200) if (failure := run(worlds, seed, scenario)))
    assert failure.seed is None
    assert "make simulate" not in str(failure)
    assert play(worlds, scenario, failure.actions) is not None


def test_actions_that_cannot_happen_are_passed_over() -> None:
    scenario = Scenario(budget={"glass": 1})
    assert play(Worlds(Rules()), scenario, [("deliver", "999"), ("step", "r1"), ("glass", "r1", "v2")]) is None


def test_search_finds_the_shortest_run_first() -> None:
    search = explore(Worlds(KeepsNoFacts()), Scenario(replicas=1, budget={"glass": 1, "unload": 1}), most=2_000)
    assert search.failure is not None
    assert [action[0] for action in search.failure.actions] == ["glass"]


def test_search_stops_at_its_limit_and_says_so() -> None:
    search = explore(Worlds(Rules()), Scenario(replicas=1, budget={"flip": 1}), most=5)
    assert (search.worlds, search.exhausted, search.failure) == (5, False, None)


def test_worlds_that_start_from_one_do_not_disturb_each_other() -> None:
    worlds = Worlds(Rules())
    scenario = Scenario(replicas=2, budget={"glass": 2})
    one, other = worlds.start(scenario), worlds.start(scenario)
    act(one, ("glass", "r1", "v2"))
    come_to_rest(one)
    assert one.store.served == "v1"
    assert other.store.served == "v2"
    assert other.oracle.acts == {}
    assert other.store.row == FleetRoute(2, 0, FULL)


def test_budget_bounds_what_may_happen() -> None:
    world = Worlds(Rules()).start(Scenario(replicas=1, budget={"kill": 1}))
    act(world, ("kill", "r1"))
    act(world, ("start", "r1"))
    assert "kill" not in {action[0] for action in possible(world)}


STATE = ReplicaState(fleet=FleetRoute(2, 0, 500), latched=1, generations={2: Generation(number=2, chain=("b", "a"))})
OTHER = ReplicaState(fleet=FleetRoute(3, 0, 0), generations={3: Generation(number=3, chain=("c", "b"))})


def test_process_that_starts_sees_a_rename_and_a_boot_sees_only_what_was_synced() -> None:
    disk = Disk().renamed(STATE).file_synced().renamed(OTHER)
    assert disk.file == OTHER
    assert disk.after_power_cut(lucky=False).file == STATE
    assert disk.after_power_cut(lucky=True).file == OTHER


def test_power_cut_leaves_of_word_and_journal_what_was_written_back() -> None:
    trip = LocalTrip("r1", 2, "b")
    disk = Disk().show(STATE).written_back().show(OTHER).appended(trip)
    assert disk.position == (3, 0, 0)
    left = disk.after_power_cut(lucky=False)
    assert (left.position, left.local) == ((2, 1, 500), frozenset())
    assert disk.journal_synced().after_power_cut(lucky=False).local == {trip}


@pytest.mark.parametrize(
    ("shown", "position"),
    [
        pytest.param(ReplicaState(), (2, 1, 500), id="nothing before the first generation"),
        pytest.param(ReplicaState(fleet=FleetRoute(1, 2, 0), latched=2), (2, 1, 500), id="an older generation"),
        pytest.param(ReplicaState(fleet=FleetRoute(2, 0, FULL)), (2, 1, FULL), id="each part rises by itself"),
        pytest.param(OTHER, (3, 0, 0), id="a newer generation replaces"),
    ],
)
def test_word_only_rises(shown: ReplicaState, position: tuple[int, int, int]) -> None:
    assert Disk().show(STATE).show(shown).position == position


@pytest.mark.slow
def test_command_runs_as_many_seeds_as_it_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "knowngood.testing.simulation"],
        env=os.environ | {"KNOWNGOOD_SIMULATION_RUNS": "3", "KNOWNGOOD_SIMULATION_SEED": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("3 runs, seeds 40 to 42: every promise held")


@pytest.mark.slow
def test_command_divides_many_seeds_over_processes_and_searches_small_worlds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "knowngood.testing.simulation"],
        env=os.environ | {"KNOWNGOOD_SIMULATION_RUNS": "150", "KNOWNGOOD_SIMULATION_WORLDS": "20"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, *searched = done.stdout.splitlines()
    assert first.startswith("150 runs, seeds 1 to 150: every promise held")
    assert "150 of 150 runs" in done.stderr
    assert [line.partition(":")[0] for line in searched] == [*EXHAUSTED, *LARGER]
