"""
Every promise of the route holds in every run that was tried: seeded runs of any size, and all runs within small bounds.

``KNOWNGOOD_SIMULATION_RUNS`` sets how many seeded runs there are, ``KNOWNGOOD_SIMULATION_SEED`` where they begin.
"""

import os

import pytest

from knowngood.testing.simulation.bounds import BY_ITSELF, EXHAUSTED, LARGER
from knowngood.testing.simulation.exhaustive import explore
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, run, shrunk
from knowngood.testing.simulation.scenario import Scenario

RUNS = int(os.environ.get("KNOWNGOOD_SIMULATION_RUNS", "500"))
FIRST = int(os.environ.get("KNOWNGOOD_SIMULATION_SEED", "1"))
CHUNKS = 4


@pytest.mark.slow
@pytest.mark.timeout(max(300, RUNS))
@pytest.mark.requirement("A1", "B2", "G1", "G2", "G3", "N2", "N3")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_promise_holds_in_runs_drawn_from_seeds(chunk: int) -> None:
    worlds = Worlds(Rules())
    for seed in range(FIRST + chunk, FIRST + RUNS, CHUNKS):
        failure = run(worlds, seed)
        if failure is not None:
            pytest.fail(str(shrunk(worlds, failure)), pytrace=False)


@pytest.mark.parametrize(
    "seed",
    [pytest.param(27_247, id="an agent dies between the file of a generation and its word, with a trip beside it")],
)
def test_every_promise_holds_in_runs_that_once_failed(seed: int) -> None:
    failure = run(Worlds(Rules()), seed)
    assert failure is None, str(failure)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("G3")
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=name) for name, scenario in EXHAUSTED.items()])
def test_every_promise_holds_in_every_run_within_bounds(scenario: Scenario) -> None:
    search = explore(Worlds(Rules()), scenario, most=20_000, without=BY_ITSELF)
    assert search.failure is None, str(search.failure)
    assert search.exhausted
    assert search.rests > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=name) for name, scenario in LARGER.items()])
def test_every_promise_holds_in_the_shortest_runs_of_larger_bounds(scenario: Scenario) -> None:
    search = explore(Worlds(Rules()), scenario, most=int(2_000 * max(1, RUNS / 500)), without=BY_ITSELF)
    assert search.failure is None, str(search.failure)
