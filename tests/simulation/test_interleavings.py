"""Whatever is lost, doubled, killed or cut off: each promise of the route holds on the code that runs in production."""

import os

import pytest

from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, run

RUNS = int(os.environ.get("KNOWNGOOD_SIMULATION_RUNS", "300"))
FIRST = int(os.environ.get("KNOWNGOOD_SIMULATION_SEED", "0"))


@pytest.mark.timeout(0)
@pytest.mark.requirement("A1", "B2", "G1")
def test_every_promise_holds_in_runs_drawn_from_seeds() -> None:
    worlds = Worlds(Rules())
    for seed in range(FIRST, FIRST + RUNS):
        failure = run(worlds, seed)
        assert failure is None, str(failure)
