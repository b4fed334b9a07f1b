"""
Many seeded runs, from the command line: ``python -m knowngood.testing.simulation``.

Environment:
    KNOWNGOOD_SIMULATION_RUNS: How many; 20,000 unless given, or 1 where only a seed is.
    KNOWNGOOD_SIMULATION_SEED: The first seed; 1 unless given.
"""

import os
import sys
import time

from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, run, shrunk


def main() -> int:
    """Run seed after seed; print the first failure, made small, with its trace."""
    first = os.environ.get("KNOWNGOOD_SIMULATION_SEED")
    runs = int(os.environ.get("KNOWNGOOD_SIMULATION_RUNS", "1" if first else "20000"))
    seeds = range(int(first or 1), int(first or 1) + runs)
    worlds = Worlds(Rules())
    started = time.monotonic()
    for seed in seeds:
        failure = run(worlds, seed)
        if failure is not None:
            sys.stdout.write(f"{shrunk(worlds, failure)}\n")
            return 1
    rate = runs / max(time.monotonic() - started, 0.001)
    sys.stdout.write(f"{runs} runs, seeds {seeds[0]} to {seeds[-1]}: every promise held ({rate:.0f} runs a second)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
